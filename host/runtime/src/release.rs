//! An installed release: what it says about itself, and its runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::contract::{ContractVersion, Description, Ended, Said};
use crate::install::{Installed, Origin};
use crate::job::{InputSource, Job, Observer};
use crate::outcome::{Artifact, Failure, Finding, Outcome, Report, Resources, Run};
use crate::report::{NotAnObject, check_line, check_object};
use crate::runtime::Shared;
use crate::sandbox::{InputError, Left, Sandbox, is_media_type};
use crate::{Cancel, Limits, ReleaseDigest};

/// An engine release that this host can run. Cheap to clone, and usable from any thread; it keeps what it needs of the
/// [`Runtime`](crate::Runtime) alive.
#[derive(Clone)]
pub struct Release(Arc<Inner>);

struct Inner {
    digest: ReleaseDigest,
    installed: Installed,
    runtime: Arc<Shared>,
}

/// Why a release does not say what it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// It did not get that far.
    #[error("the engine does not describe itself: {}", .0.message())]
    Ended(Failure),
    /// What it says breaks the contract.
    #[error("the engine describes itself with a bad `{field}`: {reason}")]
    Invalid {
        /// Which part.
        field: &'static str,
        /// Which rule it breaks.
        reason: String,
    },
}

impl Release {
    pub(crate) fn new(digest: ReleaseDigest, installed: Installed, runtime: Arc<Shared>) -> Self {
        Self(Arc::new(Inner { digest, installed, runtime }))
    }

    /// SHA-256 of its component.
    pub fn digest(&self) -> ReleaseDigest {
        self.0.digest
    }

    /// The contract it was built for.
    pub fn contract(&self) -> &ContractVersion {
        &self.0.installed.contract
    }

    /// Whether it was compiled when it was installed, or found in the cache.
    pub fn origin(&self) -> Origin {
        self.0.installed.origin
    }

    /// What its machine code takes while this or a clone of it lives, in bytes.
    pub fn code_bytes(&self) -> usize {
        self.0.installed.code_bytes
    }

    /// Asks the engine what it is: one run without input, within `limits` and tighter ones of its own (1 s, 128 KiB).
    /// Blocks, and takes a slot.
    ///
    /// # Errors
    ///
    /// [`DescribeError`] where it fails like any run, or where the answer breaks the contract.
    pub fn describe(&self, limits: &Limits) -> Result<Description, DescribeError> {
        let limits = limits.within(&self.0.runtime.maxima).for_describe();
        let _running = self.0.runtime.ticker.running();
        let sandbox = Sandbox::without_input(&limits, Cancel::default());
        let ended = guarded(|| self.0.installed.adapter.describe(sandbox));
        checked(ended.result.map_err(DescribeError::Ended)?)
    }

    /// Runs the engine over one file, in a fresh instance that is dropped before this returns.
    ///
    /// Blocks the calling thread until the engine ends, which it does within `limits` (each at most the runtime's
    /// maximum) plus whatever time `input` takes; the thread wants a stack of
    /// [`THREAD_STACK_BYTES`](crate::THREAD_STACK_BYTES). Takes one of the runtime's slots; when none is left, the run
    /// ends at once as [`Outcome::HostFailed`]. It does not panic and leaves nothing behind, whatever the engine does.
    ///
    /// A run that did not [read to the end](Resources::read_to_end) has not seen whether the rest of its input is void:
    /// that is the caller's to find out before it believes the report.
    pub fn run(&self, job: &Job, input: impl InputSource, limits: &Limits, observer: impl Observer) -> Run {
        let limits = limits.within(&self.0.runtime.maxima);
        let _running = self.0.runtime.ticker.running();
        if job.cancel.is_cancelled() {
            return Run { result: Err(cancelled()), log: Vec::new(), resources: Resources::default() };
        }
        let sandbox = Sandbox::new(job, input, &limits, observer);
        let Ended { result, sandbox } = guarded(|| self.0.installed.adapter.analyze(sandbox, job));
        let ended = sandbox.as_ref().and_then(|sandbox| sandbox.input.ended().cloned());
        let Left { findings, artifacts, log, resources } = sandbox.map(Sandbox::into_parts).unwrap_or_default();
        let result = match ended {
            // Whatever the engine made of it: it was not the file.
            Some(InputError::Void(reason)) => Err(void(&reason)),
            Some(InputError::Cancelled) => Err(cancelled()),
            None => result.and_then(|said| report(said, findings, artifacts, &limits)),
        };
        Run { result, log, resources }
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release")
            .field("digest", &self.digest())
            .field("contract", self.contract())
            .finish_non_exhaustive()
    }
}

/// A panic in an input source, an observer or wasmtime costs its own run, not the thread that runs the next one.
/// Nothing that was broken half-way is seen again: the store goes with the panic.
fn guarded<T>(call: impl FnOnce() -> Ended<T>) -> Ended<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("for an unknown reason");
        tracing::error!(panic = what, "the host panicked during a run");
        Ended {
            result: Err(Failure::new(Outcome::HostFailed, format!("this processor has a fault of its own: {what}"))),
            sandbox: None,
        }
    })
}

fn report(said: Said, findings: Vec<Finding>, artifacts: Vec<Artifact>, limits: &Limits) -> Result<Report, Failure> {
    let Said { summary, json } = said;
    if json.len() > limits.output_bytes {
        let (got, limit) = (json.len(), limits.output_bytes);
        return Err(Failure::new(
            Outcome::OverOutput,
            format!("the engine's report has {got} bytes, at most {limit} are allowed"),
        )
        .with_hint("a report is a summary; the release's output limit can be raised"));
    }
    let broken = |message: String| {
        Failure::new(Outcome::BadReport, message).with_hint("this is a fault of the engine: tell its author")
    };
    let summary = check_line(&summary).map_err(|why| broken(format!("the summary of the engine's report {why}")))?;
    check_object(&json)
        .map_err(|NotAnObject(why)| broken(format!("the engine's report is not a JSON object: {why}")))?;
    Ok(Report { summary, json, findings, artifacts })
}

fn void(reason: &str) -> Failure {
    Failure::new(Outcome::Void, format!("the file was not sent whole: {reason}"))
        .with_hint("it is sent again as it is now")
}

fn cancelled() -> Failure {
    Failure::new(Outcome::Cancelled, "the run was cancelled")
}

/// Holds a description against the rules in `wit/engine`.
fn checked(mut said: Description) -> Result<Description, DescribeError> {
    fn invalid<T>(field: &'static str, reason: &str) -> Result<T, DescribeError> {
        Err(DescribeError::Invalid { field, reason: reason.to_owned() })
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=64).contains(&said.name.len()) || !said.name.bytes().all(plain) {
        return invalid("name", "it is not 1 to 64 characters of `a-z`, `0-9` and `-`");
    }
    if said.version.len() > 64 || semver::Version::parse(&said.version).is_err() {
        return invalid("version", "it is not a SemVer version of at most 64 bytes");
    }
    said.summary = check_line(&said.summary).or_else(|why| invalid("summary", &format!("it {why}")))?;
    if said.media_types.len() > 64 || !said.media_types.iter().all(|text| is_media_type(text)) {
        return invalid("media-types", "it is not a list of at most 64 media types");
    }
    for (field, schema) in [("parameter-schema", &said.parameter_schema), ("report-schema", &said.report_schema)] {
        if !schema.is_empty()
            && let Err(NotAnObject(why)) = check_object(schema)
        {
            return invalid(field, &format!("it is not a JSON object: {why}"));
        }
    }
    Ok(said)
}
