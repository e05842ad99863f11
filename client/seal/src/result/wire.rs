//! How a result stands in JSON: what belongs to the report beside it.

use serde::{Deserialize, Serialize};

use super::body::{EngineInput, Failure, LogLine, Resources, ResultBody};
use super::error::ResultError;
use super::report::{Artifact, Finding, JsonObject, Report};
use crate::format::Format;
pub(super) use crate::identifiers::BatchId;
use crate::identifiers::{Digest, UploadId};
use crate::outcome::Outcome;

/// A result's place in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) batch: BatchId,
    /// From 0.
    pub(super) position: u32,
    /// How many results the batch has.
    pub(super) members: u32,
}

/// As it is written.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    upload: UploadId,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<u32>,
    index: u32,
    header: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<BatchId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<u32>,
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
pub(super) struct Read {
    upload: UploadId,
    task: Option<u32>,
    index: u32,
    header: Digest,
    batch: Option<BatchId>,
    position: Option<u32>,
    members: Option<u32>,
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

impl<'a> Written<'a> {
    /// A result of format 2 where it has a place in a batch.
    pub(super) fn of(body: &'a ResultBody, place: Option<Place>) -> Self {
        let report = body.report.as_ref();
        Self {
            upload: body.upload,
            task: place.map(|_| body.task),
            index: body.index,
            header: body.header,
            batch: place.map(|place| place.batch),
            position: place.map(|place| place.position),
            members: place.map(|place| place.members),
            release: body.release,
            outcome: body.outcome,
            input: body.input,
            summary: report.map(|report| report.summary.as_str()).filter(|summary| !summary.is_empty()),
            report: report.map(|report| &report.json),
            findings: report.map_or(&[], |report| &report.findings),
            artifacts: report.map_or(&[], |report| &report.artifacts),
            description: report.and_then(|report| report.description),
            failure: body.failure.as_ref(),
            log: &body.log,
            resources: body.resources,
        }
    }
}

impl Read {
    /// What it says, and its place in a batch in format 2. (In format 1 fields of those names are like any that a reader does not know.)
    pub(super) fn into_parts(self, format: Format) -> Result<(ResultBody, Option<Place>), ResultError> {
        let beside = self.summary.is_some()
            || !self.findings.is_empty()
            || !self.artifacts.is_empty()
            || self.description.is_some();
        if beside && self.report.is_none() {
            let detail = "there is something beside a report that is not there".to_owned();
            return Err(ResultError::Malformed { detail });
        }
        let (task, place) = match (format, self.task, self.batch, self.position, self.members) {
            (Format::One, ..) => (0, None),
            (Format::Two, Some(task), Some(batch), Some(position), Some(members)) => {
                (task, Some(Place { batch, position, members }))
            }
            (Format::Two, ..) => {
                let detail = "its task or its place in a batch is missing".to_owned();
                return Err(ResultError::Malformed { detail });
            }
        };
        let body = ResultBody {
            upload: self.upload,
            task,
            index: self.index,
            header: self.header,
            release: self.release,
            outcome: self.outcome,
            input: self.input,
            report: self.report.map(|json| Report {
                json,
                summary: self.summary.unwrap_or_default(),
                findings: self.findings,
                artifacts: self.artifacts,
                description: self.description,
            }),
            failure: self.failure,
            log: self.log,
            resources: self.resources,
        };
        Ok((body, place))
    }
}
