//! A file that comes part by part.

use std::sync::Arc;

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource};
use tokio::sync::mpsc;

use super::first_byte::FirstByte;
use crate::input::UploadJob;
use crate::run::context::SpanContext;
use crate::run::job::Job;
use crate::slots::Slots;

/// The next part of a streamed file.
pub(crate) enum Part {
    Bytes(Bytes),
    /// The file ends here, well or not.
    End(Result<(), InputEnd>),
}

/// A file that comes part by part. Gives its slot to another job while it waits.
pub(crate) struct Streamed {
    parts: mpsc::Receiver<Part>,
    current: Bytes,
    slots: Arc<Slots<Job>>,
    first: FirstByte,
}

impl Streamed {
    pub(crate) fn new(
        context: &Arc<SpanContext>,
        job: &UploadJob,
        slots: Arc<Slots<Job>>,
        parts: mpsc::Receiver<Part>,
    ) -> Self {
        Self { parts, current: Bytes::new(), slots, first: FirstByte::of(context, job) }
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

impl InputSource for Streamed {
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
