//! Why nothing can be asked of anybody.

use std::path::PathBuf;

/// No HTTP client could be made.
#[derive(Debug)]
pub(crate) struct NoClient(pub(crate) String);

/// A file that holds no token.
#[derive(Debug, thiserror::Error)]
#[error("token file `{}`: {why}", .path.display())]
pub struct TokenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}
