//! What stands in a header.

use std::fmt;

use crate::data_key::DataKey;
use crate::identifiers::{Digest, UploadId};
use crate::identity::Recipient;

/// Everything a processor must know of an upload, and nobody else may.
///
/// `Debug` shows neither key, names nor lengths.
#[derive(Clone)]
pub struct Header {
    /// The upload it describes.
    pub upload: UploadId,
    /// Seals the upload's chunks and authenticates its results.
    pub key: DataKey,
    /// Whom results are sealed for.
    pub uploader: Recipient,
    /// Releases of which any may run, 1 to [`RELEASES_MAX`](crate::RELEASES_MAX); nothing else may.
    pub releases: Vec<Digest>,
    /// Engine parameters: a JSON object of at most [`PARAMETERS_MAX_BYTES`](crate::PARAMETERS_MAX_BYTES) bytes.
    pub parameters: String,
    /// In bytes; a power of two from [`CHUNK_SIZE_MIN`](crate::CHUNK_SIZE_MIN) to [`CHUNK_SIZE_MAX`](crate::CHUNK_SIZE_MAX).
    pub chunk_size: u32,
    /// Seconds since 1970-01-01 UTC; nothing runs later.
    pub not_after: u64,
    /// The files in the order of the stream, 1 to [`FILES_MAX`](crate::FILES_MAX).
    pub files: Vec<FileEntry>,
}

/// One file of an upload. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileEntry {
    /// As the uploader's system has it, 1 to [`NAME_MAX_BYTES`](crate::NAME_MAX_BYTES) bytes of any value.
    pub name: Vec<u8>,
    /// Announced length, in bytes.
    pub length: u64,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("upload", &self.upload)
            .field("uploader", &self.uploader)
            .field("releases", &self.releases)
            .field("chunk_size", &self.chunk_size)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FileEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileEntry { .. }")
    }
}
