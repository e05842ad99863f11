//! The file's bytes.

mod buffered;
mod error;
pub(crate) mod host_source;
mod memory;
mod progress;
mod source;

use std::io::{self, Read, Seek, SeekFrom};

pub use buffered::Buffered;
pub use error::InputError;
pub use source::{HashAlgorithm, Source};

pub(crate) use memory::Memory;
pub(crate) use progress::Progress;

/// The file's bytes: [`Read`], or in whole pieces with [`next`](Input::next), or by line and delimiter with
/// [`buffered`](Input::buffered). An engine whose description says [`seekable`](crate::Description::seekable) may read by
/// offset too: [`read_at`](Input::read_at) and [`Seek`].
///
/// It keeps nothing: each read asks the host, for at most as much as there is room. Many small reads want a
/// [`Buffered`], or a [`std::io::BufReader`] where they also seek. It tells the host how far it is by itself.
pub struct Input {
    source: Box<dyn Source>,
    /// Where the next byte comes from.
    position: u64,
    /// Whether a seek has left the stream, so that bytes come by offset from then on.
    by_offset: bool,
    progress: Option<Progress>,
}

impl Input {
    /// Input over bytes in memory, as an engine's tests need it: it does everything that a host's does.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::from_source(Memory::new(bytes.into()))
    }

    /// Input over anything that gives bytes.
    pub fn from_source(source: impl Source + 'static) -> Self {
        let progress = Some(Progress::of(source.size()));
        Self { source: Box::new(source), position: 0, by_offset: false, progress }
    }

    /// Leaves it to the engine to tell its [`progress`](crate::progress()): for one whose work is not in its reading.
    pub fn without_progress(&mut self) {
        self.progress = None;
    }

    /// The next bytes, at least 1 and at most `max`; an empty piece is the end of the file. Waits until bytes have arrived.
    /// The bytes are the host's copy, not copied again.
    ///
    /// # Errors
    ///
    /// When the bytes end before the file does, or the job was cancelled.
    pub fn next(&mut self, max: usize) -> Result<Vec<u8>, InputError> {
        // To ask for nothing ends the run; who has no room is not at the end.
        let max = max.max(1) as u64;
        if let Some(progress) = &mut self.progress {
            progress.reached(self.position);
        }
        let piece = if self.by_offset { self.source.read_at(self.position, max) } else { self.source.read(max) }?;
        self.position = self.position.saturating_add(piece.len() as u64);
        Ok(piece)
    }

    /// Bytes from `offset` on, at most `max`, and maybe fewer without that being the end; none at and beyond the end of the
    /// file. Leaves where reading goes on as it is. For a seekable engine only: the host ends the run of another.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub fn read_at(&mut self, offset: u64, max: usize) -> Result<Vec<u8>, InputError> {
        self.source.read_at(offset, max.max(1) as u64)
    }

    /// Fills `buffer` with the bytes from `offset` on; on a seekable engine only.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next); [`io::ErrorKind::UnexpectedEof`] where the file ends before the buffer is full.
    pub fn read_exact_at(&mut self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let piece = self.read_at(offset, buffer.len())?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (filled, rest) = buffer.split_at_mut(piece.len());
            filled.copy_from_slice(&piece);
            offset += piece.len() as u64;
            buffer = rest;
        }
        Ok(())
    }

    /// The file's length in bytes, as announced.
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// How many bytes lie before where reading goes on.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Asks the host to hash what reading passes, for [`digest`](Input::digest): natively, several times faster than an engine
    /// could. To be called before anything is read.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub fn hash(&mut self, algorithm: HashAlgorithm) -> Result<(), InputError> {
        self.source.hash(algorithm)
    }

    /// The hash of the whole file. Where the engine has not read to the end, the host reads the rest, and nothing is left to
    /// read. Without [`hash`](Input::hash) it may be called only before anything is read, except on a seekable input.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub fn digest(&mut self, algorithm: HashAlgorithm) -> Result<[u8; 32], InputError> {
        self.source.digest(algorithm)
    }

    /// The input with [`BufRead`](std::io::BufRead), in pieces of 256 KiB. What it has buffered is lost when it is dropped.
    pub fn buffered(&mut self) -> Buffered<'_> {
        Buffered::new(self)
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let piece = self.next(buffer.len())?;
        let Some(room) = buffer.get_mut(..piece.len()) else {
            return Err(InputError::Other("the host gave more than was asked for".into()).into());
        };
        room.copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// For a seekable engine. To ask where one is, and to seek there, leaves the stream as it is.
impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let target = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a seek to before the beginning or beyond every file")
        })?;
        self.by_offset |= target != self.position;
        self.position = target;
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;

    use super::*;

    #[test]
    fn it_is_read_in_pieces_buffers_and_lines() {
        let mut input = Input::from_bytes("one\ntwo\nthree");
        assert_eq!(input.next(2).expect("bytes"), b"on");
        let mut rest = String::new();
        input.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "e\ntwo\nthree");
        assert_eq!(input.next(9).expect("the end"), b"");

        let mut input = Input::from_bytes("one\ntwo\nthree");
        let lines: Vec<_> = input.buffered().lines().map(|line| line.expect("text")).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn seeking_leaves_the_stream_and_asking_does_not() {
        let mut input = Input::from_bytes("0123456789");
        assert_eq!(input.next(2).expect("bytes"), b"01");
        assert_eq!(input.stream_position().expect("known"), 2);
        assert!(!input.by_offset);
        assert_eq!(input.seek(SeekFrom::End(-3)).expect("inside"), 7);
        assert_eq!(input.next(9).expect("bytes"), b"789");
        assert_eq!(input.next(9).expect("the end"), b"");
        assert_eq!(input.seek(SeekFrom::Start(1)).expect("inside"), 1);
        assert_eq!(input.next(1).expect("bytes"), b"1");
        assert!(input.seek(SeekFrom::Current(-3)).is_err());
        assert!(input.seek(SeekFrom::End(i64::MAX)).is_ok());
        assert_eq!(input.next(1).expect("the end"), b"");
    }

    #[test]
    fn reading_by_offset_fills_what_it_can() {
        let mut input = Input::from_bytes("0123456789");
        let mut four = [0; 4];
        input.read_exact_at(5, &mut four).expect("inside");
        assert_eq!(&four, b"5678");
        let error = input.read_exact_at(8, &mut four).expect_err("beyond the end");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(input.read_at(10, 4).expect("the end"), b"");
        assert_eq!(input.position(), 0);
    }

    #[test]
    fn hashes_are_of_the_whole_file_and_reading_is_at_the_end_afterwards() {
        for read_first in [0, 2] {
            let mut input = Input::from_bytes("abc");
            input.hash(HashAlgorithm::Sha256).expect("offered");
            input.hash(HashAlgorithm::Blake3).expect("offered");
            for _ in 0..read_first {
                input.next(1).expect("bytes");
            }
            let sha256 = input.digest(HashAlgorithm::Sha256).expect("asked for");
            assert_eq!(sha256[..4], [0xba, 0x78, 0x16, 0xbf]); // FIPS 180-2, appendix B.1
            let blake3 = input.digest(HashAlgorithm::Blake3).expect("asked for");
            assert_eq!(blake3[..4], [0x64, 0x37, 0xb3, 0xac]);
            assert_eq!(input.next(1).expect("the end"), b"");
        }
    }

    #[test]
    fn an_error_of_the_source_comes_out_of_every_way_to_read() {
        struct Void;
        impl Source for Void {
            fn read(&mut self, _max: u64) -> Result<Vec<u8>, InputError> {
                Err(InputError::Void("gone".into()))
            }
            fn size(&self) -> u64 {
                9
            }
        }
        let gone = InputError::Void("gone".into());
        assert_eq!(Input::from_source(Void).next(1), Err(gone.clone()));
        let error = Input::from_source(Void).read(&mut [0]).expect_err("void");
        assert_eq!(InputError::within(&error), Some(&gone));
        let error = Input::from_source(Void).buffered().fill_buf().expect_err("void");
        assert_eq!(InputError::within(&error), Some(&gone));
        assert!(matches!(Input::from_source(Void).read_at(0, 1), Err(InputError::Other(_))));
    }
}
