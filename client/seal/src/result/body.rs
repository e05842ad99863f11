//! The fields of a result.

use serde::{Deserialize, Serialize};

use super::ResultError;
use super::report::Report;
use crate::identifiers::{Digest, UploadId};
use crate::outcome::Outcome;

/// What a processor says of one job.
///
/// In a result's JSON, what belongs to the report (its line, findings, artifacts, and the digest of the description) stands beside
/// it, so that whoever knows only the report reads that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultBody {
    /// The upload.
    pub upload: UploadId,
    /// The task's position in the header; 0 in format 1.
    pub task: u32,
    /// The file's index in the header.
    pub index: u32,
    /// Digest of the sealed header.
    pub header: Digest,
    /// Digest of the component that ran; there for every analysed file, absent if none ran.
    pub release: Option<Digest>,
    /// How it ended; never one that only the server says.
    pub outcome: Outcome,
    /// What the engine was offered and the verdict confirmed; there for every analysed file, absent unless the file is intact.
    pub input: Option<EngineInput>,
    /// The engine's report; there if and only if it succeeded.
    pub report: Option<Report>,
    /// What went wrong; there if and only if it did not succeed.
    pub failure: Option<Failure>,
    /// What the engine logged, in order.
    pub log: Vec<LogLine>,
    /// What the run took; zeros if nothing ran.
    pub resources: Resources,
}

/// The bytes that the engine was offered: those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInput {
    /// How many.
    pub length: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short word for the kind of failure.
    pub kind: String,
    /// A sentence for people.
    pub message: String,
}

/// One line that the engine logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How important the engine finds it.
    pub level: String,
    /// The text.
    pub message: String,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes of the file that the engine read.
    pub bytes_read: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Time from start to end, in microseconds.
    pub wall_us: u64,
    /// Most memory the engine held at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Calls the engine made into the host.
    pub host_calls: u64,
    /// Time spent waiting for the file's bytes, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_wait_us: u64,
}

/// Checks that the fields that are there are those that go with the outcome, and that the report stays within its bounds.
pub(super) fn check(body: &ResultBody) -> Result<(), ResultError> {
    let succeeded = body.outcome == Outcome::Succeeded;
    let what = if !body.outcome.is_sealed() {
        "only the server says that a job is quarantined"
    } else if body.report.is_some() != succeeded {
        "there is a report if and only if the engine succeeded"
    } else if body.failure.is_none() != succeeded {
        "there is a failure if and only if the engine did not succeed"
    } else if body.outcome.analysed() && body.release.is_none() {
        "an analysed file has a release"
    } else if body.outcome.analysed() && body.input.is_none() {
        "an analysed file has an input"
    } else if body.outcome == Outcome::Void && body.input.is_some() {
        "a void file has no input"
    } else {
        return body.report.as_ref().map_or(Ok(()), Report::check);
    };
    Err(ResultError::Inconsistent { what })
}

/// Left out where it says nothing, so that a result reads as it did before there was such a field.
fn is_zero(number: &u64) -> bool {
    *number == 0
}
