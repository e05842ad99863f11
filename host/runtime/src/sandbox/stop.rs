//! Why the host ends a run before its engine does.

use std::fmt;
use std::time::Duration;

/// Why the host ended a run. Travels through wasmtime as an error and is found again by type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the engine used up its {clock} of {limit:?}")]
    Time { clock: Clock, limit: Duration },
    #[error("the engine wanted more than {limit_bytes} bytes of memory")]
    Memory { limit_bytes: usize },
    #[error("the engine logged more than {limit} {unit}")]
    Log { limit: usize, unit: &'static str },
    #[error("the engine called the host more than {limit} times")]
    HostCalls { limit: u64 },
    #[error("the engine reads back and forth so often that its file would be fetched many times over")]
    ReadsBackAndForth,
    #[error("the run was cancelled")]
    Cancelled,
    #[error("the engine handed out more than {limit} {what}")]
    Output { limit: usize, what: &'static str },
    /// What it handed out is not what the contract asks for.
    #[error("{0}")]
    Broken(String),
    /// It called what it may not call, or when it may not.
    #[error("{0}")]
    Misuse(&'static str),
    /// It called a function of WASI that is not given to it.
    #[error("the engine called `{0}`, which no engine is given")]
    NoWasi(String),
    /// It gave up by itself, with this message.
    #[error("{0}")]
    GaveUp(String),
    #[error("{0}")]
    Host(String),
}

/// Which of its two clocks a run has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Cpu,
    Wall,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU time",
            Self::Wall => "time on the clock",
        })
    }
}
