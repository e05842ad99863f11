//! Why a file is not sent, or sent again: a code for programs and what belongs to it. `Display` says the bare fact, for the journal
//! and for logs; what to do about it is for applications to say.

use std::fmt;

use serde::Serialize;

use crate::rules::LeftOut;
use crate::stat::{FileKind, LINK, what_else};

/// Why something in a folder is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SkipReason {
    /// It is filemill's home, or lies in it.
    OwnFolder,
    /// Results were kept here, and results of results would have no end.
    KeptResults,
    /// A link, which is not followed.
    Link,
    /// It is no regular file.
    NotAFile {
        /// What it is instead.
        is: FileKind,
    },
    /// Its path below the folder is too long for a header.
    LongName {
        /// How long it is, in bytes.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// A rule leaves it out, or nobody knows whether one does.
    LeftOut {
        /// Which.
        rule: LeftOut,
    },
    /// A file of rules that do not hold, or not as they stand in it.
    RulesUnread {
        /// Why not, and what follows.
        detail: String,
    },
    /// It cannot be read.
    Unreadable {
        /// What the system said.
        detail: String,
    },
}

impl SkipReason {
    /// What is at a path instead of a regular file.
    pub(crate) fn instead_of_a_file(kind: FileKind) -> Option<Self> {
        match kind {
            FileKind::File => None,
            FileKind::Link => Some(Self::Link),
            FileKind::Folder | FileKind::Pipe | FileKind::Socket | FileKind::Device | FileKind::Other => {
                Some(Self::NotAFile { is: kind })
            }
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnFolder => f.write_str("it is filemill's own folder"),
            Self::KeptResults => f.write_str("only NAME.age and NAME.artifacts in it, because results were kept here"),
            Self::Link => f.write_str(LINK),
            Self::NotAFile { is } => f.write_str(what_else(*is).unwrap_or_default()),
            Self::LongName { bytes, bytes_max } => {
                write!(f, "its path below the folder has {bytes} bytes, more than {bytes_max}")
            }
            Self::LeftOut { rule } => rule.fmt(f),
            Self::RulesUnread { detail } | Self::Unreadable { detail } => f.write_str(detail),
        }
    }
}

/// Why a file is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AgainReason {
    /// It changed, shrank or could not be read to its end while it was sent.
    Changed {
        /// What happened to it.
        detail: String,
    },
    /// Its writer went on since it was sent: the result of what it was counts no more.
    WriterWentOn,
    /// There is a result, which is not to be believed, or was sealed for another key.
    ResultNotShown {
        /// Why not.
        detail: String,
    },
    /// The time in which processors may run the upload is over, or nearly.
    TimeOver,
    /// Another activity began to send it and could not.
    NotSentElsewhere,
    /// A rule that was written meanwhile leaves out a file of the same upload.
    LeftOut {
        /// Which.
        rule: LeftOut,
    },
    /// The pool's enrolment does not allow the format any more in which the upload is sealed.
    FormatNotAllowed,
    /// A file of the same upload changed after a part of it was sent.
    NeighbourChanged,
    /// The journal lacks what it should have of a file of the same upload.
    VerdictLost,
    /// The server says that it has chunks which the upload does not have.
    ChunksUnknown,
    /// The server says that it has chunks which were never sealed.
    ChunksNeverSealed,
    /// The server has lost the upload's header, and so has the journal.
    HeaderLost,
    /// The server does not know the upload any more.
    UploadUnknown,
    /// The server does not take the upload.
    Refused {
        /// What it said.
        message: String,
    },
}

impl fmt::Display for AgainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { detail } | Self::ResultNotShown { detail } => f.write_str(detail),
            Self::WriterWentOn => {
                f.write_str("it changed since it was sent, and the result of what it was counts no more")
            }
            Self::TimeOver => f.write_str("its time is over"),
            Self::NotSentElsewhere => f.write_str("another program could not send it"),
            Self::LeftOut { rule: rule @ LeftOut::Unknown { .. } } => {
                write!(f, "a file of it is left out by now: waiting: {rule}")
            }
            Self::LeftOut { rule } => write!(f, "a file of it is left out by now: ignored: {rule}"),
            Self::FormatNotAllowed => f.write_str("the pool's enrolment asks for a newer format by now"),
            Self::NeighbourChanged => f.write_str("a file changed after a part of it was sent"),
            Self::VerdictLost => f.write_str("the journal lacks a file's verdict"),
            Self::ChunksUnknown => f.write_str("the server names chunks that do not exist"),
            Self::ChunksNeverSealed => f.write_str("the server has chunks that were never sealed"),
            Self::HeaderLost => f.write_str("the server has lost the upload's header"),
            Self::UploadUnknown => f.write_str("the server does not know the upload any more"),
            Self::Refused { message } => f.write_str(message),
        }
    }
}
