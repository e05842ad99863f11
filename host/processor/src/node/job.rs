//! One job on its way through a guest's thread.

use std::sync::Arc;

use bytes::Bytes;
use filemill_seal::{Digest, FileSpan, Verdict};
use tokio::sync::{mpsc, oneshot};

use super::events::event;
use super::lease::Lease;
use super::releases::Ready;
use super::seek::Sought;
use super::slots::Slots;
use super::upload::Upload;
use filemill_runtime::{InputEnd, InputSource, Run};

/// What all jobs of a run share.
pub(super) struct RunContext {
    pub(super) lease: Arc<Lease>,
    pub(super) upload: Arc<Upload>,
    pub(super) release_digest: Digest,
    pub(super) ready: Arc<Ready>,
}

/// One file to analyse.
pub(super) struct Job {
    pub(super) context: Arc<RunContext>,
    pub(super) index: u32,
    pub(super) span: FileSpan,
    pub(super) input: Input,
}

/// The file's bytes.
pub(super) enum Input {
    /// All of them, and what the uploader says of them: the guest's thread sees the job through to its sealed result.
    Whole { pieces: Vec<Bytes>, verdict: Verdict },
    /// As they come; the task that feeds them knows the verdict last, and does the rest.
    Streamed { source: Stream, ended: oneshot::Sender<Run> },
    /// As the engine asks for them; the task that fetches them knows the verdict, and does the rest.
    Sought { source: Sought, ended: oneshot::Sender<Run> },
}

/// Tells the first byte that an engine reads of a file.
pub(super) struct FirstByte(Option<(Arc<RunContext>, u32, u32)>);

impl FirstByte {
    pub(super) fn of(context: &Arc<RunContext>, index: u32, span: &FileSpan) -> Self {
        Self(Some((Arc::clone(context), index, span.first_chunk)))
    }

    pub(super) fn read(&mut self) {
        if let Some((context, index, sequence)) = self.0.take() {
            event!("job first byte", upload = %context.lease.upload, index = index, sequence = sequence);
        }
    }
}

/// A file that is in memory as a whole.
pub(super) struct Whole {
    /// All of them, none empty.
    pieces: Vec<Bytes>,
    sha256: Digest,
    /// Where `read` is.
    position: u64,
    first: FirstByte,
}

impl Whole {
    /// `sha256` was found to be that of the pieces.
    pub(super) fn new(
        context: &Arc<RunContext>,
        index: u32,
        span: &FileSpan,
        pieces: &[Bytes],
        sha256: Digest,
    ) -> Self {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
        Self { pieces, sha256, position: 0, first: FirstByte::of(context, index, span) }
    }
}

impl InputSource for Whole {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        let bytes = self.read_at(self.position, max)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
        let mut before = 0;
        for piece in &self.pieces {
            let within = offset - before;
            if within < piece.len() as u64 {
                self.first.read();
                let mut bytes = piece.slice(within as usize..);
                bytes.truncate(max);
                return Ok(bytes);
            }
            before += piece.len() as u64;
        }
        Ok(Bytes::new())
    }

    fn sha256(&self) -> Option<[u8; 32]> {
        Some(*self.sha256.as_bytes())
    }
}

/// The next part of a streamed file.
pub(super) enum Part {
    Bytes(Bytes),
    /// The file ends here, well or not.
    End(Result<(), InputEnd>),
}

/// A file that comes part by part. Gives its slot to another job while it waits.
pub(super) struct Stream {
    parts: mpsc::Receiver<Part>,
    current: Bytes,
    slots: Arc<Slots<Job>>,
    first: FirstByte,
}

impl Stream {
    pub(super) fn new(
        context: &Arc<RunContext>,
        index: u32,
        span: &FileSpan,
        slots: Arc<Slots<Job>>,
        parts: mpsc::Receiver<Part>,
    ) -> Self {
        Self { parts, current: Bytes::new(), slots, first: FirstByte::of(context, index, span) }
    }

    fn next(&mut self) -> Option<Part> {
        match self.parts.try_recv() {
            Ok(part) => Some(part),
            Err(mpsc::error::TryRecvError::Disconnected) => None,
            Err(mpsc::error::TryRecvError::Empty) => {
                let parts = &mut self.parts;
                self.slots.without_slot(|| parts.blocking_recv())
            }
        }
    }
}

impl InputSource for Stream {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        while self.current.is_empty() {
            // Frees the chunk before the wait for the next: the budget may need it.
            self.current = Bytes::new();
            match self.next() {
                Some(Part::Bytes(bytes)) => self.current = bytes,
                Some(Part::End(end)) => return end.map(|()| Bytes::new()),
                // Whoever feeds it was told to stop.
                None => return Err(InputEnd::Cancelled),
            }
        }
        self.first.read();
        Ok(self.current.split_to(max.min(self.current.len())))
    }
}
