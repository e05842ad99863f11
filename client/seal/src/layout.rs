//! Where files and chunks lie in the stream of one upload.

use std::ops::Range;

use crate::bounds::{CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, CHUNKS_MAX, FILES_MAX, TOTAL_MAX_BYTES};
use crate::chunk::ChunkShape;

/// The layout of one upload: its files end to end in one stream, which is cut into chunks at fixed offsets.
///
/// Keeps 8 bytes a file. A look-up takes a few binary searches at most.
///
/// ```
/// use filemill_seal::{CHUNK_SIZE_MIN, Layout};
///
/// let size = u64::from(CHUNK_SIZE_MIN);
/// let layout = Layout::new(CHUNK_SIZE_MIN, [10, size, 0])?;
/// assert_eq!(layout.chunk_count(), 2);
/// assert_eq!(layout.files_in(1), 1..3);
/// assert_eq!(layout.ends_in(0), 0..1);
/// # Ok::<(), filemill_seal::LayoutError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of the chunk size, a power of two.
    chunk_bits: u32,
    /// Offset of each file, and behind them the total.
    offsets: Vec<u64>,
    chunk_count: u32,
}

/// Where one file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileSpan {
    /// Of its first byte in the stream.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
    /// Sequence number of the chunk with its first byte.
    pub first_chunk: u32,
    /// Sequence number of the chunk that it ends in, and that carries its verdict.
    pub last_chunk: u32,
}

/// Neighbouring files with the same first and the same last chunk: what the server is told of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobRange {
    /// Index of the first of them.
    pub first_index: u32,
    /// How many they are, at least 1.
    pub count: u32,
    /// First chunk of each of them.
    pub first_chunk: u32,
    /// Last chunk of each of them.
    pub last_chunk: u32,
}

/// The part of one file that lies in one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Index of the file.
    pub index: u32,
    /// Where in the chunk's data the part lies. Empty for an empty file.
    pub in_chunk: Range<usize>,
    /// How many of the file's bytes come before the part.
    pub in_file: u64,
}

/// Files that do not make an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Not a power of two between [`CHUNK_SIZE_MIN`] and [`CHUNK_SIZE_MAX`].
    #[error("chunk size {found} is not a power of two from {CHUNK_SIZE_MIN} to {CHUNK_SIZE_MAX}")]
    ChunkSize {
        /// The chunk size, in bytes.
        found: u32,
    },
    /// No file at all.
    #[error("an upload without files")]
    NoFiles,
    /// More than [`FILES_MAX`] files.
    #[error("more than {FILES_MAX} files in one upload")]
    TooManyFiles,
    /// More than [`TOTAL_MAX_BYTES`] bytes.
    #[error("the files of one upload hold more than {TOTAL_MAX_BYTES} bytes")]
    TooManyBytes,
    /// More than [`CHUNKS_MAX`] chunks.
    #[error("{total_bytes} bytes make more than {CHUNKS_MAX} chunks of {chunk_size} bytes")]
    TooManyChunks {
        /// Of all files together.
        total_bytes: u64,
        /// In bytes.
        chunk_size: u32,
    },
}

impl LayoutError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::ChunkSize { .. } => "8 MiB is a good chunk size",
            Self::NoFiles => "open an upload only when there is a file to send",
            Self::TooManyFiles | Self::TooManyBytes => "send the files in several uploads",
            Self::TooManyChunks { .. } => "choose a larger chunk size",
        }
    }
}

impl Layout {
    /// Lays files of these lengths, in bytes, end to end.
    ///
    /// # Errors
    ///
    /// Each [`LayoutError`] names the bound that is crossed. At most [`FILES_MAX`] lengths are taken from the iterator
    /// and kept, however many it announces.
    pub fn new(chunk_size: u32, lengths: impl IntoIterator<Item = u64>) -> Result<Self, LayoutError> {
        if !chunk_size.is_power_of_two() || !(CHUNK_SIZE_MIN..=CHUNK_SIZE_MAX).contains(&chunk_size) {
            return Err(LayoutError::ChunkSize { found: chunk_size });
        }
        let mut offsets = vec![0];
        let mut total: u64 = 0;
        for length in lengths {
            if offsets.len() > FILES_MAX {
                return Err(LayoutError::TooManyFiles);
            }
            total = total.checked_add(length).filter(|t| *t <= TOTAL_MAX_BYTES).ok_or(LayoutError::TooManyBytes)?;
            offsets.push(total);
        }
        if offsets.len() == 1 {
            return Err(LayoutError::NoFiles);
        }
        offsets.shrink_to_fit();
        let chunks = total.div_ceil(u64::from(chunk_size)).max(1);
        let chunk_count = u32::try_from(chunks)
            .ok()
            .filter(|n| *n <= CHUNKS_MAX)
            .ok_or(LayoutError::TooManyChunks { total_bytes: total, chunk_size })?;
        Ok(Self { chunk_bits: chunk_size.trailing_zeros(), offsets, chunk_count })
    }

