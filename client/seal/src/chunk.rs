//! One chunk: compressed, sealed with its place in the upload, and opened only in that place.

mod error;
mod format;
mod shape;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::bounds::{CHUNK_SIZE_MAX, FILES_MAX};
use crate::compression::{Compressor, Decompressor, FrameError};
use crate::data_key::DataKey;
use crate::identifiers::{Digest, UploadId};
use crate::verdict::Verdict;
pub use error::ChunkError;
use format::{ChunkKey, PREFIX_BYTES, STORED, TAG_BYTES, ZSTANDARD, check_fields};
pub use shape::ChunkShape;

/// What sealing a chunk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    /// SHA-256 of the sealed bytes, for the request that stores them.
    pub digest: Digest,
    /// Whether the data is compressed, rather than stored.
    pub compressed: bool,
}

/// Seals the chunks of one upload. Cheap to clone; share it between threads.
#[derive(Clone)]
pub struct ChunkSealer(Arc<ChunkKey>);

/// Opens the chunks of one upload. Cheap to clone; share it between threads.
#[derive(Clone)]
pub struct ChunkOpener(Arc<ChunkKey>);

/// An opened chunk: its data, without a copy where it was stored, and its verdicts.
///
/// It is its own buffer, so that it can be shared on as it is, for example with `bytes::Bytes::from_owner`.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedChunk {
    buffer: Vec<u8>,
    data: Range<usize>,
    verdicts: Vec<Verdict>,
}

impl ChunkShape {
    /// Length of the verdicts at the end of the plaintext, in bytes.
    fn verdicts_bytes(&self) -> usize {
        self.verdicts as usize * Verdict::BYTES
    }

    /// The most bytes that such a chunk may have when it is sealed: those of a stored one.
    ///
    /// A reader asks storage for no more.
    pub fn sealed_max_bytes(&self) -> usize {
        PREFIX_BYTES + self.length as usize + self.verdicts_bytes() + TAG_BYTES
    }
}

impl ChunkSealer {
    /// Seals chunks of `upload`, whose sealed header has the digest `header`.
    pub fn new(key: &DataKey, upload: UploadId, header: Digest) -> Self {
        Self(Arc::new(ChunkKey::new(key, upload, header)))
    }

    /// Replaces what is in `out` with the sealed chunk: `data`, compressed unless that does not shrink it, and `verdicts`.
    ///
    /// Takes a fresh random nonce each time, so that a chunk may be sealed again after a resume. `out` keeps its room; it
    /// grows to [`sealed_max_bytes`](ChunkShape::sealed_max_bytes) if it has less.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Data`] or [`ChunkError::VerdictCount`] if data or verdicts are not as many as `shape` says; `out` is
    /// empty then.
    pub fn seal(
        &self,
        shape: &ChunkShape,
        data: &[u8],
        verdicts: &[Verdict],
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> Result<SealedChunk, ChunkError> {
        out.clear();
        if data.len() != shape.length as usize || shape.length > CHUNK_SIZE_MAX {
            return Err(ChunkError::Data { expected: shape.length, found: data.len() });
        }
        if verdicts.len() != shape.verdicts as usize || verdicts.len() > FILES_MAX {
            return Err(ChunkError::VerdictCount { expected: shape.verdicts, found: verdicts.len() });
        }
        out.reserve_exact(shape.sealed_max_bytes());
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        let compressed = compressor.append_frame(data, out);
        if !compressed {
            out.extend_from_slice(data);
        }
        for verdict in verdicts {
            verdict.encode(out);
        }
        self.0.seal_in_place(shape, if compressed { ZSTANDARD } else { STORED }, out);
        Ok(SealedChunk { digest: Digest::of(out), compressed })
    }

    /// Seals any plaintext as a chunk of any codec: what a broken client might send.
    pub(crate) fn seal_anything(&self, shape: &ChunkShape, codec: u8, plaintext: &[u8]) -> Vec<u8> {
        let mut chunk = vec![0; PREFIX_BYTES];
        chunk.extend_from_slice(plaintext);
        self.0.seal_in_place(shape, codec, &mut chunk);
        chunk
    }
}

impl ChunkOpener {
    /// Opens chunks of `upload`, whose sealed header has the digest `header`, computed from the bytes that were opened.
    pub fn new(key: &DataKey, upload: UploadId, header: Digest) -> Self {
        Self(Arc::new(ChunkKey::new(key, upload, header)))
    }

    /// Opens `sealed`, the chunk with that `shape`.
    ///
    /// Decrypts in place and, if the chunk is compressed, allocates exactly its data; a stored chunk is handed back in the
    /// buffer it came in.
    ///
    /// # Errors
    ///
    /// Every [`ChunkError`] but [`Data`](ChunkError::Data) and [`VerdictCount`](ChunkError::VerdictCount), for a chunk that
    /// is not exactly the one that was sealed in this place of this upload. Nothing of it is then to be used. Whoever holds
    /// no data key can cause those that are found before and by decryption; the others show a broken client.
    pub fn open(
        &self,
        shape: &ChunkShape,
        mut sealed: Vec<u8>,
        decompressor: &mut Decompressor,
    ) -> Result<OpenedChunk, ChunkError> {
        let codec = check_fields(shape, &sealed)?;
        self.0.decrypt_in_place(&mut sealed)?;

        // `check_fields` saw that prefix, verdicts and tag are there.
        let verdicts_at = sealed.len() - TAG_BYTES - shape.verdicts_bytes();
        let verdicts = decode_verdicts(&sealed[verdicts_at..sealed.len() - TAG_BYTES])?;
        let data = PREFIX_BYTES..verdicts_at;
        let length = shape.length as usize;
        if codec == STORED {
            return Ok(OpenedChunk { buffer: sealed, data, verdicts });
        }
        let buffer = decompressor.open_frame(&sealed[data], length).map_err(|error| match error {
            FrameError::NotOneFrame => ChunkError::NotOneFrame,
            FrameError::Content => ChunkError::Content { expected: shape.length },
        })?;
        Ok(OpenedChunk { buffer, data: 0..length, verdicts })
    }
}

fn decode_verdicts(bytes: &[u8]) -> Result<Vec<Verdict>, ChunkError> {
    let (encoded, _) = bytes.as_chunks::<{ Verdict::BYTES }>();
    encoded
        .iter()
        .enumerate()
        .map(|(position, bytes)| Verdict::decode(bytes).ok_or(ChunkError::Verdict { position, code: bytes[0] }))
        .collect()
}

impl OpenedChunk {
    /// The bytes of file data.
    pub fn data(&self) -> &[u8] {
        &self.buffer[self.data.clone()]
    }

    /// The verdicts of the files that end in the chunk, in their order.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }
}

impl AsRef<[u8]> for OpenedChunk {
    fn as_ref(&self) -> &[u8] {
        self.data()
    }
}

impl fmt::Debug for ChunkSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkSealer").field("upload", &self.0.upload).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChunkOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkOpener").field("upload", &self.0.upload).finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenedChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedChunk").field("bytes", &self.data.len()).field("verdicts", &self.verdicts.len()).finish()
    }
}
