//! How a run ended.

use std::borrow::Cow;
use std::fmt;

use super::text::printable;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There is a report.
    Succeeded,
    /// The engine says that there is none, and why.
    Rejected(Rejection),
    /// The engine broke off: a trap, an exhausted stack, a value that breaks the contract's encoding.
    Trapped,
    /// It used up its CPU time or its time on the clock.
    TimedOut,
    /// It wanted more memory than it may have.
    OverMemory,
    /// Its report, its findings or its artifacts are more than they may be.
    OverOutput,
    /// It logged more than it may.
    OverLog,
    /// It called the host more often than it may.
    OverHostCalls,
    /// Its report, a finding or an artifact breaks the contract: it is not a JSON object, or its name is not a valid name.
    BadReport,
    /// The file changed or vanished while it was sent, so that nothing which was read counts.
    Void,
    /// It was told to stop.
    Cancelled,
    /// This host failed it.
    HostFailed,
}

/// The engine's own reason for giving no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// It does not read this kind of file.
    Unsupported,
    /// It reads this kind, but the file breaks its format.
    Malformed,
    /// Anything else.
    Failed,
}

impl Outcome {
    /// The word for it that programs read: `timed_out`. It stands in sealed results and in metrics, and stays as it is.
    pub fn code(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Rejected(Rejection::Unsupported) => "unsupported",
            Self::Rejected(Rejection::Malformed) => "malformed",
            Self::Rejected(Rejection::Failed) => "failed",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed_out",
            Self::OverMemory => "over_memory",
            Self::OverOutput => "over_output",
            Self::OverLog => "over_log",
            Self::OverHostCalls => "over_host_calls",
            Self::BadReport => "bad_report",
            Self::Void => "void",
            Self::Cancelled => "cancelled",
            Self::HostFailed => "host_failed",
        }
    }

    /// Whether the same job may end otherwise when it is run again: only where the host was at fault. Everything else
    /// is a property of release, file and limits. (A void file is sent again by the client, as a new job.)
    pub fn retryable(self) -> bool {
        match self {
            Self::HostFailed => true,
            Self::Succeeded
            | Self::Rejected(_)
            | Self::Trapped
            | Self::TimedOut
            | Self::OverMemory
            | Self::OverOutput
            | Self::OverLog
            | Self::OverHostCalls
            | Self::BadReport
            | Self::Void
            | Self::Cancelled => false,
        }
    }
}

impl fmt::Display for Outcome {
    /// In words: `timed out`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Rejected(Rejection::Unsupported) => "rejected as unsupported",
            Self::Rejected(Rejection::Malformed) => "rejected as malformed",
            Self::Rejected(Rejection::Failed) => "failed",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed out",
            Self::OverMemory => "over memory",
            Self::OverOutput => "over output",
            Self::OverLog => "over log",
            Self::OverHostCalls => "over host calls",
            Self::BadReport => "bad report",
            Self::Void => "void",
            Self::Cancelled => "cancelled",
            Self::HostFailed => "host failed",
        })
    }
}

/// Why there is no report. Both texts may quote the engine: they are for the uploader's eyes, never for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    outcome: Outcome,
    message: String,
    hint: Option<Cow<'static, str>>,
}

impl Failure {
    const MESSAGE_BYTES: usize = 4 << 10;

    /// What ended as `outcome`, which is not [`Outcome::Succeeded`]. The message is made printable and cut to 4 KiB.
    pub fn new(outcome: Outcome, message: impl AsRef<str>) -> Self {
        debug_assert_ne!(outcome, Outcome::Succeeded);
        Self { outcome, message: printable(message.as_ref(), Self::MESSAGE_BYTES), hint: None }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Never [`Outcome::Succeeded`].
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What happened, at most 4 KiB, without control characters other than line feed and tab. The same release, file
    /// and limits give the same text on every machine, except where the host itself failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
