//! What an engine reported, as an application is told it.

use std::path::PathBuf;

use filemill_seal::{self as seal, Digest, Finding, JsonObject};
use serde::Serialize;

use crate::plain;

/// What an engine found out about a file. All of it is the engine's word, and may be hostile to whoever prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The report proper.
    pub json: JsonObject,
    /// It in one line; may be empty.
    pub summary: String,
    /// What was found, in the engine's order.
    pub findings: Vec<Finding>,
    /// What there is beside the report.
    pub artifacts: Vec<SavedArtifact>,
    /// SHA-256 of the release's description, which says how to show the report.
    pub description: Option<Digest>,
}

/// Something to look at beside a report. Its bytes are in the sealed result, and in a file where that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedArtifact {
    /// A plain file name.
    pub name: String,
    /// What it is, such as `image/svg+xml`.
    pub media_type: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// The file that it was saved to.
    #[serde(serialize_with = "plain::path_if_any")]
    pub path: Option<PathBuf>,
}

impl Report {
    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.json.as_str()
    }

    /// About how many bytes it takes in memory, without what few and short things add.
    pub(crate) fn bytes(&self) -> usize {
        let of = |finding: &Finding| {
            128 + finding.summary.len() + finding.json.as_ref().map_or(0, |json| json.as_str().len())
        };
        self.json.as_str().len() + self.findings.iter().map(of).sum::<usize>()
    }

    /// Splits what an engine reported from the bytes beside it.
    pub(crate) fn split(report: seal::Report) -> (Self, Vec<seal::Artifact>) {
        let artifacts = report.artifacts.iter().map(|artifact| SavedArtifact {
            name: artifact.name.clone(),
            media_type: artifact.media_type.clone(),
            bytes: artifact.data.len() as u64,
            path: None,
        });
        let told = Self {
            artifacts: artifacts.collect(),
            json: report.json,
            summary: report.summary,
            findings: report.findings,
            description: report.description,
        };
        (told, report.artifacts)
    }
}
