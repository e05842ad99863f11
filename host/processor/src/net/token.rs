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
        Self::checked(text.trim()).ok_or_else(|| error("it does not hold one token".to_owned()))
    }

    /// The token that a text is; `None` if it is not one token, with nothing around it.
    pub(crate) fn checked(text: &str) -> Option<Self> {
        let is_one = (1..=4096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_one.then(|| Self(text.to_owned()))
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
