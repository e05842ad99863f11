//! What a release says about itself.

use super::job::Access;
use super::json::{NotAnObject, check_line, check_object, is_media_type};
use super::outcome::Failure;

/// What a release says about itself. It is a claim: it names and authorises nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Short name, `[a-z0-9-]`, 1 to 64 bytes.
    pub name: String,
    /// The engine's own version, SemVer.
    pub version: String,
    /// One sentence for people, at most 512 bytes, without control characters other than line feed and tab.
    pub summary: String,
    /// Media types it understands, `image/png` or `text/*`; empty: any.
    pub media_types: Vec<String>,
    /// How it wants its input.
    pub access: Access,
    /// JSON Schema of its parameters, a JSON object; empty: it takes none.
    pub parameter_schema: String,
    /// JSON Schema of its reports, a JSON object with display hints; empty: it says nothing.
    pub report_schema: String,
}

/// Why a release does not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// It did not get that far.
    #[error("the engine does not describe itself: {}", .0.message())]
    Ended(Failure),
    /// What it says breaks the contract.
    #[error("the engine describes itself with a bad `{field}`: {reason}")]
    Invalid {
        /// Which part.
        field: &'static str,
        /// Which rule it breaks.
        reason: String,
    },
}

impl Description {
    /// The description as an engine gave it, if it keeps to the rules in `wit/engine`.
    ///
    /// # Errors
    ///
    /// [`DescribeError::Invalid`] names the first part that does not.
    pub fn checked(mut self) -> Result<Self, DescribeError> {
        fn invalid<T>(field: &'static str, reason: &str) -> Result<T, DescribeError> {
            Err(DescribeError::Invalid { field, reason: reason.to_owned() })
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return invalid("name", "it is not 1 to 64 characters of `a-z`, `0-9` and `-`");
        }
        if self.version.len() > 64 || semver::Version::parse(&self.version).is_err() {
            return invalid("version", "it is not a SemVer version of at most 64 bytes");
        }
        self.summary = check_line(&self.summary).or_else(|why| invalid("summary", &format!("it {why}")))?;
        if self.media_types.len() > 64 || !self.media_types.iter().all(|text| is_media_type(text)) {
            return invalid("media-types", "it is not a list of at most 64 media types");
        }
        for (field, schema) in [("parameter-schema", &self.parameter_schema), ("report-schema", &self.report_schema)] {
            if !schema.is_empty()
                && let Err(NotAnObject(why)) = check_object(schema)
            {
                return invalid(field, &format!("it is not a JSON object: {why}"));
            }
        }
        Ok(self)
    }
}
