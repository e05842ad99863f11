//! A file that is read by offset.

use std::sync::Arc;

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource};
use filemill_seal::{Digest, FileSpan};
use tokio::sync::{mpsc, oneshot};

use super::first_byte::FirstByte;
use crate::input::{Upload, UploadJob};
use crate::run::context::SpanContext;
use crate::run::job::Job;
use crate::slots::Slots;

/// A chunk that the engine's thread waits for.
pub(crate) struct Asked {
    pub(crate) sequence: u32,
    pub(crate) answer: oneshot::Sender<Result<Bytes, InputEnd>>,
}

/// The file as its engine's thread reads it: one chunk of it at a time, so that several that share a tight budget cannot wait
/// for each other.
pub(crate) struct Sought {
    ask: mpsc::Sender<Asked>,
    upload: Arc<Upload>,
    span: FileSpan,
    sha256: Digest,
    slots: Arc<Slots<Job>>,
    first: FirstByte,
    /// Where `read` is.
    position: u64,
    /// A part of the file, and where it begins.
    at_hand: Option<(u64, Bytes)>,
}

impl Sought {
    /// The chunks that it needs are asked for by `ask`.
    pub(crate) fn new(
        context: &Arc<SpanContext>,
        job: &UploadJob,
        sha256: Digest,
        slots: Arc<Slots<Job>>,
        ask: mpsc::Sender<Asked>,
    ) -> Self {
        Self {
            ask,
            upload: Arc::clone(&context.upload),
            span: job.file,
            sha256,
            slots,
            first: FirstByte::of(context, job),
            position: 0,
            at_hand: None,
        }
    }

    /// What is at hand from `offset` on; nothing if it lies elsewhere.
    fn find(&self, offset: u64) -> Option<Bytes> {
        let (start, part) = self.at_hand.as_ref()?;
        let within = usize::try_from(offset.checked_sub(*start)?).ok()?;
        (within < part.len()).then(|| part.slice(within..))
    }

    /// The part of the file that holds `offset`, which lies in the file.
    fn fetch(&mut self, offset: u64) -> Result<Bytes, InputEnd> {
        let lost = || InputEnd::Failed(format!("the upload has no byte {offset} of this file"));
        let sequence = (self.span.offset + offset) / u64::from(self.upload.layout.chunk_size());
        let sequence = u32::try_from(sequence).map_err(|_| lost())?;
        let chunk_start = self.upload.layout.chunk_offset(sequence).ok_or_else(lost)?;
        // Given back before the next is waited for.
        self.at_hand = None;
        let (answer, hear) = oneshot::channel();
        let ask = &self.ask;
        let part = self.slots.without_slot(|| {
            ask.blocking_send(Asked { sequence, answer }).ok()?;
            hear.blocking_recv().ok()
        });
        // Whoever fetches was told to stop.
        let part = part.unwrap_or(Err(InputEnd::Cancelled))?;
        self.first.read();
        self.at_hand = Some((chunk_start.saturating_sub(self.span.offset), part));
        self.find(offset).ok_or_else(lost)
    }
}

impl InputSource for Sought {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        let bytes = self.read_at(self.position, max)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
        if offset >= self.span.length {
            return Ok(Bytes::new());
        }
        let mut bytes = match self.find(offset) {
            Some(bytes) => bytes,
            None => self.fetch(offset)?,
        };
        bytes.truncate(max);
        Ok(bytes)
    }

    fn sha256(&self) -> Option<[u8; 32]> {
        Some(*self.sha256.as_bytes())
    }
}
