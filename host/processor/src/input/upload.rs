//! An upload that some of this node's leases belong to, as its opened header describes it.

use bytes::Bytes;
use filemill_runtime::Parameters;
use filemill_seal::{ChunkOpener, Digest, FileSpan, Header, Layout, UploadId, Verdict};

use super::chunks::Chunk;
use crate::budget::Held;

/// An upload, as its opened header describes it.
pub(crate) struct Upload {
    pub(crate) header: Header,
    pub(crate) header_digest: Digest,
    pub(crate) layout: Layout,
    pub(crate) opener: ChunkOpener,
    pub(crate) parameters: Parameters,
    /// What it takes in memory.
    pub(super) bytes: usize,
    /// Given back when nobody uses it any more.
    pub(super) _held: Held,
}

impl Upload {
    pub(crate) fn id(&self) -> UploadId {
        self.header.upload
    }

    /// What the uploader says of file `index` in `chunk`, the one with that sequence number; `None` if the file does not end there.
    pub(crate) fn verdict(&self, chunk: &Chunk, index: u32, sequence: u32) -> Option<Verdict> {
        let position = index.checked_sub(self.layout.ends_in(sequence).start)?;
        chunk.verdicts().get(position as usize).copied()
    }

    /// The part of a file in `chunk`, the one with that sequence number, without a copy.
    pub(crate) fn piece(&self, chunk: &Chunk, span: &FileSpan, sequence: u32) -> Bytes {
        let data = chunk.data();
        let start = self.layout.chunk_offset(sequence).unwrap_or(0);
        // Both lie within the chunk, so that they fit.
        let within = |offset: u64| offset.saturating_sub(start).min(data.len() as u64) as usize;
        data.slice(within(span.offset)..within(span.offset + span.length))
    }

    /// The file's name as an engine is told it: what is not UTF-8 is replaced.
    pub(crate) fn name(&self, index: u32) -> String {
        self.header
            .files
            .get(index as usize)
            .map_or_else(String::new, |file| String::from_utf8_lossy(&file.name).into_owned())
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("id", &self.id()).finish_non_exhaustive()
    }
}
