//! What a processor asks and says by version 1.

use serde::{Deserialize, Serialize};

use crate::{ChunkUrl, Outcome, ReturnReason, SealedBody, SignedGet, Told, limits};

/// Asks for work, and waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseRequest {
    /// The node's own id, new at each start; 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub node: String,
    /// The pool it belongs to.
    pub pool: String,
    /// Majors of the engine contract that it runs.
    pub contracts: Vec<u32>,
    /// Backends that it has, `component` today.
    pub backends: Vec<String>,
    /// The longest engine parameters that it takes, in bytes of JSON; without it [`crate::limits::USUAL_PARAMETERS_BYTES`].
    #[serde(default = "usual_parameters")]
    pub parameters_bytes: u32,
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

fn usual_parameters() -> u32 {
    limits::USUAL_PARAMETERS_BYTES
}

/// The work, grouped by upload. Nothing in it: none came in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseAnswer {
    /// Uploads with runs for this node.
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
    /// Digest of the release to run, hex.
    pub release: String,
    /// The sealed header.
    pub header: SignedGet,
    /// Number of chunks of the whole upload.
    pub chunks_expected: u32,
    /// The first chunks of the leased runs that are stored; ask for others by [`ChunksRequest`].
    pub chunks: Vec<ChunkUrl>,
    /// The runs.
    pub runs: Vec<LeasedRun>,
}

/// Neighbouring jobs under one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeasedRun {
    /// Its id.
    pub run: i64,
    /// The claim's number; it grows with every claim of a job.
    pub fence: i64,
    /// Indexes of its files, ascending, at most [`crate::limits::MAX_SPAN_JOBS`].
    pub indexes: Vec<u32>,
    /// The chunk in which the first file begins.
    pub first_chunk: u32,
    /// The chunk in which the last file ends.
    pub last_chunk: u32,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// A node died while it ran this job: run it with nothing beside it.
    pub alone: bool,
}

/// Names a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunKey {
    /// Id of the run.
    pub run: i64,
    /// Its fence.
    pub fence: i64,
}

/// Asks for chunk URLs, and waits for the first of them to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunksRequest {
    /// Under which lease.
    #[serde(flatten)]
    pub lease: RunKey,
    /// From this sequence number on.
    pub from: u32,
    /// At most this many, up to [`crate::limits::MAX_WANTED_CHUNKS`].
    pub count: u32,
    /// How long to wait, up to [`crate::limits::MAX_WAIT_MS`].
    pub wait_ms: u32,
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
    pub lease: RunKey,
    /// Jobs that are about to run, by file index: suspects if the node dies now. A node reports before it runs.
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
    pub cancelled: Vec<RunKey>,
    /// These have passed to another.
    pub lost: Vec<RunKey>,
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
    pub lease: RunKey,
    /// Why.
    pub reason: ReturnReason,
}

/// Says that stored chunks, or the header, are not there, or not what the row says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingRequest {
    /// The node.
    pub node: String,
    /// Under which lease; it ends with this, and its jobs wait for the chunks.
    #[serde(flatten)]
    pub lease: RunKey,
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
    pub lease: RunKey,
    /// Its completed jobs.
    pub jobs: Vec<Completion>,
}

/// As [`Complete`] stands in JSON. Whoever flattens keeps every field that is not known until the end, and a request may have many.
#[derive(Deserialize)]
struct CompleteFields {
    run: i64,
    fence: i64,
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_SPAN_JOBS as usize }>")]
    jobs: Vec<Completion>,
}

impl From<CompleteFields> for Complete {
    fn from(fields: CompleteFields) -> Self {
        Self { lease: RunKey { run: fields.run, fence: fields.fence }, jobs: fields.jobs }
    }
}

/// One completed job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Completion {
    /// The file's index.
    pub index: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What the uploader may read; absent only where the header could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBody>,
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
    pub lease: RunKey,
    /// The file's index.
    pub index: u32,
    /// Its exact length in bytes.
    pub length: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}