    /// In bytes.
    pub fn chunk_size(&self) -> u32 {
        1 << self.chunk_bits
    }

    /// How many chunks there are, 1 to [`CHUNKS_MAX`].
    pub fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// How many files there are, 1 to [`FILES_MAX`].
    pub fn file_count(&self) -> u32 {
        (self.offsets.len() - 1) as u32
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.offsets[self.offsets.len() - 1]
    }

    /// Where the chunk's first byte lies in the stream; `None` if there is no such chunk.
    pub fn chunk_offset(&self, sequence: u32) -> Option<u64> {
        (sequence < self.chunk_count).then(|| u64::from(sequence) << self.chunk_bits)
    }

    /// Bytes of file data in the chunk; `None` if there is no such chunk.
    pub fn chunk_length(&self, sequence: u32) -> Option<u32> {
        let offset = self.chunk_offset(sequence)?;
        // At most the chunk size, which is an u32.
        Some((self.total_bytes() - offset).min(u64::from(self.chunk_size())) as u32)
    }

    /// What a sealer and an opener must know of the chunk; `None` if there is no such chunk.
    pub fn shape(&self, sequence: u32) -> Option<ChunkShape> {
        let length = self.chunk_length(sequence)?;
        Some(ChunkShape {
            sequence,
            last: sequence + 1 == self.chunk_count,
            length,
            verdicts: self.ends_in(sequence).len() as u32,
        })
    }

    /// Where the file lies; `None` if there is no such file.
    pub fn span(&self, index: u32) -> Option<FileSpan> {
        (index < self.file_count()).then(|| {
            let index = index as usize;
            FileSpan {
                offset: self.offsets[index],
                length: self.offsets[index + 1] - self.offsets[index],
                first_chunk: self.first_chunk(index),
                last_chunk: self.last_chunk(index),
            }
        })
    }

    /// Indices of the files that touch the chunk, empty ones at its offsets included; an empty range if there is no such chunk.
    pub fn files_in(&self, sequence: u32) -> Range<u32> {
        if sequence >= self.chunk_count {
            return 0..0;
        }
        let first = self.first_index_where(|index| self.last_chunk(index) >= sequence);
        first..self.first_index_where(|index| self.first_chunk(index) > sequence)
    }

    /// Indices of the files that end in the chunk: those whose verdicts it carries. An empty range if there are none.
    pub fn ends_in(&self, sequence: u32) -> Range<u32> {
        if sequence >= self.chunk_count {
            return 0..0;
        }
        let first = self.first_index_where(|index| self.last_chunk(index) >= sequence);
        first..self.first_index_where(|index| self.last_chunk(index) > sequence)
    }

    /// The parts of files that the chunk's data consists of, in order and without gaps, together with the empty files that
    /// lie in it. Nothing if there is no such chunk.
    pub fn pieces(&self, sequence: u32) -> impl Iterator<Item = Piece> + '_ {
        let start = u64::from(sequence) << self.chunk_bits;
        let end = start + u64::from(self.chunk_length(sequence).unwrap_or(0));
        self.files_in(sequence).map(move |index| {
            let (file_start, file_end) = (self.offsets[index as usize], self.offsets[index as usize + 1]);
            let (from, to) = (file_start.max(start), file_end.min(end));
            // Both lie within the chunk, so that they fit.
            Piece { index, in_chunk: (from - start) as usize..(to - start) as usize, in_file: from - file_start }
        })
    }

    /// All files as runs of neighbours with the same first and last chunk, in order.
    pub fn job_ranges(&self) -> impl Iterator<Item = JobRange> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let span = self.span(next)?;
            let first_index = next;
            let (first_chunk, last_chunk) = (span.first_chunk, span.last_chunk);
            // First and last chunk both grow with the index, so that the run ends where either does.
            next = self.first_index_where(|index| {
                self.first_chunk(index) > first_chunk || self.last_chunk(index) > last_chunk
            });
            Some(JobRange { first_index, count: next - first_index, first_chunk, last_chunk })
        })
    }

    fn first_chunk(&self, index: usize) -> u32 {
        // Below the chunk count after `min`, so that it fits.
        (self.offsets[index] >> self.chunk_bits).min(u64::from(self.chunk_count - 1)) as u32
    }

    fn last_chunk(&self, index: usize) -> u32 {
        let (start, end) = (self.offsets[index], self.offsets[index + 1]);
        if start == end { self.first_chunk(index) } else { ((end - 1) >> self.chunk_bits) as u32 }
    }

    /// The first file for which `reached`, which must stay true from there on, holds; the number of files if there is none.
    fn first_index_where(&self, reached: impl Fn(usize) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.offsets.len() - 1);
        while low < high {
            let middle = low.midpoint(high);
            if reached(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low as u32
    }
}
