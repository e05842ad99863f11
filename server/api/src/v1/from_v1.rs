//! What came by version 1, in the words of version 2.

use super::{
    ChunksRequest, Complete, CompleteRequest, Completion, Event, EventKind, EventPage, FetchAnswer, FetchRequest,
    FetchedResult, JobStates, LeaseAnswer, LeaseReport, LeaseRequest, LeaseReturn, LeasedUpload, MissingRequest,
    OpenRequest, OpenUpload, ReportAnswer, ReportRequest, ResultKey, ResultUrlRequest, ReturnRequest, RunKey,
    StateRange, UploadSummary, Uploads, WantResult,
};
use crate::abilities::{LONG_PARAMETERS, backend, contract, is_name};
use crate::limits::{MAX_NAMES, MAX_PARAMETERS_BYTES};
use crate::{self as v2, Item};

impl From<RunKey> for v2::SpanKey {
    fn from(RunKey { run, fence }: RunKey) -> Self {
        Self { span: run, fence }
    }
}

impl From<OpenRequest> for v2::OpenRequest {
    fn from(request: OpenRequest) -> Self {
        Self { uploads: request.uploads.into_iter().map(Into::into).collect() }
    }
}

impl From<OpenUpload> for v2::OpenUpload {
    fn from(upload: OpenUpload) -> Self {
        let needs = if upload.long_parameters { vec![LONG_PARAMETERS.to_owned()] } else { Vec::new() };
        Self {
            id: upload.id,
            format: 1,
            tasks: vec![v2::OpenTask { releases: vec![upload.release], needs }],
            pool: upload.pool,
            header_length: upload.header_length,
            header_sha256: upload.header_sha256,
            chunks: upload.chunks,
            files: upload.jobs,
            want: upload.want,
        }
    }
}

impl From<Uploads> for v2::Uploads {
    fn from(uploads: Uploads) -> Self {
        Self { uploads: uploads.uploads.into_iter().map(Into::into).collect(), next: uploads.next }
    }
}

impl From<UploadSummary> for v2::UploadSummary {
    fn from(upload: UploadSummary) -> Self {
        let UploadSummary { id, state, files, done, chunks, stored } = upload;
        Self { id, state, files, tasks: 1, done, chunks, stored }
    }
}

impl From<JobStates> for v2::JobStates {
    fn from(states: JobStates) -> Self {
        Self { upload: states.upload.into(), waiting: states.waiting.into_iter().map(Into::into).collect() }
    }
}

impl From<StateRange> for v2::StateRange {
    fn from(range: StateRange) -> Self {
        Self { first_job: range.first_index, count: range.count, reason: range.reason }
    }
}

impl From<LeaseRequest> for v2::LeaseRequest {
    /// What a node of version 1 has: the first minor of each contract that it says, so that it is never given what it would have to hand
    /// back.
    fn from(request: LeaseRequest) -> Self {
        let contracts = request.contracts.iter().map(|&major| contract(major, 0));
        let backends = request.backends.iter().map(|kind| backend(kind));
        let long = (request.parameters_bytes >= MAX_PARAMETERS_BYTES).then(|| LONG_PARAMETERS.to_owned());
        Self {
            node: request.node,
            pool: request.pool,
            abilities: contracts.chain(backends).chain(long).filter(|name| is_name(name)).take(MAX_NAMES).collect(),
            max_jobs: request.max_jobs,
            idle_slots: request.idle_slots,
            wait_ms: request.wait_ms,
            told: request.told,
        }
    }
}

impl From<LeaseAnswer> for v2::LeaseAnswer {
    fn from(answer: LeaseAnswer) -> Self {
        Self {
            uploads: answer.uploads.into_iter().map(Into::into).collect(),
            lease_ms: answer.lease_ms,
            describe: answer.describe,
            lacks: answer.lacks,
        }
    }
}

impl From<LeasedUpload> for v2::LeasedUpload {
    fn from(upload: LeasedUpload) -> Self {
        let release = upload.release;
        let spans = upload.runs.into_iter().map(|run| v2::LeasedSpan {
            span: run.run,
            fence: run.fence,
            release: release.clone(),
            jobs: run.indexes,
            first_chunk: run.first_chunk,
            last_chunk: run.last_chunk,
            attempt: run.attempt,
            alone: run.alone,
        });
        Self {
            spans: spans.collect(),
            upload: upload.upload,
            header: upload.header,
            chunks_expected: upload.chunks_expected,
            chunks: upload.chunks,
        }
    }
}

impl From<ChunksRequest> for v2::ChunksRequest {
    fn from(request: ChunksRequest) -> Self {
        let ChunksRequest { lease, from, count, wait_ms } = request;
        Self { lease: lease.into(), from, count, wait_ms }
    }
}

