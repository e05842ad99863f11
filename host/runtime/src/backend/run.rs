//! What is left of a run: how it ended, what it logged, and what it cost.

use std::time::Duration;

use super::outcome::{Failure, Outcome};
use super::report::Report;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// `debug`, `info`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One line that the engine logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The engine's own judgement.
    pub level: Level,
    /// Its text, without control characters other than line feed and tab.
    pub message: String,
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of the file that the engine read.
    pub bytes_read: u64,
    /// Whether it read to the end of the file and was told so.
    pub read_to_end: bool,
    /// CPU time of its thread, from before it was instantiated to after it was dropped.
    pub cpu_time: Duration,
    /// Time on the clock for the same, without `input_wait`.
    pub wall_time: Duration,
    /// Time spent waiting for input.
    pub input_wait: Duration,
    /// The most bytes its memories and tables had.
    pub peak_memory_bytes: u64,
    /// How often it called the host.
    pub host_calls: u64,
}

/// One engine over one file, done.
#[derive(Clone, Debug)]
pub struct Run {
    /// The report, or why there is none.
    pub result: Result<Report, Failure>,
    /// What it logged until then, in order.
    pub log: Vec<LogLine>,
    /// What it used.
    pub resources: Resources,
}

impl Run {
    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        match &self.result {
            Ok(_) => Outcome::Succeeded,
            Err(failure) => failure.outcome(),
        }
    }
}
