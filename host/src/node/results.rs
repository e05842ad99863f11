//! From what came of a job to what its uploader can open.

use filemill_api as api;
use filemill_seal::{
    Digest, EngineInput, Failure, FileSpan, LogLine, Outcome, Report, Resources, ResultBody, VoidReason, seal_result,
};

use super::upload::Upload;
use crate::outcome::{Level, Rejection};
use crate::{Outcome as RunOutcome, Run};

/// A job's end, sealed.
pub(super) struct Sealed {
    pub(super) outcome: api::Outcome,
    pub(super) body: Vec<u8>,
}

/// What came of a job.
pub(super) enum JobEnd {
    /// The engine ran over the intact file.
    Analysed { run: Run, sha256: Digest },
    /// The file is not what its uploader announced.
    Void(VoidReason),
    /// Something did not stand up to a check.
    Refused(String),
    /// It could not be run here.
    HostFailed(String),
}

/// Seals what came of file `index` for the uploader that the header names. Takes about 100 µs.
///
/// `release` is the component that ran or should have run.
///
/// # Errors
///
/// A text, where even the failure cannot be sealed.
pub(super) fn seal(
    upload: &Upload,
    release: Option<Digest>,
    index: u32,
    span: &FileSpan,
    end: JobEnd,
) -> Result<Sealed, String> {
    let base = ResultBody {
        upload: upload.id(),
        index,
        header: upload.header_digest,
        release,
        outcome: Outcome::HostFailed,
        input: None,
        report: None,
        failure: None,
        log: Vec::new(),
        resources: Resources::default(),
    };
    let body = match end {
        JobEnd::Analysed { run, sha256 } => analysed(base, run, EngineInput { length: span.length, sha256 }),
        JobEnd::Void(reason) => failed(base, Outcome::Void, "void", format!("the file was not sent whole: {reason}")),
        JobEnd::Refused(why) => failed(base, Outcome::Refused, "refused", why),
        JobEnd::HostFailed(why) => failed(base, Outcome::HostFailed, "host_failed", why),
    };
    let outcome = wire(body.outcome);
    seal_result(&body, &upload.header.key, &upload.header.uploader)
        .map(|body| Sealed { outcome, body })
        .map_err(|error| error.to_string())
}

fn failed(body: ResultBody, outcome: Outcome, kind: &str, message: String) -> ResultBody {
    ResultBody { outcome, failure: Some(Failure { kind: kind.to_owned(), message }), ..body }
}

fn analysed(body: ResultBody, run: Run, input: EngineInput) -> ResultBody {
    let ended = run.outcome();
    let mut body = ResultBody {
        input: Some(input),
        log: run.log.into_iter().map(line).collect(),
        resources: resources(&run.resources),
        ..body
    };
    let failure = match run.result {
        Ok(report) => match Report::from_json(report.json) {
            Ok(report) => {
                body.outcome = Outcome::Succeeded;
                body.report = Some(report);
                return body;
            }
            // The runtime has checked it; were its check ever the more lenient one, the engine is told so.
            Err(error) => return failed(body, Outcome::Failed, "bad_report", error.to_string()),
        },
        Err(failure) => failure,
    };
    let (outcome, kind) = outcome_and_kind(ended);
    if !outcome.analysed() {
        body.input = None;
    }
    let message = match failure.hint() {
        Some(hint) => format!("{} (hint: {hint})", failure.message()),
        None => failure.message().to_owned(),
    };
    failed(body, outcome, kind, message)
}

/// The protocol's code for how a run ended, and the word for it in the sealed failure.
fn outcome_and_kind(ended: RunOutcome) -> (Outcome, &'static str) {
    match ended {
        RunOutcome::Succeeded => (Outcome::Succeeded, "succeeded"),
        RunOutcome::Rejected(Rejection::Unsupported) => (Outcome::Rejected, "unsupported"),
        RunOutcome::Rejected(Rejection::Malformed) => (Outcome::Rejected, "malformed"),
        RunOutcome::Rejected(Rejection::Failed) => (Outcome::Failed, "failed"),
        // What the engine handed back is no report: it failed at its task.
        RunOutcome::BadReport => (Outcome::Failed, "bad_report"),
        RunOutcome::Trapped => (Outcome::Trapped, "trapped"),
        RunOutcome::TimedOut => (Outcome::TimedOut, "timed_out"),
        RunOutcome::OverMemory => (Outcome::OverMemory, "over_memory"),
        RunOutcome::OverOutput => (Outcome::OverOutput, "over_output"),
        RunOutcome::OverLog => (Outcome::OverLog, "over_log"),
        RunOutcome::OverHostCalls => (Outcome::OverHostCalls, "over_host_calls"),
        RunOutcome::Void => (Outcome::Void, "void"),
        RunOutcome::Cancelled => (Outcome::Cancelled, "cancelled"),
        RunOutcome::HostFailed => (Outcome::HostFailed, "host_failed"),
    }
}

fn line(line: crate::LogLine) -> LogLine {
    let level = match line.level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    LogLine { level: level.to_owned(), message: line.message }
}

fn resources(used: &crate::Resources) -> Resources {
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Resources {
        bytes_read: used.bytes_read,
        cpu_us: micros(used.cpu_time),
        wall_us: micros(used.wall_time),
        peak_memory_bytes: used.peak_memory_bytes,
        host_calls: used.host_calls,
        ..Resources::default()
    }
}

fn wire(outcome: Outcome) -> api::Outcome {
    match outcome {
        Outcome::Succeeded => api::Outcome::Succeeded,
        Outcome::Rejected => api::Outcome::Rejected,
        Outcome::Failed => api::Outcome::Failed,
        Outcome::Trapped => api::Outcome::Trapped,
        Outcome::TimedOut => api::Outcome::TimedOut,
        Outcome::OverMemory => api::Outcome::OverMemory,
        Outcome::OverOutput => api::Outcome::OverOutput,
        Outcome::OverLog => api::Outcome::OverLog,
        Outcome::OverHostCalls => api::Outcome::OverHostCalls,
        Outcome::Void => api::Outcome::Void,
        Outcome::Refused => api::Outcome::Refused,
        Outcome::Cancelled => api::Outcome::Cancelled,
        Outcome::HostFailed => api::Outcome::HostFailed,
        Outcome::Quarantined => api::Outcome::Quarantined,
    }
}
