//! How a result stands in JSON: what belongs to the report beside it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::body::{EngineInput, Failure, LogLine, Resources, ResultBody};
use super::report::{Artifact, Finding, JsonObject, Report};
use crate::identifiers::{Digest, UploadId};
use crate::outcome::Outcome;

/// As it is written.
#[derive(Serialize)]
struct Written<'a> {
    upload: UploadId,
    index: u32,
    header: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Digest>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<EngineInput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a JsonObject>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifacts: &'a [Artifact],
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
    log: &'a [LogLine],
    resources: Resources,
}

/// As it is read: whatever came later than the first processors may be absent.
#[derive(Deserialize)]
struct Read {
    upload: UploadId,
    index: u32,
    header: Digest,
    release: Option<Digest>,
    outcome: Outcome,
    input: Option<EngineInput>,
    summary: Option<String>,
    report: Option<JsonObject>,
    #[serde(default)]
    findings: Vec<Finding>,
    #[serde(default)]
    artifacts: Vec<Artifact>,
    description: Option<Digest>,
    failure: Option<Failure>,
    #[serde(default)]
    log: Vec<LogLine>,
    #[serde(default)]
    resources: Resources,
}

impl Serialize for ResultBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.report.as_ref();
        Written {
            upload: self.upload,
            index: self.index,
            header: self.header,
            release: self.release,
            outcome: self.outcome,
            input: self.input,
            summary: report.map(|report| report.summary.as_str()).filter(|summary| !summary.is_empty()),
            report: report.map(|report| &report.json),
            findings: report.map_or(&[], |report| &report.findings),
            artifacts: report.map_or(&[], |report| &report.artifacts),
            description: report.and_then(|report| report.description),
            failure: self.failure.as_ref(),
            log: &self.log,
            resources: self.resources,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ResultBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        let beside = read.summary.is_some()
            || !read.findings.is_empty()
            || !read.artifacts.is_empty()
            || read.description.is_some();
        if beside && read.report.is_none() {
            return Err(D::Error::custom("there is something beside a report that is not there"));
        }
        Ok(Self {
            upload: read.upload,
            index: read.index,
            header: read.header,
            release: read.release,
            outcome: read.outcome,
            input: read.input,
            report: read.report.map(|json| Report {
                json,
                summary: read.summary.unwrap_or_default(),
                findings: read.findings,
                artifacts: read.artifacts,
                description: read.description,
            }),
            failure: read.failure,
            log: read.log,
            resources: read.resources,
        })
    }
}
