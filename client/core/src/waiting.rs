//! What files wait for: a code for programs and what belongs to it.

use std::path::PathBuf;

use filemill_api::WaitReason;
use filemill_api::abilities::is_name;
use filemill_api::limits::MAX_NAMES;
use filemill_seal::UploadId;
use serde::Serialize;

use crate::error::Error;
use crate::plain;
use crate::reason::SkipReason;
use crate::rules::LeftOut;

/// A file without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingFile {
    /// Absolute.
    #[serde(serialize_with = "plain::path")]
    pub path: PathBuf,
    /// In bytes; unknown for a folder that is left out.
    pub size: Option<u64>,
    /// The upload and the index in it, if it got that far.
    #[serde(serialize_with = "plain::place")]
    pub place: Option<(UploadId, u32)>,
    /// What was set of the engine's parameters, by name, if it got that far.
    pub parameters: Vec<String>,
    /// Why it has none.
    pub reason: Reason,
}

/// Why a file has no result yet. [`code`](Self::code) says it in a word, in JSON as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// It is new or changing in a watched folder.
    Settling,
    /// No engine can be chosen for it.
    NoEngine {
        /// Why not.
        error: Error,
    },
    /// It is not known yet which engine suits it best.
    NoDescriptions {
        /// Which of them nobody has described.
        error: Error,
    },
    /// A rule leaves it out.
    Ignored {
        /// Which.
        rule: LeftOut,
    },
    /// Nobody knows whether a rule leaves it out: it waits.
    RulesUnread {
        /// Which rules.
        rule: LeftOut,
    },
    /// It is a link, which is not followed.
    Link,
    /// What sent it has ended.
    Interrupted,
    /// It changed while it was read, and is sent again.
    SentAgain,
    /// The server does not answer.
    Offline {
        /// What was seen.
        error: Error,
    },
    /// Nothing may be sealed for the pool now.
    NoRecipient {
        /// Why not.
        error: Error,
    },
    /// Its chunks are still to come.
    Uploading,
    /// The server that answers is of an earlier version, which does not know the format of its upload.
    OlderServer,
    /// Chunks are sent again.
    ChunksMissing,
    /// The organisation's plan allows no more now.
    OverQuota,
    /// No processor can run the release.
    NoProcessor {
        /// Names of what it needs and none of them has, such as `contract:2.0`; none where the server does not say which, or no processor is
        /// there.
        lacks: Vec<String>,
    },
    /// Others come first.
    Turn,
    /// A processor has it.
    Running {
        /// How far, from 0 to 1000, as the engine says.
        per_mille: u32,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// There is a result, which was not fetched yet.
    Arriving,
    /// Its upload was cancelled. The file may have had its result before.
    Cancelled,
    /// There is a result, which could not be fetched. It is asked for again.
    StillToFetch {
        /// Why not.
        detail: String,
    },
    /// The server does not know the upload any more.
    Forgotten,
    /// It was given up.
    Failed {
        /// What the journal keeps of it.
        message: String,
    },
    /// It is in a watched folder and no file that could be analysed.
    Skipped {
        /// Why not.
        reason: SkipReason,
    },
    /// It is in a watched folder and cannot be read.
    Unreadable {
        /// Why not.
        detail: String,
    },
    /// The server gives a reason that this program does not know.
    Unknown,
}

impl Reason {
    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::NoEngine { .. } => "no_engine",
            Self::NoDescriptions { .. } => "no_descriptions",
            Self::Ignored { .. } => "ignored",
            Self::Link => "link",
            Self::RulesUnread { .. } => "rules_unread",
            Self::Interrupted => "interrupted",
            Self::SentAgain => "sent_again",
            Self::Offline { .. } => "offline",
            Self::NoRecipient { .. } => "no_recipient",
            Self::Uploading => "uploading",
            Self::OlderServer => "older_server",
            Self::ChunksMissing => "chunks_missing",
            Self::OverQuota => "over_quota",
            Self::NoProcessor { .. } => "no_processor",
            Self::Turn => "turn",
            Self::Running { .. } => "running",
            Self::Arriving => "arriving",
            Self::Cancelled => "cancelled",
            Self::StillToFetch { .. } => "still_to_fetch",
            Self::Forgotten => "forgotten",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Unreadable { .. } => "unreadable",
            Self::Unknown => "unknown",
        }
    }
}

/// A folder that a running program watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatchedFolder {
    /// Absolute, without symbolic links.
    #[serde(serialize_with = "plain::path")]
    pub path: PathBuf,
    /// How it is looked through.
    pub look: LookThrough,
}

/// How a watched folder is looked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum LookThrough {
    /// Nobody has looked through all of it yet.
    Unknown,
    /// Rarely, in small steps: the system tells of what changes.
    Rarely,
    /// Often, because the system may not tell of everything.
    Often {
        /// What it may not tell of, and why.
        why: String,
        /// About every so many seconds; more rarely the longer it takes.
        every_s: u64,
    },
}

/// What the server's reason is.
pub(crate) fn reason_of(said: &WaitReason) -> Reason {
    match said {
        WaitReason::Uploading => Reason::Uploading,
        WaitReason::ChunksMissing => Reason::ChunksMissing,
        WaitReason::NoProcessor { lacks } => Reason::NoProcessor { lacks: names(lacks) },
        WaitReason::Turn => Reason::Turn,
        WaitReason::Running { per_mille, attempt } => Reason::Running { per_mille: *per_mille, attempt: *attempt },
        WaitReason::OverQuota => Reason::OverQuota,
        _ => Reason::Unknown,
    }
}

/// What can be names, of those that a server gives; each once.
fn names(said: &[String]) -> Vec<String> {
    let mut names: Vec<String> = said.iter().filter(|name| is_name(name)).take(MAX_NAMES).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_processor_has_is_told_by_name_and_nothing_else_is() {
        let lacks = ["gpu", "contract:2.0", "\u{1b}[2J", "", "gpu"].map(str::to_owned).to_vec();
        let reason = reason_of(&WaitReason::NoProcessor { lacks });
        assert_eq!(reason, Reason::NoProcessor { lacks: vec!["contract:2.0".to_owned(), "gpu".to_owned()] });
        assert_eq!(reason.code(), "no_processor");
        let many = (0..1000).map(|number| format!("n{number}")).collect();
        let Reason::NoProcessor { lacks } = reason_of(&WaitReason::NoProcessor { lacks: many }) else { panic!() };
        assert_eq!(lacks.len(), MAX_NAMES);
    }
}
