//! What a processor asks and says.

use serde::{Deserialize, Serialize};

use crate::{Base64, Item, Outcome, SignedGet, SignedPut};

/// Asks for work, and waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseRequest {
    /// The node's own id, new at each start; 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub node: String,
    /// The pool it belongs to.
    pub pool: String,
    /// Names of what it has, at most [`crate::limits::MAX_NAMES`]: it is given only what needs nothing else ([`crate::abilities`]).
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_NAMES }>")]
    pub abilities: Vec<String>,
    /// At most this many jobs, up to [`crate::limits::MAX_LEASED_JOBS`].
    pub max_jobs: u32,
    /// How many jobs of incomplete uploads it would take in idle slots.
    pub idle_slots: u32,
    /// How long to wait for work, up to [`crate::limits::MAX_WAIT_MS`].
    pub wait_ms: u32,
    /// Now and then: what the node told before, so that a server whose database does not have it (any more) can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// What a node told the server before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Told {
    /// Serial of the pool's statement that it published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<u64>,
    /// How many engines of its own it offers.
    #[serde(default)]
    pub offers: u32,
    /// Descriptions that it gave: the release's digest, and the document's SHA-256. At most [`crate::limits::MAX_TOLD`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descriptions: Vec<(String, String)>,
}

/// The work, grouped by upload. Nothing in it: none came in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseAnswer {
    /// Uploads with spans for this node.
    pub uploads: Vec<LeasedUpload>,
    /// For how long, from the answer; report within a third of it.
    pub lease_ms: u32,
    /// Digests of releases that nobody has described yet and this node could run, at most
    /// [`crate::limits::MAX_DESCRIBE`]: install each and `PUT` its description. With these alone the answer comes at once.
    /// A node is asked for the same one again after some minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub describe: Vec<String>,
    /// What of [`LeaseRequest::told`] the server does not have, so that the node tells it again: `statement`, `offers`. (Descriptions stand in
    /// `describe`.) With these alone the answer comes at once. Words that are not known are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// One upload some of whose jobs are leased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeasedUpload {
    /// Its id.
    pub upload: String,
    /// The sealed header.
    pub header: SignedGet,
    /// Number of chunks of the whole upload.
    pub chunks_expected: u32,
    /// The first chunks of the leased spans that are stored; ask for others by [`ChunksRequest`].
    pub chunks: Vec<ChunkUrl>,
    /// The spans.
    pub spans: Vec<LeasedSpan>,
}

/// Neighbouring jobs of one task under one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeasedSpan {
    /// Its id.
    pub span: i64,
    /// The claim's number; it grows with every claim of a job.
    pub fence: i64,
    /// Digest of the release to run, hex: one of those that the header allows for the task.
    pub release: String,
    /// Numbers of its jobs, ascending, at most [`crate::limits::MAX_SPAN_JOBS`], all of one task.
    pub jobs: Vec<u32>,
    /// The chunk in which the first file begins.
    pub first_chunk: u32,
    /// The chunk in which the last file ends.
    pub last_chunk: u32,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// A node died while it ran this job: run it with nothing beside it.
    pub alone: bool,
}

/// One stored chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkUrl {
    /// Its sequence number.
    pub sequence: u32,
    /// Where it is.
    pub get: SignedGet,
}

/// Names a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanKey {
    /// Id of the span.
    pub span: i64,
    /// Its fence.
    pub fence: i64,
}

/// Asks for chunk URLs, and waits for the first of them to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunksRequest {
    /// Under which lease.
    #[serde(flatten)]
    pub lease: SpanKey,
    /// From this sequence number on.
    pub from: u32,
    /// At most this many, up to [`crate::limits::MAX_WANTED_CHUNKS`].
    pub count: u32,
    /// How long to wait, up to [`crate::limits::MAX_WAIT_MS`].
    pub wait_ms: u32,
}

/// The stored chunks from the one asked for on, without a gap; empty: it did not come in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunksAnswer {
    /// In order.
    pub chunks: Vec<ChunkUrl>,
}

/// Says what a node's leases are doing, which also prolongs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportRequest {
    /// The node.
    pub node: String,
    /// Every lease it holds, at most [`crate::limits::MAX_LEASES_PER_REQUEST`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_LEASES_PER_REQUEST }>")]
    pub leases: Vec<LeaseReport>,
}

/// What one lease is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseReport {
    /// Which.
    #[serde(flatten)]
    pub lease: SpanKey,
    /// Numbers of jobs that are about to run: suspects if the node dies now. A node reports before it runs.
    #[serde(default)]
    pub started: Vec<u32>,
    /// How far the lease's running jobs are, 0 to 1000.
    #[serde(default)]
    pub per_mille: u32,
}

