//! Opening, advancing and following uploads.

use serde::{Deserialize, Serialize};

use crate::{Item, SignedPut, limits};

/// Opens uploads, each by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenRequest {
    /// At most [`crate::limits::MAX_UPLOADS_PER_REQUEST`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_UPLOADS_PER_REQUEST }>")]
    pub uploads: Vec<OpenUpload>,
}

/// One upload to open. Opening it again with the same content answers the same; with another it is a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenUpload {
    /// The client's own id, 32 hex characters.
    pub id: String,
    /// Format of the sealed header, 1 or 2.
    pub format: u8,
    /// What is to be done with each file, in the order of the header; a header of format 1 has one task. At most [`crate::limits::MAX_TASKS`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_TASKS }>")]
    pub tasks: Vec<OpenTask>,
    /// Name of the pool whose recipient the header is sealed for.
    pub pool: String,
    /// Length of the sealed header in bytes.
    pub header_length: u64,
    /// SHA-256 of the sealed header, hex.
    pub header_sha256: String,
    /// Number of chunks.
    pub chunks: u32,
    /// The files, as ranges of neighbours that touch the same chunks, in order, without gaps. Each task has all of them as its jobs: job
    /// number `task × files + file`. At most [`crate::limits::MAX_FILES`] jobs in all.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_FILES as usize }>")]
    pub files: Vec<FileRange>,
    /// Chunks that are sealed already and want their URLs with this answer (at most [`crate::limits::MAX_WANTED_CHUNKS`]).
    #[serde(default)]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_WANTED_CHUNKS }>")]
    pub want: Vec<ChunkWant>,
}

/// What is to be done with each file: the releases that the header names for the task, any of which may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenTask {
    /// Digests, hex, at most [`crate::limits::MAX_TASK_RELEASES`]: the one first that should run where several can.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_TASK_RELEASES }>")]
    pub releases: Vec<String>,
    /// Names of what a processor needs beside what its release needs: [`crate::abilities::LONG_PARAMETERS`], or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_NAMES }>")]
    pub needs: Vec<String>,
}

/// Neighbouring files that lie in the same chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileRange {
    /// Index of the first file.
    pub first_index: u32,
    /// Number of files.
    pub count: u32,
    /// The chunk in which each of them begins.
    pub first_chunk: u32,
    /// The chunk in which each of them ends.
    pub last_chunk: u32,
}

/// A sealed chunk to store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkWant {
    /// Its sequence number.
    pub sequence: u32,
    /// Its exact length in bytes.
    pub length: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

/// Answers [`OpenRequest`], item by item in the order asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenAnswer {
    /// One for each upload.
    pub uploads: Vec<Item<OpenedUpload>>,
    /// What the organisation's plan allows.
    #[serde(default)]
    pub limits: UploadLimits,
}

/// What an upload may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadLimits {
    /// Files.
    pub files: u32,
    /// Chunks.
    pub chunks: u32,
    /// Bytes of a sealed chunk.
    pub chunk_bytes: u64,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self { files: limits::MAX_FILES, chunks: limits::MAX_CHUNKS, chunk_bytes: limits::MAX_CHUNK_BYTES }
    }
}

/// An upload that is open, newly or since before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenedUpload {
    /// Where the sealed header goes; absent when it was already confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<SignedPut>,
    /// Where each wanted chunk goes, in the order asked.
    pub chunks: Vec<SignedPut>,
    /// Chunks that count as stored, as sorted ranges `[first, last]`: a client that resumes skips them. Of very many ranges not all are
    /// told, and their chunks are stored again.
    pub stored: Vec<(u32, u32)>,
    /// What the upload is doing.
    pub state: UploadState,
}

/// Advances uploads, each by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdvanceRequest {
    /// At most [`crate::limits::MAX_UPLOADS_PER_REQUEST`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_UPLOADS_PER_REQUEST }>")]
    pub uploads: Vec<AdvanceUpload>,
}

/// "These are stored, I want URLs for those." The upload is complete when its header and all its chunks are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdvanceUpload {
    /// Id of the upload.
    pub id: String,
    /// The sealed header is stored.
    #[serde(default)]
    pub header_stored: bool,
    /// Chunks that storage has confirmed (at most [`crate::limits::MAX_STORED_CHUNKS`]). A chunk said again with another
    /// content replaces the former while no processor has finished with it.
    #[serde(default)]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_STORED_CHUNKS }>")]
    pub stored: Vec<ChunkWant>,
    /// Chunks that want a URL (at most [`crate::limits::MAX_WANTED_CHUNKS`]).
    #[serde(default)]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_WANTED_CHUNKS }>")]
    pub want: Vec<ChunkWant>,
}

/// Answers [`AdvanceRequest`], item by item in the order asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdvanceAnswer {
    /// One for each upload.
    pub uploads: Vec<Item<AdvancedUpload>>,
}

/// An upload that went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdvancedUpload {
    /// Where each wanted chunk goes, in the order asked.
    pub chunks: Vec<SignedPut>,
    /// What the upload is doing.
    pub state: UploadState,
}

/// What an upload is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UploadState {
    /// Chunks are still to come.
    Uploading,
    /// Everything is stored; jobs wait or run.
    Stored,
    /// Every job has its result.
    Done,
    /// It was cancelled.
    Cancelled,
}

/// Cancels the jobs of uploads that have no result yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CancelRequest {
    /// Ids of the uploads, at most [`crate::limits::MAX_UPLOADS_PER_REQUEST`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_UPLOADS_PER_REQUEST }>")]
    pub uploads: Vec<String>,
}

/// Answers [`CancelRequest`], item by item: how many jobs were cancelled now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cancelled {
    /// One for each upload.
    pub uploads: Vec<Item<u32>>,
}

/// Which of the caller's uploads to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct UploadsQuery {
    /// Only those that were opened after this one: the page before ended with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The caller's uploads that are not done, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Uploads {
    /// At most 1,000.
    pub uploads: Vec<UploadSummary>,
    /// There may be more: read on after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One upload at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadSummary {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub state: UploadState,
    /// Number of files.
    pub files: u32,
    /// Number of tasks; each has a job of each file.
    pub tasks: u32,
    /// Jobs that have their result.
    pub done: u32,
    /// Number of chunks.
    pub chunks: u32,
    /// Chunks stored.
    pub stored: u32,
}

/// Each job of an upload and why it is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStates {
    /// The upload at a glance.
    #[serde(flatten)]
    pub upload: UploadSummary,
    /// Jobs in neighbouring ranges, in order, that have no result yet. What is not listed is done.
    pub waiting: Vec<StateRange>,
}

/// Neighbouring jobs that wait for the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateRange {
    /// Number of the first job.
    pub first_job: u32,
    /// Number of jobs.
    pub count: u32,
    /// What they wait for.
    #[serde(flatten)]
    pub reason: WaitReason,
}

/// Why a job has no result yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitReason {
    /// Its chunks are still to come.
    Uploading,
    /// Chunks must be sent again.
    ChunksMissing,
    /// No processor that was seen lately has all that the job needs, or none was seen.
    NoProcessor {
        /// Names that none of those has which were seen; none, where none was.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lacks: Vec<String>,
    },
    /// Others come first.
    Turn,
    /// A processor has it.
    Running {
        /// How far, from 0 to 1000, as the engine says.
        per_mille: u32,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// The organisation's plan allows no more now.
    OverQuota,
    /// A reason that this build does not know.
    #[serde(other)]
    Unknown,
}
