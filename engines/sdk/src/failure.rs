//! Why an analysis gives no report.

use std::error::Error;
use std::io;

use crate::InputError;

/// Why there is no report. Each case carries a sentence for the uploader: lower case, no full stop, the subject in
/// backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The engine does not read this kind of file.
    Unsupported(String),
    /// It reads this kind, but the file breaks its format.
    Malformed(String),
    /// Anything else went wrong.
    Failed(String),
}

impl Failure {
    /// The engine does not read this kind of file.
    pub fn unsupported(sentence: impl Into<String>) -> Self {
        Self::Unsupported(sentence.into())
    }

    /// The file breaks its format.
    pub fn malformed(sentence: impl Into<String>) -> Self {
        Self::Malformed(sentence.into())
    }

    /// Anything else went wrong.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    /// What the `error` of a parser comes to: the input's own failure, where one stands among the error's sources, else
    /// [`Failure::Malformed`] with the error's text.
    pub fn malformed_by(error: &(dyn Error + 'static)) -> Self {
        match InputError::within(error) {
            Some(error) => error.clone().into(),
            None => Self::Malformed(error.to_string()),
        }
    }

    /// The sentence for the uploader.
    pub fn sentence(&self) -> &str {
        match self {
            Self::Unsupported(sentence) | Self::Malformed(sentence) | Self::Failed(sentence) => sentence,
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// An error of the input stays what it is; data that a reader calls invalid, and an end that comes too early, are the
/// file's fault.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if let Some(error) = InputError::within(&error) {
            return error.clone().into();
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::malformed("the file ends too early"),
            io::ErrorKind::InvalidData => Self::Malformed(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_input_says_survives_the_way_through_readers_and_parsers() {
        let sentence = "the input ended early: the file changed";
        let through_io = io::Error::from(InputError::Void("the file changed".into()));
        let twice = io::Error::other(io::Error::from(InputError::Void("the file changed".into())));
        assert_eq!(Failure::malformed_by(&twice), Failure::failed(sentence));
        assert_eq!(Failure::from(through_io), Failure::failed(sentence));
        assert_eq!(Failure::from(io::Error::from(InputError::Cancelled)), Failure::failed("cancelled"));
    }

    #[test]
    fn what_is_the_files_fault_is_told_from_what_is_not() {
        assert!(matches!(io::Error::from(io::ErrorKind::UnexpectedEof).into(), Failure::Malformed(_)));
        assert!(matches!(io::Error::new(io::ErrorKind::InvalidData, "bad crc").into(), Failure::Malformed(_)));
        assert!(matches!(io::Error::other("full").into(), Failure::Failed(_)));
        assert_eq!(Failure::malformed_by(&io::Error::other("bad magic")), Failure::malformed("bad magic"));
    }
}
