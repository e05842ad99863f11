//! The fields of a result.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::ResultError;
use crate::identifiers::{Digest, UploadId};
use crate::json;
use crate::outcome::Outcome;

/// What a processor says of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultBody {
    /// The upload.
    pub upload: UploadId,
    /// The file's index in the header.
    pub index: u32,
    /// Digest of the sealed header.
    pub header: Digest,
    /// Digest of the component that ran; there for every analysed file, absent if none ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Digest>,
    /// How it ended; never [`Outcome::Quarantined`], which no processor says.
    pub outcome: Outcome,
    /// What the engine was offered and the verdict confirmed; there for every analysed file, absent unless the file is intact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<EngineInput>,
    /// The engine's report; there if and only if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What went wrong; there if and only if it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What the engine logged, in order.
    #[serde(default)]
    pub log: Vec<LogLine>,
    /// What the run took; zeros if nothing ran.
    #[serde(default)]
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

/// What an engine found out about a file: a JSON object, kept as the text that the engine wrote.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Report(Box<RawValue>);

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
}

impl ResultBody {
    /// Checks that the fields that are there are those that go with the outcome.
    pub(super) fn check(&self) -> Result<(), ResultError> {
        let succeeded = self.outcome == Outcome::Succeeded;
        let what = if self.outcome == Outcome::Quarantined {
            "only the server says that a job is quarantined"
        } else if self.report.is_some() != succeeded {
            "there is a report if and only if the engine succeeded"
        } else if self.failure.is_none() != succeeded {
            "there is a failure if and only if the engine did not succeed"
        } else if self.outcome.analysed() && self.release.is_none() {
            "an analysed file has a release"
        } else if self.outcome.analysed() && self.input.is_none() {
            "an analysed file has an input"
        } else if self.outcome == Outcome::Void && self.input.is_some() {
            "a void file has no input"
        } else {
            return Ok(());
        };
        Err(ResultError::Inconsistent { what })
    }
}

impl Report {
    /// Takes JSON text that an engine wrote.
    ///
    /// # Errors
    ///
    /// [`ResultError::Malformed`] if it is not one JSON object.
    pub fn from_json(text: String) -> Result<Self, ResultError> {
        if !json::is_object(&text) {
            return Err(ResultError::Malformed { detail: "the report is not a JSON object".to_owned() });
        }
        RawValue::from_string(text).map(Self).map_err(ResultError::malformed)
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            Ok(Self(raw))
        } else {
            Err(D::Error::custom("the report is not a JSON object"))
        }
    }
}

impl PartialEq for Report {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Report {}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}
