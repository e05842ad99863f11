//! Why something is left out.

use std::fmt;
use std::path::PathBuf;

use filemill_text::{shown, shown_path};
use serde::{Serialize, Serializer};

use crate::plain;

/// Why a file or a folder is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum LeftOut {
    /// A program keeps it only until it is done.
    Temporary,
    /// A desktop keeps it for itself.
    System,
    /// A version control system keeps it for itself: former versions, and how to reach servers, perhaps with passwords.
    VersionControl,
    /// It says what is sent.
    Rules,
    /// A pattern, and the rule file that it stands in; `None` for one that the user gave with the command.
    Pattern {
        /// As it was written: bytes, like the names that it stands for.
        #[serde(serialize_with = "pattern_as_text")]
        pattern: Vec<u8>,
        /// Where it stands.
        #[serde(serialize_with = "plain::path_if_any")]
        file: Option<PathBuf>,
    },
    /// Nobody knows whether this rule file leaves it out, for this reason: it waits until that is known.
    Unknown {
        /// The rule file.
        #[serde(serialize_with = "plain::path")]
        file: PathBuf,
        /// Why it cannot be followed.
        reason: String,
    },
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Temporary => f.write_str("temporary file"),
            Self::System => f.write_str("system file"),
            Self::VersionControl => f.write_str("version control"),
            Self::Rules => f.write_str("rules for filemill"),
            Self::Unknown { file, reason } => {
                write!(f, "the rules of `{}` cannot be followed: {}", shown_path(file), shown(reason))
            }
            Self::Pattern { pattern, file } => {
                let pattern = shown(&String::from_utf8_lossy(pattern));
                match file {
                    Some(file) => write!(f, "pattern `{pattern}` of `{}`", shown_path(file)),
                    None => write!(f, "pattern `{pattern}`"),
                }
            }
        }
    }
}

fn pattern_as_text<S: Serializer>(pattern: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(pattern))
}
