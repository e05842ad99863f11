//! A file that is in memory as a whole.

use std::sync::Arc;

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource};
use filemill_seal::Digest;

use super::first_byte::FirstByte;
use crate::input::UploadJob;
use crate::run::context::SpanContext;

/// A file that is in memory as a whole.
pub(crate) struct Whole {
    /// All of them, none empty.
    pieces: Vec<Bytes>,
    sha256: Digest,
    /// Where `read` is.
    position: u64,
    first: FirstByte,
}

impl Whole {
    /// `sha256` was found to be that of the pieces.
    pub(crate) fn new(context: &Arc<SpanContext>, job: &UploadJob, pieces: &[Bytes], sha256: Digest) -> Self {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
        Self { pieces, sha256, position: 0, first: FirstByte::of(context, job) }
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
