//! What an engine hands out when it succeeds.

use std::fmt;

use bytes::Bytes;

use super::json::{NotAnObject, check_line, check_object};
use super::limits::Limits;
use super::outcome::{Failure, Outcome};

/// What an engine found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One line for people, at most 512 bytes, without control characters.
    pub summary: String,
    /// One JSON object, within the output limit, nested at most 100 deep; otherwise as the engine wrote it.
    pub json: String,
    /// Single things that it found, in the order in which it said so. Contract 1 has none.
    pub findings: Vec<Finding>,
    /// Plots, thumbnails: each name comes once.
    pub artifacts: Vec<Artifact>,
}

impl Report {
    /// A report as an engine gave it, if it is what the contract asks for and within `limits`.
    ///
    /// # Errors
    ///
    /// [`Outcome::OverOutput`] where it is too long, [`Outcome::BadReport`] where it is not one JSON object or its summary not one
    /// line.
    pub fn checked(
        summary: &str,
        json: String,
        findings: Vec<Finding>,
        artifacts: Vec<Artifact>,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        if json.len() > limits.output_bytes {
            let (got, limit) = (json.len(), limits.output_bytes);
            return Err(Failure::new(
                Outcome::OverOutput,
                format!("the engine's report has {got} bytes, at most {limit} are allowed"),
            )
            .with_hint("a report is a summary; the release's output limit can be raised"));
        }
        let broken = |message: String| {
            Failure::new(Outcome::BadReport, message).with_hint("this is a fault of the engine: tell its author")
        };
        let summary = check_line(summary).map_err(|why| broken(format!("the summary of the engine's report {why}")))?;
        check_object(&json)
            .map_err(|NotAnObject(why)| broken(format!("the engine's report is not a JSON object: {why}")))?;
        Ok(Self { summary, json, findings, artifacts })
    }
}

/// One thing that an engine found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing, 1 to 64 characters of `[a-z0-9.-]`.
    pub kind: String,
    /// The engine's own judgement.
    pub severity: Severity,
    /// One line for people, at most 512 bytes, without control characters.
    pub summary: String,
    /// One JSON object.
    pub json: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// `info`, `low`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Something to look at beside a report.
#[derive(Clone, PartialEq, Eq)]
pub struct Artifact {
    /// A plain file name: 1 to 100 characters of `[A-Za-z0-9._-]`, not beginning with `.` or `-`.
    pub name: String,
    /// What the engine says it is, such as `image/svg+xml`.
    pub media_type: String,
    /// Its bytes: the engine's, and so hostile.
    pub data: Bytes,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("name", &self.name)
            .field("media_type", &self.media_type)
            .field("bytes", &self.data.len())
            .finish()
    }
}