/// Which leases to stop working on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportAnswer {
    /// The uploader cancelled these; complete them as cancelled or let them go.
    pub cancelled: Vec<SpanKey>,
    /// These have passed to another.
    pub lost: Vec<SpanKey>,
    /// For how long the others are held, from the answer.
    pub lease_ms: u32,
}

/// Hands leases back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReturnRequest {
    /// The node.
    pub node: String,
    /// At most [`crate::limits::MAX_LEASES_PER_REQUEST`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_LEASES_PER_REQUEST }>")]
    pub leases: Vec<LeaseReturn>,
}

/// Hands one lease back: the jobs in it that are not completed wait for another, without blame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseReturn {
    /// Which.
    #[serde(flatten)]
    pub lease: SpanKey,
    /// Why.
    pub reason: ReturnReason,
}

/// Why a lease is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReturnReason {
    /// No new chunk came in time, or storage does not answer the node: it waits until all its chunks are stored, and was not tried.
    Stalled,
    /// The node is shutting down.
    ShuttingDown,
    /// The node has a fault of its own (disk, memory, release that it cannot get); another may not.
    NodeFault,
}

/// Says that stored chunks, or the header, are not there, or not what the row says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingRequest {
    /// The node.
    pub node: String,
    /// Under which lease; it ends with this, and its jobs wait for the chunks.
    #[serde(flatten)]
    pub lease: SpanKey,
    /// The chunks, with the digests that were looked for, so that one stored anew meanwhile is left alone.
    pub chunks: Vec<(u32, String)>,
    /// The sealed header is not there.
    #[serde(default)]
    pub header: bool,
}

/// Completes jobs, each by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompleteRequest {
    /// The node.
    pub node: String,
    /// Leases with what was completed of each; at most [`crate::limits::MAX_COMPLETIONS`] jobs in all.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_COMPLETIONS }>")]
    pub leases: Vec<Complete>,
}

/// What was completed of one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(from = "CompleteFields")]
pub struct Complete {
    /// Which.
    #[serde(flatten)]
    pub lease: SpanKey,
    /// What came of it.
    pub results: Vec<SpanResult>,
}

/// As [`Complete`] stands in JSON. Whoever flattens keeps every field that is not known until the end, and a request may have many.
#[derive(Deserialize)]
struct CompleteFields {
    span: i64,
    fence: i64,
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_SPAN_JOBS as usize }>")]
    results: Vec<SpanResult>,
}

impl From<CompleteFields> for Complete {
    fn from(fields: CompleteFields) -> Self {
        Self { lease: SpanKey { span: fields.span, fence: fields.fence }, results: fields.results }
    }
}

/// One sealed result, and the jobs that it answers. To a header of format 1 each job has one of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpanResult {
    /// The jobs, ascending: those of the batch's members, in their order. They are recorded together or not at all.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_SPAN_JOBS as usize }>")]
    pub jobs: Vec<JobOutcome>,
    /// What the uploader may read; absent only where the header could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBody>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobOutcome {
    /// Its number.
    pub job: u32,
    /// How it ended; what the server knows.
    pub outcome: Outcome,
}

/// A sealed result on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SealedBody {
    /// The age file itself, at most [`crate::limits::MAX_INLINE_RESULT_BYTES`] bytes.
    Inline(Base64),
    /// It was stored under the URL that [`ResultUrlRequest`] gave.
    Object {
        /// Its length in bytes.
        length: u64,
        /// Its SHA-256, hex.
        sha256: String,
    },
}

/// Answers [`CompleteRequest`], lease by lease in the order sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompleteAnswer {
    /// One for each lease: code `fenced` when it has passed to another.
    pub leases: Vec<Item<Completed>>,
}

/// What became of a lease's completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Completed {
    /// How many are recorded, now or before.
    pub recorded: u32,
    /// Whether the lease has ended with this: all its jobs are done.
    pub ended: bool,
}

/// Asks where large results go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultUrlRequest {
    /// The results, at most [`crate::limits::MAX_WANTED_CHUNKS`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_WANTED_CHUNKS }>")]
    pub results: Vec<WantResult>,
}

/// One large result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WantResult {
    /// Under which lease.
    #[serde(flatten)]
    pub lease: SpanKey,
    /// The first job that it answers.
    pub job: u32,
    /// Its exact length in bytes.
    pub length: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

/// Where each goes, in the order asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultUrls {
    /// One for each result.
    pub results: Vec<Item<SignedPut>>,
}
