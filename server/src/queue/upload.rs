//! What an upload is doing, and where its objects are.

use filemill_api::{ChunkWant, ErrorBody, UploadState};

use crate::refusal::bad_request;
use crate::storage::{InvalidKey, Object, ObjectKey};
use crate::store::queue::UploadRow;

/// The objects of wanted chunks; none for an upload that is over, since nobody would ever read them.
pub(super) fn wanted(upload: &str, state: UploadState, want: &[ChunkWant]) -> Result<Vec<Object>, ErrorBody> {
    if matches!(state, UploadState::Done | UploadState::Cancelled) {
        return Ok(Vec::new());
    }
    want.iter()
        .map(|chunk| {
            Ok(Object {
                key: key(ObjectKey::chunk(upload, chunk.sequence, &chunk.sha256))?,
                length: chunk.length,
                sha256: chunk.sha256.clone(),
            })
        })
        .collect()
}

/// A key whose parts were checked before.
pub(super) fn key(made: Result<ObjectKey, InvalidKey>) -> Result<ObjectKey, ErrorBody> {
    made.map_err(|error| bad_request(error.to_string()))
}

/// What an upload is doing, from its row.
pub(super) fn state_of(row: &UploadRow) -> UploadState {
    match row.finished_at {
        Some(_) if row.cancelled => UploadState::Cancelled,
        Some(_) => UploadState::Done,
        None if row.header_stored && row.prefix >= row.chunks => UploadState::Stored,
        None => UploadState::Uploading,
    }
}
