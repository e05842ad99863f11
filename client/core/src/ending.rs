//! What became of a file.

use std::fmt;
use std::path::PathBuf;

use filemill_seal::{Artifact, Digest, LogLine, Outcome, Resources, ResultBody, UploadId};
use serde::Serialize;

use crate::error::Error;
use crate::plain;
use crate::reported::Report;

/// What became of one file.
#[derive(Clone, Debug, Serialize)]
pub struct Finished {
    /// Where it is, as the user named it or its folder.
    #[serde(serialize_with = "plain::path")]
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of what was sent, if it was read in full.
    pub sha256: Option<Digest>,
    /// Name of the engine.
    pub engine: String,
    /// What was set of the engine's parameters, by name.
    pub parameters: Vec<String>,
    /// The upload and the index in it, if it got that far.
    #[serde(serialize_with = "plain::place")]
    pub place: Option<(UploadId, u32)>,
    /// Whether the result is that of the same content, sent before.
    pub reused: bool,
    /// Whether its writer went on since it was sent before: the result of what it was counts no more.
    pub supersedes: bool,
    /// What came of it.
    pub ending: Ending,
}

/// What came of one file.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Ending {
    /// The engine made a report.
    Succeeded {
        /// The report.
        report: Report,
        /// What the engine logged.
        log: Vec<LogLine>,
        /// What the run took.
        resources: Resources,
    },
    /// A processor says that there is no report, and why.
    Unsuccessful {
        /// How it ended.
        outcome: Outcome,
        /// A short word for the kind of failure.
        kind: String,
        /// A sentence for people.
        message: String,
        /// What the engine logged.
        log: Vec<LogLine>,
        /// What the run took.
        resources: Resources,
    },
    /// The server ended it; no processor vouches for that.
    EndedByServer {
        /// How it ended.
        outcome: Outcome,
        /// A sentence for people.
        message: String,
    },
    /// What the server handed out as the result is not to be believed, and so is not shown.
    NotShown {
        /// Why not.
        reason: String,
    },
    /// It could not be sent.
    NotSent {
        /// Why not, in a word.
        #[serde(rename = "reason")]
        code: NotSent,
        /// What the journal keeps of it.
        message: String,
        /// The error behind it, if it is one that concerns more than this file.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Box<Error>>,
    },
}

/// Why a file could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSent {
    /// It cannot be read.
    Unreadable,
    /// It is not there any more.
    Vanished,
    /// It changes all the time.
    Changing,
    /// Its upload was given up again and again.
    Abandoned,
    /// Its name is too long, or it is.
    TooLong,
    /// Nothing may be sealed for the pool.
    Refused,
    /// The server does not take it.
    Server,
    /// No engine takes it.
    NoEngine,
    /// Nobody offers its engine now.
    EngineAway,
    /// The release that it was first sent for is gone.
    ReleaseGone,
    /// The engine does not take the parameters, as far as anybody knows.
    Parameters,
    /// It was given up earlier: the journal keeps no word for why.
    Failed,
}

impl NotSent {
    /// One word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Changing => "changing",
            Self::Abandoned => "abandoned",
            Self::TooLong => "too_long",
            Self::Refused => "refused",
            Self::Server => "server",
            Self::NoEngine => "no_engine",
            Self::EngineAway => "engine_away",
            Self::ReleaseGone => "release_gone",
            Self::Parameters => "parameters",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Ending {
    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let logged = |log: &[LogLine]| log.iter().map(|line| line.level.len() + line.message.len() + 48).sum::<usize>();
        match self {
            Self::Succeeded { report, log, .. } => report.bytes() + logged(log),
            Self::Unsuccessful { message, log, .. } => message.len() + logged(log),
            Self::EndedByServer { message, .. } | Self::NotSent { message, .. } => message.len(),
            Self::NotShown { reason } => reason.len(),
        }
    }

    /// What a result says that stood up to its checks, and the artifacts in it.
    pub(crate) fn of(body: ResultBody) -> (Self, Vec<Artifact>) {
        if let Some(report) = body.report {
            let (report, artifacts) = Report::split(report);
            return (Self::Succeeded { report, log: body.log, resources: body.resources }, artifacts);
        }
        let (kind, message) = body.failure.map_or_else(Default::default, |failure| (failure.kind, failure.message));
        let message = if message.is_empty() { body.outcome.to_string() } else { message };
        let ending =
            Self::Unsuccessful { outcome: body.outcome, kind, message, log: body.log, resources: body.resources };
        (ending, Vec::new())
    }

    /// What the run took, if a processor ran it.
    pub fn resources(&self) -> Option<&Resources> {
        match self {
            Self::Succeeded { resources, .. } | Self::Unsuccessful { resources, .. } => Some(resources),
            Self::EndedByServer { .. } | Self::NotShown { .. } | Self::NotSent { .. } => None,
        }
    }

    /// Whether its engine, by the word of a processor, does not read such a file or found it malformed: that is an answer, too.
    pub fn is_rejected(&self) -> bool {
        matches!(self, Self::Unsuccessful { outcome: Outcome::Rejected, .. })
    }

    /// Whether it was cancelled, by the server's word: it has no other for what its user asked of it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::EndedByServer { outcome: Outcome::Cancelled, .. })
    }

    /// Whether there is a report.
    pub fn succeeded(&self) -> bool {
        matches!(self, Self::Succeeded { .. })
    }

    /// What went wrong, for people; `None` if nothing did.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Succeeded { .. } => None,
            Self::Unsuccessful { message, .. }
            | Self::EndedByServer { message, .. }
            | Self::NotSent { message, .. } => Some(message),
            Self::NotShown { reason } => Some(reason),
        }
    }

    /// The outcome's code, if a processor or the server said one.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Succeeded { .. } => Some(Outcome::Succeeded),
            Self::Unsuccessful { outcome, .. } | Self::EndedByServer { outcome, .. } => Some(*outcome),
            Self::NotShown { .. } | Self::NotSent { .. } => None,
        }
    }
}
