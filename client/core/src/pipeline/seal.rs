//! Reading and sealing one chunk, each on a thread that may block.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use filemill_seal::{ChunkSealer, ChunkShape, Compressor, Digest, Verdict};

use super::remaining::Step;
use super::shared::{LEVEL, Pipeline};
use crate::budget::Buffer;
use crate::error::Error;
use crate::read::{EndedFile, Reader};

/// A chunk that was read.
pub(super) struct ReadChunk {
    pub(super) step: Step,
    pub(super) plain: Buffer,
    /// Room for it when it is sealed.
    pub(super) room: Buffer,
    pub(super) ended: Vec<EndedFile>,
    /// Digest of the data, if it was asked for.
    pub(super) digest: Option<Digest>,
}

/// A chunk that is ready to be stored.
pub(super) struct ReadyChunk {
    pub(super) sequence: u32,
    /// Of the sealed bytes.
    pub(super) sha256: Digest,
    pub(super) body: Bytes,
    /// Of the data.
    pub(super) plain: Digest,
    pub(super) plain_bytes: u64,
}

impl Pipeline {
    /// Reads one chunk, once the budget has room for it and for what it is sealed to; with its `digest` if that is asked for.
    pub(super) async fn read_chunk(
        self: Arc<Self>,
        mut reader: Reader,
        step: Step,
        shape: ChunkShape,
        digest: bool,
    ) -> Result<(Reader, ReadChunk), Error> {
        let (mut plain, room) = self.machine.budget.pair(shape.length as usize, shape.sealed_max_bytes()).await?;
        let permit = Arc::clone(&self.machine.reads).acquire_owned().await.map_err(|_| Error::Stopped)?;
        let (reader, chunk) = tokio::task::spawn_blocking(move || {
            let ended = reader.read(step.sequence, step.known, &mut plain);
            let digest = digest.then(|| Digest::of(&plain));
            drop(permit);
            (reader, ReadChunk { step, plain, room, ended, digest })
        })
        .await
        .map_err(|_| Error::Stopped)?;
        self.progress.read(u64::from(shape.length));
        Ok((reader, chunk))
    }

    /// Compresses and seals one chunk on one of the cores.
    pub(super) async fn seal_chunk(
        self: Arc<Self>,
        sealer: ChunkSealer,
        shape: ChunkShape,
        chunk: ReadChunk,
        verdicts: Vec<Verdict>,
    ) -> Result<ReadyChunk, Error> {
        let permit = Arc::clone(&self.machine.cores).acquire_owned().await.map_err(|_| Error::Stopped)?;
        tokio::task::spawn_blocking(move || {
            let ReadChunk { plain, mut room, digest, .. } = chunk;
            let mut compressor = self.take_compressor();
            let sealed = sealer.seal(&shape, &plain, &verdicts, &mut compressor, &mut room);
            self.give_compressor(compressor);
            drop(permit);
            let sealed = sealed.map_err(|error| Error::File {
                action: "seal a chunk of",
                path: "upload".into(),
                detail: error.to_string(),
            })?;
            Ok(ReadyChunk {
                sequence: shape.sequence,
                sha256: sealed.digest,
                plain: digest.unwrap_or_else(|| Digest::of(&plain)),
                plain_bytes: plain.len() as u64,
                body: Bytes::from_owner(room),
            })
        })
        .await
        .map_err(|_| Error::Stopped)?
    }

    fn take_compressor(&self) -> Compressor {
        let kept = self.machine.compressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Compressor::new(LEVEL))
    }

    /// There are never more of them than cores.
    fn give_compressor(&self, compressor: Compressor) {
        self.machine.compressors.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
    }
}
