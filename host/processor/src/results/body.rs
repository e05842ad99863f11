//! From what came of a job to what is said of it.

use filemill_api as api;
use filemill_runtime::{self as runtime, Outcome as RunOutcome, Rejection, Run};
use filemill_seal::{
    Artifact, Digest, EngineInput, Failure, Finding, JsonObject, LogLine, Outcome, Report, Resources, ResultBody,
    ResultError, Severity,
};

use super::end::{About, JobEnd};
use crate::input::UploadJob;

/// What is said of a job that ended so.
pub(super) fn body(about: &About, job: &UploadJob, end: JobEnd) -> ResultBody {
    let upload = &about.upload;
    let base = ResultBody {
        upload: upload.id(),
        task: job.task,
        index: job.index,
        header: upload.header_digest,
        release: about.release,
        outcome: Outcome::HostFailed,
        input: None,
        report: None,
        failure: None,
        log: Vec::new(),
        resources: Resources::default(),
    };
    match end {
        JobEnd::Analysed { run, sha256 } => {
            analysed(base, *run, EngineInput { length: job.file.length, sha256 }, about.description)
        }
        JobEnd::Void(reason) => failed(base, Outcome::Void, "void", format!("the file was not sent whole: {reason}")),
        JobEnd::Refused(why) => failed(base, Outcome::Refused, "refused", why),
        JobEnd::HostFailed(why) => failed(base, Outcome::HostFailed, "host_failed", why),
    }
}

/// What is said in place of a result of `found` bytes. Limits that are each within the fleet's may add up to more than one result may have.
pub(super) fn too_long(body: ResultBody, found: usize) -> ResultBody {
    let why = format!("report, findings, artifacts and log come to {found} bytes, which one result cannot have");
    let without = ResultBody { report: None, log: Vec::new(), ..body };
    failed(without, Outcome::OverOutput, "over_output", why)
}

fn failed(body: ResultBody, outcome: Outcome, kind: &str, message: String) -> ResultBody {
    ResultBody { outcome, failure: Some(Failure { kind: kind.to_owned(), message }), ..body }
}

fn analysed(body: ResultBody, run: Run, input: EngineInput, description: Option<Digest>) -> ResultBody {
    let ended = run.outcome();
    let mut body = ResultBody {
        input: Some(input),
        log: run.log.into_iter().map(line).collect(),
        resources: resources(&run.resources),
        ..body
    };
    let failure = match run.result {
        Ok(found) => match report(found) {
            Ok(report) => {
                body.outcome = Outcome::Succeeded;
                body.report = Some(Report { description, ..report });
                return body;
            }
            // The runtime has checked it; were its check ever the more lenient one, the engine is told so.
            Err(error) => return failed(body, Outcome::Failed, "bad_report", error.to_string()),
        },
        Err(failure) => failure,
    };
    let (outcome, kind) = (sealed_as(ended), ended.code());
    if !outcome.analysed() {
        body.input = None;
    }
    let message = match failure.hint() {
        Some(hint) => format!("{} (hint: {hint})", failure.message()),
        None => failure.message().to_owned(),
    };
    failed(body, outcome, kind, message)
}

/// The protocol's outcome for how a run ended.
fn sealed_as(ended: RunOutcome) -> Outcome {
    match ended {
        RunOutcome::Succeeded => Outcome::Succeeded,
        RunOutcome::Rejected(Rejection::Unsupported | Rejection::Malformed) => Outcome::Rejected,
        // An engine that hands back something else than a report failed at its task.
        RunOutcome::Rejected(Rejection::Failed) | RunOutcome::BadReport => Outcome::Failed,
        RunOutcome::Trapped => Outcome::Trapped,
        RunOutcome::TimedOut => Outcome::TimedOut,
        RunOutcome::OverMemory => Outcome::OverMemory,
        RunOutcome::OverOutput => Outcome::OverOutput,
        RunOutcome::OverLog => Outcome::OverLog,
        RunOutcome::OverHostCalls => Outcome::OverHostCalls,
        RunOutcome::Void => Outcome::Void,
        RunOutcome::Cancelled => Outcome::Cancelled,
        RunOutcome::HostFailed => Outcome::HostFailed,
    }
}

fn report(found: runtime::Report) -> Result<Report, ResultError> {
    let runtime::Report { summary, json, findings, artifacts } = found;
    Ok(Report {
        summary,
        findings: findings.into_iter().map(finding).collect::<Result<_, _>>()?,
        artifacts: artifacts.into_iter().map(artifact).collect(),
        ..Report::from_json(json)?
    })
}

fn finding(found: runtime::Finding) -> Result<Finding, ResultError> {
    let runtime::Finding { kind, severity, summary, json } = found;
    let severity = match severity {
        runtime::Severity::Info => Severity::Info,
        runtime::Severity::Low => Severity::Low,
        runtime::Severity::Medium => Severity::Medium,
        runtime::Severity::High => Severity::High,
        runtime::Severity::Critical => Severity::Critical,
    };
    let json = if json == "{}" { None } else { Some(JsonObject::from_text(json)?) };
    Ok(Finding { kind, severity, summary, json })
}

fn artifact(artifact: runtime::Artifact) -> Artifact {
    let runtime::Artifact { name, media_type, data } = artifact;
    Artifact { name, media_type, data: data.into() }
}

fn line(line: runtime::LogLine) -> LogLine {
    LogLine { level: line.level.as_str().to_owned(), message: line.message }
}

fn resources(used: &runtime::Resources) -> Resources {
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Resources {
        bytes_read: used.bytes_read,
        cpu_us: micros(used.cpu_time),
        wall_us: micros(used.wall_time),
        peak_memory_bytes: used.peak_memory_bytes,
        host_calls: used.host_calls,
        input_wait_us: micros(used.input_wait),
    }
}

macro_rules! map_outcomes {
    ($($name:ident = $code:literal, $class:ident;)+) => {
        /// What the server learns of how a job ended.
        pub(super) fn wire(outcome: Outcome) -> api::Outcome {
            match outcome {
                $(Outcome::$name => api::Outcome::$name,)+
            }
        }
    };
}

api::outcomes!(map_outcomes);
