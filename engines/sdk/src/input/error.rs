//! Why there are no bytes, and its way through `std::io` and parsers.

use std::error::Error;
use std::{fmt, io};

/// Why there are no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// The file changed or vanished while it was sent, or its stream broke: nothing that was read may be relied on.
    Void(String),
    /// The job was cancelled.
    Cancelled,
    /// Anything else.
    Other(String),
}

impl InputError {
    /// The error of the input that stands behind `error`, however deep a reader or parser has wrapped it.
    pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // What an `io::Error` carries is not among its sources.
            let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match carried {
                Some(carried) => Some(carried as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        None
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void(why) => write!(out, "the input ended early: {why}"),
            Self::Cancelled => out.write_str("cancelled"),
            Self::Other(why) => write!(out, "the input cannot be read: {why}"),
        }
    }
}

impl Error for InputError {}

impl From<InputError> for io::Error {
    fn from(error: InputError) -> Self {
        Self::other(error)
    }
}
