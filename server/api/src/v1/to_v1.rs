//! What is said in version 2, in the words of version 1, as far as it has some.

use std::fmt;

use super::{
    ChunksRequest, Complete, CompleteRequest, Completion, Event, EventKind, EventPage, FetchAnswer, FetchRequest,
    FetchedResult, JobStates, LeaseAnswer, LeaseReport, LeaseRequest, LeaseReturn, LeasedRun, LeasedUpload,
    MissingRequest, OpenUpload, ReportAnswer, ReportRequest, ResultKey, ResultUrlRequest, ReturnRequest, RunKey,
    StateRange, UploadSummary, Uploads, WantResult,
};
use crate::abilities::{LONG_PARAMETERS, backend_of, contract_of};
use crate::limits::{MAX_PARAMETERS_BYTES, USUAL_PARAMETERS_BYTES};
use crate::{self as v2, Item, Outcome};

/// Version 1 has no words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInVersion1;

impl fmt::Display for NotInVersion1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("version 1 of the API has no words for it")
    }
}

impl std::error::Error for NotInVersion1 {}

impl From<v2::SpanKey> for RunKey {
    fn from(v2::SpanKey { span, fence }: v2::SpanKey) -> Self {
        Self { run: span, fence }
    }
}

impl TryFrom<v2::OpenUpload> for OpenUpload {
    type Error = NotInVersion1;

    /// Of a header of format 1, with one release.
    fn try_from(upload: v2::OpenUpload) -> Result<Self, NotInVersion1> {
        let [v2::OpenTask { releases, needs }] = <[_; 1]>::try_from(upload.tasks).map_err(|_| NotInVersion1)?;
        let [release] = <[_; 1]>::try_from(releases).map_err(|_| NotInVersion1)?;
        let long_parameters = match needs.as_slice() {
            [] => false,
            [only] if only == LONG_PARAMETERS => true,
            _ => return Err(NotInVersion1),
        };
        if upload.format != 1 {
            return Err(NotInVersion1);
        }
        Ok(Self {
            id: upload.id,
            release,
            pool: upload.pool,
            header_length: upload.header_length,
            header_sha256: upload.header_sha256,
            chunks: upload.chunks,
            jobs: upload.files,
            long_parameters,
            want: upload.want,
        })
    }
}

impl From<v2::Uploads> for Uploads {
    fn from(uploads: v2::Uploads) -> Self {
        Self { uploads: uploads.uploads.into_iter().map(Into::into).collect(), next: uploads.next }
    }
}

impl From<v2::UploadSummary> for UploadSummary {
    /// With several tasks each job counts as a file.
    fn from(upload: v2::UploadSummary) -> Self {
        let v2::UploadSummary { id, state, files, tasks, done, chunks, stored } = upload;
        Self { id, state, files: files.saturating_mul(tasks), done, chunks, stored }
    }
}

impl From<v2::JobStates> for JobStates {
    fn from(states: v2::JobStates) -> Self {
        Self { upload: states.upload.into(), waiting: states.waiting.into_iter().map(Into::into).collect() }
    }
}

impl From<v2::StateRange> for StateRange {
    fn from(range: v2::StateRange) -> Self {
        Self { first_index: range.first_job, count: range.count, reason: range.reason }
    }
}

impl From<v2::LeaseRequest> for LeaseRequest {
    /// A server of version 1 knows majors only. What it gives for a minor that this node does not have is handed back.
    fn from(request: v2::LeaseRequest) -> Self {
        let names = &request.abilities;
        let mut contracts: Vec<_> = names.iter().filter_map(|name| contract_of(name)).map(|(major, _)| major).collect();
        contracts.sort_unstable();
        contracts.dedup();
        let takes_long = names.iter().any(|name| name == LONG_PARAMETERS);
        Self {
            contracts,
            backends: names.iter().filter_map(|name| backend_of(name)).map(ToOwned::to_owned).collect(),
            parameters_bytes: if takes_long { MAX_PARAMETERS_BYTES } else { USUAL_PARAMETERS_BYTES },
            node: request.node,
            pool: request.pool,
            max_jobs: request.max_jobs,
            idle_slots: request.idle_slots,
            wait_ms: request.wait_ms,
            told: request.told,
        }
    }
}

impl From<v2::LeaseAnswer> for LeaseAnswer {
    fn from(answer: v2::LeaseAnswer) -> Self {
        Self {
            uploads: answer.uploads.into_iter().map(Into::into).collect(),
            lease_ms: answer.lease_ms,
            describe: answer.describe,
            lacks: answer.lacks,
        }
    }
}

impl From<v2::LeasedUpload> for LeasedUpload {
    /// What a node of version 1 can be given has one release.
    fn from(upload: v2::LeasedUpload) -> Self {
        let release = upload.spans.first().map(|span| span.release.clone()).unwrap_or_default();
        let runs = upload.spans.into_iter().map(|span| LeasedRun {
            run: span.span,
            fence: span.fence,
            indexes: span.jobs,
            first_chunk: span.first_chunk,
            last_chunk: span.last_chunk,
            attempt: span.attempt,
            alone: span.alone,
        });
        Self {
            runs: runs.collect(),
            upload: upload.upload,
            release,
            header: upload.header,
            chunks_expected: upload.chunks_expected,
            chunks: upload.chunks,
        }
    }
}

