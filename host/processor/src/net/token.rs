//! What lets a node in.

use std::fmt;
use std::path::Path;

use super::error::TokenError;

/// A bearer token. `Debug` does not show it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads a token from a file, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`TokenError`] where the file cannot be read or holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let error = |why: String| TokenError { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| error(filemill_text::reason(&e)))?;
        let token = text.trim();
        if token.is_empty() || token.len() > 4096 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(error("it does not hold one token".to_owned()));
        }
        Ok(Self(token.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
