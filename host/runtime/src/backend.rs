//! What a processor asks of whatever runs engines, in words that know of no component and no sandbox.
//!
//! A backend runs engines of one kind: components in a sandbox ([`Runtime`](crate::Runtime)), or something else that
//! implements [`Backend`]. A processor installs a release with it, asks the release what it is, and runs it over files, one
//! call for each of the three. Everything that crosses between the two is in this folder, and none of it names wasmtime: what a
//! run is given (a job, its parameters and its input), what it may use (limits), and what it comes to (a report or a failure,
//! a log, and what it used).

mod description;
mod digest;
mod document;
mod job;
mod json;
mod limits;
mod outcome;
mod report;
mod run;
mod text;

use std::sync::Arc;

pub use description::{DescribeError, Description};
pub use digest::ReleaseDigest;
pub use job::{Access, Cancel, InputEnd, InputSource, Job, Observer, Parameters, ParametersError};
pub use json::JSON_MAX_DEPTH;
pub(crate) use json::{NotAnObject, check_line, check_object, is_media_type};
pub use limits::{Limits, ReleaseLimits, TimeLimit};
pub use outcome::{Failure, Outcome, Rejection};
pub use report::{Artifact, Finding, Report, Severity};
pub use run::{Level, LogLine, Resources, Run};
pub(crate) use text::printable;

/// Something that runs engines of one kind. Every method may be called from many threads at once.
pub trait Backend: Send + Sync + 'static {
    /// The name of the kind, as a processor tells its server what it can run: `component`.
    fn kind(&self) -> &'static str;

    /// Majors of the engine contract that it runs, each with the newest minor, ascending. It runs what was built for that minor or an
    /// earlier one.
    fn contracts(&self) -> Vec<(u64, u64)>;

    /// Whether a release with these bytes is of its kind. It may be broken all the same: then [`install`](Self::install) says
    /// how.
    fn recognises(&self, release: &[u8]) -> bool;

    /// The most memory that one call of [`install`](Self::install) may take, in bytes; 0 where that is not bounded.
    fn install_memory_bytes(&self) -> u64;

    /// The stack that a thread wants that calls [`Installed::run`], in bytes.
    fn thread_stack_bytes(&self) -> usize;

    /// The release with that digest, where it was installed earlier and what came of that is still at hand: nobody needs its
    /// bytes then. Blocks for milliseconds.
    fn cached(&self, digest: ReleaseDigest) -> Option<Arc<dyn Installed>>;

    /// Makes a release ready, and runs nothing of it. `digest` was found to be that of its bytes. Blocks, for minutes perhaps,
    /// and ends soon when it is cancelled.
    ///
    /// # Errors
    ///
    /// [`NotInstalled`] says why it does not run here, and whether another try may end otherwise.
    fn install(
        &self,
        digest: ReleaseDigest,
        release: &[u8],
        cancel: &Cancel,
    ) -> Result<Arc<dyn Installed>, NotInstalled>;
}

/// A release that a backend can run. It stays ready for as long as somebody has it.
pub trait Installed: Send + Sync + 'static {
    /// SHA-256 of its bytes.
    fn digest(&self) -> ReleaseDigest;

    /// The version of the engine contract that it was built for: major and minor.
    fn built_for(&self) -> (u64, u64);

    /// The memory that it takes while nothing of it runs, in bytes.
    fn code_bytes(&self) -> usize;

    /// Asks the engine what it is, within `limits` or less. Blocks like a short run.
    ///
    /// # Errors
    ///
    /// [`DescribeError`] where it ends like a run that fails, or where the answer breaks the contract.
    fn describe(&self, limits: &Limits) -> Result<Description, DescribeError>;

    /// Runs the engine over one file. Blocks the calling thread until it has ended, which it does within `limits` plus whatever
    /// time `input` takes. It does not panic, and one run leaves nothing behind for the next, whatever the engine does.
    ///
    /// A run that did not [read to the end](Resources::read_to_end) has not seen whether the rest of its input is void: that is
    /// the caller's to find out before it believes the report.
    fn run(&self, job: &Job, input: Box<dyn InputSource>, limits: &Limits, observer: Box<dyn Observer>) -> Run;
}

/// Why a backend cannot make a release ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    /// Nobody waits for it any more.
    #[error("installing the release was called off")]
    Cancelled,
    /// It does not run here.
    #[error("{message}")]
    Failed {
        /// What is wrong with it, or with this machine.
        message: String,
        /// What to do about it.
        hint: String,
        /// Whether another try may end otherwise.
        again: Again,
    },
}

/// Whether installing a release again may end otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It would not: this is a property of the release and of this host's limits.
    Never,
    /// It may once or twice. Who sees the same a third time takes it for the release's property.
    FewTimes,
    /// It will, when this host has again what it lacks. It says nothing of the release.
    Later,
}
