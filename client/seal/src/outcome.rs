//! How a job ended: the closed list that the server learns, too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a job ended.
///
/// `Display` is a phrase for people, [`code`](Self::code) the word of the protocol, which is also its serialised form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The engine made a report.
    Succeeded,
    /// The engine does not read such a file, or found it malformed.
    Rejected,
    /// The engine said that it failed.
    Failed,
    /// The engine crashed.
    Trapped,
    /// The engine went over its time.
    TimedOut,
    /// The engine went over its memory.
    OverMemory,
    /// The engine's report was too long.
    OverOutput,
    /// The engine logged too much.
    OverLog,
    /// The engine called the host too often.
    OverHostCalls,
    /// The file changed while it was read; the client sends it again.
    Void,
    /// Header, chunk or component did not stand up to its checks.
    Refused,
    /// The uploader asked for it.
    Cancelled,
    /// The processor could not run it.
    HostFailed,
    /// Said by the server: processors died three times while they ran this job alone.
    Quarantined,
}

/// A word that is no outcome code of this protocol version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an outcome code")]
pub struct UnknownOutcome {
    /// The word, cut to 80 characters.
    pub found: String,
}

impl Outcome {
    /// Every outcome, in the order of the protocol's list.
    pub const ALL: [Self; 14] = [
        Self::Succeeded,
        Self::Rejected,
        Self::Failed,
        Self::Trapped,
        Self::TimedOut,
        Self::OverMemory,
        Self::OverOutput,
        Self::OverLog,
        Self::OverHostCalls,
        Self::Void,
        Self::Refused,
        Self::Cancelled,
        Self::HostFailed,
        Self::Quarantined,
    ];

    /// The protocol's word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed_out",
            Self::OverMemory => "over_memory",
            Self::OverOutput => "over_output",
            Self::OverLog => "over_log",
            Self::OverHostCalls => "over_host_calls",
            Self::Void => "void",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::HostFailed => "host_failed",
            Self::Quarantined => "quarantined",
        }
    }

    /// The outcome that the protocol calls `code`.
    ///
    /// # Errors
    ///
    /// [`UnknownOutcome`] if there is none.
    pub fn from_code(code: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.code() == code)
            .ok_or_else(|| UnknownOutcome { found: code.chars().take(80).collect() })
    }

    /// Whether the engine ran on the whole, intact file, so that the result says what it was given.
    pub const fn analysed(self) -> bool {
        match self {
            Self::Succeeded
            | Self::Rejected
            | Self::Failed
            | Self::Trapped
            | Self::TimedOut
            | Self::OverMemory
            | Self::OverOutput
            | Self::OverLog
            | Self::OverHostCalls => true,
            Self::Void | Self::Refused | Self::Cancelled | Self::HostFailed | Self::Quarantined => false,
        }
    }

    /// Whether the same job, run again as it is, may end differently.
    ///
    /// An engine that fails on a file fails again; a processor that could not run it may be replaced by one that can.
    /// A void file is not retried but sent again, in a new upload.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::HostFailed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected by the engine",
            Self::Failed => "the engine failed",
            Self::Trapped => "the engine crashed",
            Self::TimedOut => "the engine went over its time",
            Self::OverMemory => "the engine went over its memory",
            Self::OverOutput => "the engine's report is too long",
            Self::OverLog => "the engine logged too much",
            Self::OverHostCalls => "the engine called the host too often",
            Self::Void => "the file changed while it was read",
            Self::Refused => "refused: what arrived is not what was sealed",
            Self::Cancelled => "cancelled",
            Self::HostFailed => "the processor could not run it",
            Self::Quarantined => "quarantined: processors died while they ran it",
        })
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(code: &str) -> Result<Self, UnknownOutcome> {
        Self::from_code(code)
    }
}
