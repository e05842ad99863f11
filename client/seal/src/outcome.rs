//! How a job ended: the closed list that the server learns, too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::Again::{Perhaps, Retry, Same};
use self::Basis::{Analysed, NotAnalysed, Unsealed};

/// Declares the outcomes: each with what it means, its code, its phrase for people, what it rests on, and what another run would come to.
/// One row is all that a new outcome needs here; the API's list and `docs/protocol.md` want it, too, and neither compiles or passes without.
macro_rules! outcomes {
    ($($(#[$meaning:meta])+ $name:ident: $code:literal, $phrase:literal, $basis:ident, $again:ident;)+) => {
        /// How a job ended.
        ///
        /// `Display` is a phrase for people, [`code`](Self::code) the word of the protocol, which is also its serialised form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Outcome {
            $($(#[$meaning])+ $name,)+
        }

        impl Outcome {
            /// Every outcome, in the order of the protocol's list.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$name),+];

            const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row { code: $code, phrase: $phrase, basis: $basis, again: $again },)+
                }
            }
        }
    };
}

outcomes! {
    /// The engine made a report.
    Succeeded: "succeeded", "succeeded", Analysed, Same;
    /// The engine does not read such a file, or found it malformed.
    Rejected: "rejected", "rejected by the engine", Analysed, Same;
    /// The engine said that it failed.
    Failed: "failed", "the engine failed", Analysed, Same;
    /// The engine crashed.
    Trapped: "trapped", "the engine crashed", Analysed, Perhaps;
    /// The engine went over its time.
    TimedOut: "timed_out", "the engine went over its time", Analysed, Perhaps;
    /// The engine went over its memory.
    OverMemory: "over_memory", "the engine went over its memory", Analysed, Perhaps;
    /// The engine's report was too long.
    OverOutput: "over_output", "the engine's report is too long", Analysed, Perhaps;
    /// The engine logged too much.
    OverLog: "over_log", "the engine logged too much", Analysed, Perhaps;
    /// The engine called the host too often.
    OverHostCalls: "over_host_calls", "the engine called the host too often", Analysed, Perhaps;
    /// The file changed while it was read; the client sends it again.
    Void: "void", "the file changed while it was read", NotAnalysed, Perhaps;
    /// Header, chunk or component did not stand up to its checks.
    Refused: "refused", "refused: what arrived is not what was sealed", NotAnalysed, Perhaps;
    /// The uploader asked for it.
    Cancelled: "cancelled", "cancelled", NotAnalysed, Perhaps;
    /// The processor could not run it.
    HostFailed: "host_failed", "the processor could not run it", NotAnalysed, Retry;
    /// Said by the server: processors died three times while they ran this job alone.
    Quarantined: "quarantined", "quarantined: processors died while they ran it", Unsealed, Perhaps;
}

/// What there is to say of an outcome.
struct Row {
    code: &'static str,
    phrase: &'static str,
    basis: Basis,
    again: Again,
}

/// What an outcome rests on.
enum Basis {
    /// The engine ran on the whole, intact file.
    Analysed,
    /// A processor says that no engine did.
    NotAnalysed,
    /// Only the server says it, so that no result is sealed.
    Unsealed,
}

/// What the same job would come to if it were run again as it is.
enum Again {
    /// The same: it is the engine's word on the file.
    Same,
    /// Perhaps something else, with other limits, or sent again.
    Perhaps,
    /// Something else, with some luck: it was the processor's fault.
    Retry,
}

/// A word that is no outcome code of this protocol version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an outcome code")]
pub struct UnknownOutcome {
    /// The word, cut to 80 characters.
    pub found: String,
}

impl Outcome {
    /// The protocol's word for it.
    pub const fn code(self) -> &'static str {
        self.row().code
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
        match self.row().basis {
            Basis::Analysed => true,
            Basis::NotAnalysed | Basis::Unsealed => false,
        }
    }

    /// Whether a processor says it, in a sealed result; else only the server does.
    pub const fn is_sealed(self) -> bool {
        match self.row().basis {
            Basis::Analysed | Basis::NotAnalysed => true,
            Basis::Unsealed => false,
        }
    }

    /// Whether it is the engine's own word on the file: the same release gives it again for the same content and parameters, whatever the
    /// limits and wherever it runs.
    pub const fn is_lasting(self) -> bool {
        match self.row().again {
            Again::Same => true,
            Again::Perhaps | Again::Retry => false,
        }
    }

    /// Whether the same job, run again as it is, may end differently.
    ///
    /// An engine that fails on a file fails again; a processor that could not run it may be replaced by one that can.
    /// A void file is not retried but sent again, in a new upload.
    pub const fn retryable(self) -> bool {
        match self.row().again {
            Again::Retry => true,
            Again::Same | Again::Perhaps => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().phrase)
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(code: &str) -> Result<Self, UnknownOutcome> {
        Self::from_code(code)
    }
}
