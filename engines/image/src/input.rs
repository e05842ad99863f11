//! The input under decoders that keep no more of an error than its text.

use std::io::{self, Read, Seek, SeekFrom};

use filemill_engine::{Failure, Input};

/// An input that remembers how it failed, so that a file which vanished is not taken for one that is broken.
pub(crate) struct Watched<'a> {
    input: &'a mut Input,
    failure: Option<Failure>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(input: &'a mut Input) -> Self {
        Self { input, failure: None }
    }

    /// Gives the input's own failure, if there was one.
    ///
    /// # Errors
    ///
    /// That failure.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let piece = match self.input.next(buffer.len()) {
            Ok(piece) => piece,
            Err(error) => {
                self.failure = Some(error.clone().into());
                return Err(error.into());
            }
        };
        let Some(room) = buffer.get_mut(..piece.len()) else {
            return Err(io::Error::other("the host gave more than was asked for"));
        };
        room.copy_from_slice(&piece);
        Ok(piece.len())
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.input.seek(to)
    }
}
