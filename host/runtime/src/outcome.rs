//! How a run ended, and what it cost.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::text::printable;

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
    /// Its report, a finding or an artifact breaks the contract: no JSON object, a name that is none.
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
    /// Whether the same job may end otherwise when it is run again: only where the host was at fault. Everything else
    /// is a property of release, file and limits. (A void file is sent again by the client, as a new job.)
    pub fn retryable(self) -> bool {
        matches!(self, Self::HostFailed)
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

/// What an engine found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One line for people, at most 512 bytes, without control characters.
    pub summary: String,
    /// One JSON object, within the output limit, nested at most 100 deep; otherwise as the engine wrote it.
    pub json: String,
    /// Single things that it found, in the order in which it said so. Contract 1 has none.
    pub findings: Vec<Finding>,
    /// Plots, thumbnails: each name comes once.
    pub artifacts: Vec<Artifact>,
}

/// One thing that an engine found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing, 1 to 64 characters of `[a-z0-9.-]`.
    pub kind: String,
    /// The engine's own judgement.
    pub severity: Severity,
    /// One line for people, at most 512 bytes, without control characters.
    pub summary: String,
    /// One JSON object.
    pub json: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// `info`, `low`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Something to look at beside a report.
#[derive(Clone, PartialEq, Eq)]
pub struct Artifact {
    /// A plain file name: 1 to 100 characters of `[A-Za-z0-9._-]`, not beginning with `.` or `-`.
    pub name: String,
    /// What the engine says it is, such as `image/svg+xml`.
    pub media_type: String,
    /// Its bytes: the engine's, and so hostile.
    pub data: Bytes,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("name", &self.name)
            .field("media_type", &self.media_type)
            .field("bytes", &self.data.len())
            .finish()
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

    pub(crate) fn new(outcome: Outcome, message: impl AsRef<str>) -> Self {
        debug_assert_ne!(outcome, Outcome::Succeeded);
        Self { outcome, message: printable(message.as_ref(), Self::MESSAGE_BYTES), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
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
            Err(failure) => failure.outcome,
        }
    }
}
