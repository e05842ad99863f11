//! An object on its way out, block by block.

use std::fs::File;
use std::io::{self, Seek as _};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use s3s::Body;
use s3s::dto::StreamingBlob;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::blocks::{Block, Blocks};
use super::transfers::Transfer;

/// Blocks that are read and not yet taken: the next is fetched while one goes out. A connection would keep more.
const BLOCKS_AHEAD: usize = 2;

/// What is still to be read.
pub(super) struct Reading {
    file: File,
    left: u64,
    blocks: Arc<Blocks>,
    transfer: Arc<Transfer>,
    ahead: Arc<Semaphore>,
}

/// A block that is read; it counts until it is sent.
struct Sent {
    block: Block,
    _transfer: Arc<Transfer>,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    /// Reads the first block of `range`, and blocks the thread while it does.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or the file is shorter.
    pub(super) fn begin(
        mut file: File,
        range: Range<u64>,
        blocks: Arc<Blocks>,
        transfer: Transfer,
    ) -> io::Result<(Self, Bytes)> {
        if range.start > 0 {
            file.seek(io::SeekFrom::Start(range.start))?;
        }
        let ahead = Arc::new(Semaphore::new(BLOCKS_AHEAD));
        let place = Arc::clone(&ahead).try_acquire_owned().map_err(io::Error::other)?;
        let left = range.end.saturating_sub(range.start);
        let mut reading = Self { file, left, blocks, transfer: Arc::new(transfer), ahead };
        let first = reading.read(place)?;
        Ok((reading, first))
    }

    /// The whole, beginning with what was read already.
    pub(super) fn into_body(self, first: Bytes) -> StreamingBlob {
        if self.left == 0 {
            // In one piece, so that it goes out with the head.
            return StreamingBlob::from(Body::from(first));
        }
        StreamingBlob::wrap(stream::iter([Ok(first)]).chain(self.rest()))
    }

    fn rest(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, async |mut reading| {
            if reading.left == 0 {
                return Ok(None);
            }
            let place = Arc::clone(&reading.ahead).acquire_owned().await.map_err(io::Error::other)?;
            let read = spawn_blocking(move || reading.read(place).map(|bytes| Some((bytes, reading))));
            read.await.map_err(io::Error::other)?
        })
    }

    fn read(&mut self, place: OwnedSemaphorePermit) -> io::Result<Bytes> {
        let block = self.blocks.read(&mut self.file, self.left)?;
        self.left -= block.bytes().len() as u64;
        Ok(Bytes::from_owner(Sent { block, _transfer: Arc::clone(&self.transfer), _place: place }))
    }
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.block.bytes()
    }
}