impl From<ReportRequest> for v2::ReportRequest {
    fn from(request: ReportRequest) -> Self {
        Self { node: request.node, leases: request.leases.into_iter().map(Into::into).collect() }
    }
}

impl From<LeaseReport> for v2::LeaseReport {
    fn from(report: LeaseReport) -> Self {
        let LeaseReport { lease, started, per_mille } = report;
        Self { lease: lease.into(), started, per_mille }
    }
}

impl From<ReportAnswer> for v2::ReportAnswer {
    fn from(answer: ReportAnswer) -> Self {
        let keys = |keys: Vec<RunKey>| keys.into_iter().map(Into::into).collect();
        Self { cancelled: keys(answer.cancelled), lost: keys(answer.lost), lease_ms: answer.lease_ms }
    }
}

impl From<ReturnRequest> for v2::ReturnRequest {
    fn from(request: ReturnRequest) -> Self {
        Self { node: request.node, leases: request.leases.into_iter().map(Into::into).collect() }
    }
}

impl From<LeaseReturn> for v2::LeaseReturn {
    fn from(LeaseReturn { lease, reason }: LeaseReturn) -> Self {
        Self { lease: lease.into(), reason }
    }
}

impl From<MissingRequest> for v2::MissingRequest {
    fn from(request: MissingRequest) -> Self {
        let MissingRequest { node, lease, chunks, header } = request;
        Self { node, lease: lease.into(), chunks, header }
    }
}

impl From<CompleteRequest> for v2::CompleteRequest {
    fn from(request: CompleteRequest) -> Self {
        Self { node: request.node, leases: request.leases.into_iter().map(Into::into).collect() }
    }
}

impl From<Complete> for v2::Complete {
    fn from(complete: Complete) -> Self {
        Self { lease: complete.lease.into(), results: complete.jobs.into_iter().map(Into::into).collect() }
    }
}

impl From<Completion> for v2::SpanResult {
    fn from(completion: Completion) -> Self {
        let Completion { index, outcome, sealed } = completion;
        Self { jobs: vec![v2::JobOutcome { job: index, outcome }], sealed }
    }
}

impl From<ResultUrlRequest> for v2::ResultUrlRequest {
    fn from(request: ResultUrlRequest) -> Self {
        Self { results: request.results.into_iter().map(Into::into).collect() }
    }
}

impl From<WantResult> for v2::WantResult {
    fn from(want: WantResult) -> Self {
        let WantResult { lease, index, length, sha256 } = want;
        Self { lease: lease.into(), job: index, length, sha256 }
    }
}

impl From<EventPage> for v2::EventPage {
    fn from(page: EventPage) -> Self {
        Self { events: page.events.into_iter().map(Into::into).collect(), next: page.next, reset: page.reset }
    }
}

impl From<Event> for v2::Event {
    fn from(event: Event) -> Self {
        let kind = match event.kind {
            EventKind::Result { index, outcome, sealed } => {
                v2::EventKind::Results { jobs: vec![v2::JobOutcome { job: index, outcome }], sealed }
            }
            EventKind::ChunksMissing { sequences } => v2::EventKind::ChunksMissing { sequences },
            EventKind::Unknown => v2::EventKind::Unknown,
        };
        Self { cursor: event.cursor, mark: event.mark, upload: event.upload, kind }
    }
}

impl From<ResultKey> for v2::ResultKey {
    fn from(ResultKey { upload, index }: ResultKey) -> Self {
        Self { upload, job: index }
    }
}

impl From<FetchRequest> for v2::FetchRequest {
    fn from(request: FetchRequest) -> Self {
        let keys = |keys: Vec<ResultKey>| keys.into_iter().map(Into::into).collect();
        Self {
            after: request.after,
            mark: request.mark,
            device: None,
            want: keys(request.want),
            fetched: keys(request.fetched),
        }
    }
}

impl FetchAnswer {
    /// The same in the words of version 2. `wanted` are the keys that were asked for, in order: version 1 does not say again which job a
    /// result is of.
    #[must_use]
    pub fn into_v2(self, wanted: &[v2::ResultKey]) -> v2::FetchAnswer {
        let results =
            self.results.into_iter().zip(wanted).map(|(item, key)| {
                let found = item.into_result().map(|FetchedResult { outcome, sealed, sha256, kept }| {
                    v2::FetchedResult { jobs: vec![v2::JobOutcome { job: key.job, outcome }], sealed, sha256, kept }
                });
                Item::from(found)
            });
        v2::FetchAnswer { results: results.collect(), reset: self.reset }
    }
}