impl From<v2::ChunksRequest> for ChunksRequest {
    fn from(request: v2::ChunksRequest) -> Self {
        let v2::ChunksRequest { lease, from, count, wait_ms } = request;
        Self { lease: lease.into(), from, count, wait_ms }
    }
}

impl From<v2::ReportRequest> for ReportRequest {
    fn from(request: v2::ReportRequest) -> Self {
        Self { node: request.node, leases: request.leases.into_iter().map(Into::into).collect() }
    }
}

impl From<v2::LeaseReport> for LeaseReport {
    fn from(report: v2::LeaseReport) -> Self {
        let v2::LeaseReport { lease, started, per_mille } = report;
        Self { lease: lease.into(), started, per_mille }
    }
}

impl From<v2::ReportAnswer> for ReportAnswer {
    fn from(answer: v2::ReportAnswer) -> Self {
        let keys = |keys: Vec<v2::SpanKey>| keys.into_iter().map(Into::into).collect();
        Self { cancelled: keys(answer.cancelled), lost: keys(answer.lost), lease_ms: answer.lease_ms }
    }
}

impl From<v2::ReturnRequest> for ReturnRequest {
    fn from(request: v2::ReturnRequest) -> Self {
        Self { node: request.node, leases: request.leases.into_iter().map(Into::into).collect() }
    }
}

impl From<v2::LeaseReturn> for LeaseReturn {
    fn from(v2::LeaseReturn { lease, reason }: v2::LeaseReturn) -> Self {
        Self { lease: lease.into(), reason }
    }
}

impl From<v2::MissingRequest> for MissingRequest {
    fn from(request: v2::MissingRequest) -> Self {
        let v2::MissingRequest { node, lease, chunks, header } = request;
        Self { node, lease: lease.into(), chunks, header }
    }
}

impl TryFrom<v2::CompleteRequest> for CompleteRequest {
    type Error = NotInVersion1;

    fn try_from(request: v2::CompleteRequest) -> Result<Self, NotInVersion1> {
        let leases = request.leases.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { node: request.node, leases })
    }
}

impl TryFrom<v2::Complete> for Complete {
    type Error = NotInVersion1;

    /// Where each result is of one job. A batch of one to a header of format 2 looks like that, too: a server of version 1 does not have
    /// its lease.
    fn try_from(complete: v2::Complete) -> Result<Self, NotInVersion1> {
        let jobs = complete.results.into_iter().map(|result| {
            let [v2::JobOutcome { job, outcome }] = <[_; 1]>::try_from(result.jobs).map_err(|_| NotInVersion1)?;
            Ok(Completion { index: job, outcome, sealed: result.sealed })
        });
        Ok(Self { lease: complete.lease.into(), jobs: jobs.collect::<Result<_, _>>()? })
    }
}

impl From<v2::ResultUrlRequest> for ResultUrlRequest {
    fn from(request: v2::ResultUrlRequest) -> Self {
        Self { results: request.results.into_iter().map(Into::into).collect() }
    }
}

impl From<v2::WantResult> for WantResult {
    fn from(want: v2::WantResult) -> Self {
        let v2::WantResult { lease, job, length, sha256 } = want;
        Self { lease: lease.into(), index: job, length, sha256 }
    }
}

impl From<v2::EventPage> for EventPage {
    fn from(page: v2::EventPage) -> Self {
        Self { events: page.events.into_iter().flat_map(events).collect(), next: page.next, reset: page.reset }
    }
}

/// The events of version 1 that one of version 2 is: one for each job. All of a batch have its cursor; its first brings what is sealed,
/// which a reader of version 1 cannot open.
fn events(event: v2::Event) -> Vec<Event> {
    let v2::Event { cursor, mark, upload, kind } = event;
    let one = |kind| Event { cursor, mark: mark.clone(), upload: upload.clone(), kind };
    match kind {
        v2::EventKind::Results { jobs, mut sealed } => jobs
            .into_iter()
            .map(|v2::JobOutcome { job, outcome }| {
                one(EventKind::Result { index: job, outcome, sealed: sealed.take() })
            })
            .collect(),
        v2::EventKind::ChunksMissing { sequences } => vec![one(EventKind::ChunksMissing { sequences })],
        v2::EventKind::Unknown => vec![one(EventKind::Unknown)],
    }
}

impl From<v2::ResultKey> for ResultKey {
    fn from(v2::ResultKey { upload, job }: v2::ResultKey) -> Self {
        Self { upload, index: job }
    }
}

impl From<v2::FetchRequest> for FetchRequest {
    fn from(request: v2::FetchRequest) -> Self {
        let keys = |keys: Vec<v2::ResultKey>| keys.into_iter().map(Into::into).collect();
        Self { after: request.after, mark: request.mark, want: keys(request.want), fetched: keys(request.fetched) }
    }
}

impl FetchAnswer {
    /// What version 2 answers for these keys.
    #[must_use]
    pub fn from_v2(answer: v2::FetchAnswer, wanted: &[ResultKey]) -> Self {
        let results = answer.results.into_iter().zip(wanted).map(|(item, key)| {
            let found = item.into_result().map(|v2::FetchedResult { jobs, sealed, sha256, kept }| {
                let of = jobs.iter().find(|one| one.job == key.index);
                FetchedResult { outcome: of.map_or(Outcome::Unknown, |one| one.outcome), sealed, sha256, kept }
            });
            Item::from(found)
        });
        Self { results: results.collect(), reset: answer.reset }
    }
}
