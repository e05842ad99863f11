//! What stands in a header.

use std::collections::BTreeSet;
use std::fmt;

use crate::data_key::DataKey;
use crate::format::Format;
use crate::identifiers::{Digest, UploadId};
use crate::identity::Recipient;

/// Everything a processor must know of an upload, and nobody else may.
///
/// `Debug` shows neither key, names nor lengths.
#[derive(Clone)]
pub struct Header {
    /// How it is written, and in which form its results come.
    pub format: Format,
    /// The upload it describes.
    pub upload: UploadId,
    /// Seals the upload's chunks and authenticates its results.
    pub key: DataKey,
    /// Whom results are sealed for.
    pub uploader: Recipient,
    /// What is to be done with each file, 1 to [`TASKS_MAX`](crate::TASKS_MAX); one in format 1.
    pub tasks: Vec<Task>,
    /// Whom results are sealed for beside the uploader, at most [`ORGANISATION_RECIPIENTS_MAX`](crate::ORGANISATION_RECIPIENTS_MAX);
    /// nobody in format 1.
    pub organisation: Vec<Recipient>,
    /// How engines may be kept apart that are no components, by name, at most [`ISOLATION_MAX`](crate::ISOLATION_MAX); none in format 1.
    /// A name that a processor does not know accepts nothing.
    pub isolation: BTreeSet<String>,
    /// In bytes; a power of two from [`CHUNK_SIZE_MIN`](crate::CHUNK_SIZE_MIN) to [`CHUNK_SIZE_MAX`](crate::CHUNK_SIZE_MAX).
    pub chunk_size: u32,
    /// Seconds since 1970-01-01 UTC; nothing runs later.
    pub not_after: u64,
    /// The files in the order of the stream, 1 to [`FILES_MAX`](crate::FILES_MAX).
    pub files: Vec<FileEntry>,
}

/// What is to be done with each file of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Releases of which any may run, 1 to [`RELEASES_MAX`](crate::RELEASES_MAX); nothing else may.
    pub releases: Vec<Digest>,
    /// Engine parameters: a JSON object. Those of all tasks together have at most [`PARAMETERS_MAX_BYTES`](crate::PARAMETERS_MAX_BYTES)
    /// bytes.
    pub parameters: String,
}

/// One file of an upload. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileEntry {
    /// As the uploader's system has it, 1 to [`NAME_MAX_BYTES`](crate::NAME_MAX_BYTES) bytes of any value.
    pub name: Vec<u8>,
    /// Announced length, in bytes.
    pub length: u64,
}

impl Task {
    /// Whether the uploader allows `release` to run for it.
    pub fn allows(&self, release: &Digest) -> bool {
        self.releases.contains(release)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let releases: Vec<_> = self.tasks.iter().map(|task| &task.releases).collect();
        f.debug_struct("Header")
            .field("format", &self.format)
            .field("upload", &self.upload)
            .field("uploader", &self.uploader)
            .field("tasks", &releases)
            .field("organisation", &self.organisation)
            .field("isolation", &self.isolation)
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
