//! Why nobody can be asked anything.

use std::path::PathBuf;

/// A file that holds no token.
#[derive(Debug, thiserror::Error)]
#[error("token file `{}`: {why}", .path.display())]
pub struct TokenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}
