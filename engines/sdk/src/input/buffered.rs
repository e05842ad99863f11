//! The input piece by piece, for who reads less than a piece at once.

use std::io::{self, BufRead, Read};

use super::Input;

/// How much is asked for at once. Larger pieces leave the processor's caches between the host's copy and the engine's use.
const PIECE_BYTES: usize = 256 * 1024;

/// An [`Input`] with [`BufRead`]. It holds one piece as the host gave it, without copying it again.
pub struct Buffered<'a> {
    input: &'a mut Input,
    piece: Vec<u8>,
    used: usize,
}

impl<'a> Buffered<'a> {
    pub(super) fn new(input: &'a mut Input) -> Self {
        Self { input, piece: Vec::new(), used: 0 }
    }
}

impl BufRead for Buffered<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.piece.len() {
            self.piece = Vec::new(); // before the next one comes, so that there is never room for two
            self.used = 0;
            self.piece = self.input.next(PIECE_BYTES)?;
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes).min(self.piece.len());
    }
}

impl Read for Buffered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used >= self.piece.len() && buffer.len() >= PIECE_BYTES {
            return self.input.read(buffer);
        }
        let bytes = self.fill_buf()?.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}
