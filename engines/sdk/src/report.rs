//! What an analysis found.

use serde::Serialize;

use crate::Failure;

/// What an analysis found: a line for people, data for programs, and things to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(crate) summary: String,
    pub(crate) json: String,
    pub(crate) artifacts: Vec<Artifact>,
}

/// Something to look at beside the report: a plot, a thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// A plain file name: 1 to 100 characters of `[A-Za-z0-9._-]`, not beginning with `.` or `-`.
    pub name: String,
    /// What it is, such as `image/svg+xml`.
    pub media_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// How long a summary may be.
const SUMMARY_BYTES: usize = 512;

impl Report {
    /// A report of `data`, which becomes one JSON object. `summary` is one line of at most 512 bytes; what is longer is cut.
    ///
    /// # Errors
    ///
    /// When `data` has no form in JSON, or is no object there.
    pub fn new(summary: impl Into<String>, data: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { summary: one_line(summary.into()), json: object(data)?, artifacts: Vec::new() })
    }

    /// The report, with an artifact more. `name` is a plain file name (`[A-Za-z0-9._-]`, at most 100 characters, not beginning
    /// with `.` or `-`), unique in the report; a host refuses another.
    #[must_use]
    pub fn with_artifact(
        mut self,
        name: impl Into<String>,
        media_type: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Self {
        self.artifacts.push(Artifact { name: name.into(), media_type: media_type.into(), data: data.into() });
        self
    }

    /// The line for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The JSON object.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What is to be looked at, in the order in which it was added.
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }
}

/// `data` as one JSON object.
///
/// # Errors
///
/// When it has no form in JSON, or is no object there.
pub(crate) fn object(data: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(data)
        .map_err(|error| Failure::failed(format!("the engine's data has no form in JSON: {error}")))?;
    if !json.starts_with('{') {
        return Err(Failure::failed("the engine's data is no JSON object"));
    }
    Ok(json)
}

/// `text` without control characters, cut to what a summary may have.
pub(crate) fn one_line(mut text: String) -> String {
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    if text.len() > SUMMARY_BYTES {
        let end = text.floor_char_boundary(SUMMARY_BYTES - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Data {
        rows: u64,
    }

    #[test]
    fn a_report_is_one_object_with_a_line_beside_it() {
        let report =
            Report::new("3 rows", &Data { rows: 3 }).expect("an object").with_artifact("a.txt", "text/plain", "x");
        assert_eq!((report.summary(), report.json()), ("3 rows", r#"{"rows":3}"#));
        assert_eq!(report.artifacts().len(), 1);
        assert!(Report::new("", &3).is_err());
        assert!(Report::new("", &[3]).is_err());
    }

    #[test]
    fn a_summary_is_one_line_of_bounded_length() {
        let report = Report::new("ü\n".repeat(400), &Data { rows: 0 }).expect("an object");
        assert!(report.summary().len() <= SUMMARY_BYTES, "{}", report.summary().len());
        assert!(report.summary().starts_with("ü ü"));
        assert!(report.summary().ends_with('…'));
    }
}
