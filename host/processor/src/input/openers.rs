//! The threads that hash, decrypt and decompress chunks.
//!
//! They are a few of their own, rather than the async runtime's pool, because each allocator arena that was used for
//! chunks keeps some of them: with a pool whose threads come and go a node was measured at twice its budget.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use filemill_seal::{ChunkError, ChunkOpener, ChunkShape, Decompressor, Digest, OpenedChunk};
use tokio::sync::oneshot;

use crate::slots::{Slots, Turn};

/// Opens chunks, some at once.
pub(crate) struct Openers(Arc<Slots<Opening>>);

/// A chunk to open.
struct Opening {
    opener: ChunkOpener,
    shape: ChunkShape,
    sealed: Vec<u8>,
    digest: Digest,
    opened: oneshot::Sender<Result<OpenedChunk, NotOpened>>,
}

/// Why fetched bytes are not the chunk that they should be.
pub(crate) enum NotOpened {
    /// Storage holds something else than was stored.
    Differs(Digest),
    /// It is what was stored, and not what was sealed here.
    Sealed(ChunkError),
    /// Nobody opened it: the node is about to end, or has a fault.
    Dropped,
}

impl Openers {
    /// Starts `count` threads, which end when [`close`](Self::close) was called.
    pub(crate) fn start(count: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let queue = Arc::new(Slots::new(count));
        let threads = (0..count)
            .map(|number| {
                let queue = Arc::clone(&queue);
                thread::Builder::new().name(format!("opener-{number}")).spawn(move || work(&queue))
            })
            .collect::<io::Result<Vec<_>>>()
            .inspect_err(|_| queue.close())?;
        Ok((Self(queue), threads))
    }

    /// Opens `sealed`, if its SHA-256 is `digest`: some ten milliseconds for 8 MiB. Cancel safe.
    pub(crate) async fn open(
        &self,
        opener: ChunkOpener,
        shape: ChunkShape,
        sealed: Vec<u8>,
        digest: Digest,
    ) -> Result<OpenedChunk, NotOpened> {
        let (opened, answer) = oneshot::channel();
        drop(self.0.push([Opening { opener, shape, sealed, digest, opened }], false));
        answer.await.unwrap_or(Err(NotOpened::Dropped))
    }

    /// Drops what waits and lets the threads end.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

fn work(queue: &Slots<Opening>) {
    let mut decompressor = Decompressor::new();
    while let Some(Turn { job, slot }) = queue.next() {
        // Costs the one chunk, not the thread.
        if catch_unwind(AssertUnwindSafe(|| open(job, &mut decompressor))).is_err() {
            tracing::error!("the processor panicked at a chunk");
            decompressor = Decompressor::new();
        }
        drop(slot);
    }
}

fn open(job: Opening, decompressor: &mut Decompressor) {
    let Opening { opener, shape, sealed, digest, opened } = job;
    let found = Digest::of(&sealed);
    let chunk = if found == digest {
        opener.open(&shape, sealed, decompressor).map_err(NotOpened::Sealed)
    } else {
        Err(NotOpened::Differs(found))
    };
    // Whoever wanted it may have gone.
    let _ = opened.send(chunk);
}
