//! Where compiled code is kept, and why a place is not safe for it.

use std::io;
use std::path::PathBuf;

/// Where compiled code is kept.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// The folder, made where it is missing. It has to belong to this user, with nobody else allowed in (0700), and to be no
    /// symbolic link. Processors of several versions may share it.
    pub folder: PathBuf,
    /// The key that proves entries to be this host's own: 32 random bytes, made where it is missing (0600). It lies
    /// outside the folder, so that who can write entries cannot vouch for them.
    pub key_file: PathBuf,
    /// How much is kept, in bytes; what was used longest ago goes first.
    pub max_bytes: u64,
}

/// Why a cache is not safe to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder or the key could not be opened, made or read.
    #[error("`{}`: {action}", path.display())]
    Io {
        /// Which of them.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// It is there, but others may have written to it.
    #[error("`{}` is not safe: {reason}", path.display())]
    Unsafe {
        /// The folder or the key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl CacheError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the path can be written by the user that runs the processor",
            Self::Unsafe { .. } => {
                "let folder and key belong to the user that runs the processor, with modes 0700 and 0600, no symbolic link, the key outside the folder"
            }
        }
    }
}
