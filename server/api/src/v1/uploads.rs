//! Opening and following uploads by version 1.

use serde::{Deserialize, Serialize};

use crate::{ChunkWant, FileRange, UploadState, WaitReason};

/// Opens uploads, each by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenRequest {
    /// At most [`crate::limits::MAX_UPLOADS_PER_REQUEST`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_UPLOADS_PER_REQUEST }>")]
    pub uploads: Vec<OpenUpload>,
}

/// One upload to open, with a header of format 1. Opening it again with the same content answers the same; with another it is a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenUpload {
    /// The client's own id, 32 hex characters.
    pub id: String,
    /// Digest of the release that should run, hex. The sealed header must name it too.
    pub release: String,
    /// Name of the pool whose recipient the header is sealed for.
    pub pool: String,
    /// Length of the sealed header in bytes.
    pub header_length: u64,
    /// SHA-256 of the sealed header, hex.
    pub header_sha256: String,
    /// Number of chunks.
    pub chunks: u32,
    /// The jobs, as ranges of neighbouring files that touch the same chunks, in order, without gaps.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_FILES as usize }>")]
    pub jobs: Vec<FileRange>,
    /// The engine parameters in the header are longer than [`crate::limits::USUAL_PARAMETERS_BYTES`]: only processors that take
    /// [`crate::limits::MAX_PARAMETERS_BYTES`] get the jobs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub long_parameters: bool,
    /// Chunks that are sealed already and want their URLs with this answer (at most [`crate::limits::MAX_WANTED_CHUNKS`]).
    #[serde(default)]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_WANTED_CHUNKS }>")]
    pub want: Vec<ChunkWant>,
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
    /// Number of files: of jobs, where the upload has several tasks.
    pub files: u32,
    /// Those that have their result.
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
    /// Index of the first file.
    pub first_index: u32,
    /// Number of files.
    pub count: u32,
    /// What they wait for.
    #[serde(flatten)]
    pub reason: WaitReason,
}
