//! The streams between host and guest: the file's bytes in, an artifact's bytes out.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};

use crate::sandbox::{Sandbox, Signal};

/// The file's bytes. Waiting for them blocks the thread: it is this run's alone.
pub(super) struct InputStream {
    /// Given when the stream has ended, or the guest has closed it.
    ended: Signal,
}

impl InputStream {
    pub(super) fn new(ended: Signal) -> Self {
        Self { ended }
    }
}

impl Drop for InputStream {
    fn drop(&mut self) {
        self.ended.give();
    }
}

impl StreamProducer<Sandbox> for InputStream {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut store: StoreContextMut<'a, Sandbox>,
        mut destination: Destination<'a, u8, Bytes>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        store.data_mut().count_call()?;
        // `None`: the guest handed the stream to the host, as an artifact for example.
        let room = destination.remaining(&mut store);
        if room == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let sandbox = store.data_mut();
        let max = room.map_or(u64::MAX, |room| room as u64);
        match sandbox.input.read(max)? {
            Ok(bytes) if !bytes.is_empty() => {
                match room {
                    // As long as the room, at most.
                    Some(_) => destination.as_direct(store, bytes.len()).write_all(&bytes)?,
                    None => destination.set_buffer(bytes),
                }
                Poll::Ready(Ok(StreamResult::Completed))
            }
            // The end of the file, or of what can be had of it; `ended` tells which.
            _ => {
                self.ended.give();
                Poll::Ready(Ok(StreamResult::Dropped))
            }
        }
    }
}

/// Where an artifact's bytes are collected, shared with whoever waits for them.
#[derive(Clone, Default)]
pub(super) struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Signal,
}

impl Collected {
    /// Waits until there are no more, and gives them.
    pub(super) async fn wait(&self) -> Bytes {
        self.ended.wait().await;
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// What takes them.
    pub(super) fn collector(&self) -> Collector {
        Collector(self.clone())
    }
}

/// Takes an artifact's bytes, as far as the limits allow.
pub(super) struct Collector(Collected);

impl Drop for Collector {
    fn drop(&mut self) {
        self.0.ended.give();
    }
}

impl StreamConsumer<Sandbox> for Collector {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut store: StoreContextMut<'_, Sandbox>,
        source: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let sandbox = store.data_mut();
        sandbox.count_call()?;
        let given = source.remaining(&mut store);
        // Counted before it is copied.
        store.data_mut().output.take_artifact_bytes(given)?;
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let taken = bytes.len();
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        source.mark_read(taken);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
