//! Zstandard contexts that are kept from chunk to chunk.

use std::fmt;
use std::io::Cursor;
use std::ops::RangeInclusive;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

/// Compresses chunks, one after the other; one for each thread that seals.
///
/// Holds the encoder's tables, from some hundred KiB at negative levels to some ten MiB at high ones, so that a chunk does
/// not pay for them.
pub struct Compressor {
    context: CCtx<'static>,
    level: i32,
}

/// Decompresses chunks, one after the other; one for each thread that opens. Holds about 160 KiB.
pub struct Decompressor {
    context: DCtx<'static>,
}

/// Why bytes are not the one frame they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Not one Zstandard frame from the first to the last byte.
    NotOneFrame,
    /// Opens to more or fewer bytes than announced, or not at all.
    Content,
}

impl Compressor {
    /// The levels that Zstandard knows, −7 to 22. Lower ones exist, but save too little to be worth it.
    pub const LEVELS: RangeInclusive<i32> = -7..=22;

    /// Compresses at `level`; one outside of [`LEVELS`](Self::LEVELS) is taken as the nearest within.
    ///
    /// # Panics
    ///
    /// When there is no memory for a context.
    pub fn new(level: i32) -> Self {
        let mut compressor = Self { context: CCtx::create(), level };
        compressor.set_level(level);
        compressor
    }

    /// Compresses at `level` from now on; one outside of [`LEVELS`](Self::LEVELS) is taken as the nearest within.
    pub fn set_level(&mut self, level: i32) {
        self.level = level.clamp(*Self::LEVELS.start(), *Self::LEVELS.end());
        self.context
            .set_parameter(CParameter::CompressionLevel(self.level))
            .expect("every level within the range is known to Zstandard");
    }

    /// The level in use.
    pub fn level(&self) -> i32 {
        self.level
    }

    /// Bytes the context holds now.
    pub fn memory_bytes(&self) -> usize {
        self.context.sizeof()
    }

    /// Appends `data` as one frame to `out`, and says whether that made it shorter. If not, `out` is as it was.
    ///
    /// A frame names its content's size and carries no checksum: the seal around it is stronger.
    pub(crate) fn append_frame(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.reserve_exact(data.len());
        let mut cursor = Cursor::new(&mut *out);
        cursor.set_position(start as u64);
        // Fails when the frame does not fit into the spare room, or for lack of memory: stored, then.
        let written = self.context.compress2(&mut cursor, data);
        match written {
            Ok(frame_bytes) if frame_bytes < data.len() => true,
            _ => {
                out.truncate(start);
                false
            }
        }
    }
}

impl Decompressor {
    /// Makes a context.
    ///
    /// # Panics
    ///
    /// When there is no memory for it.
    pub fn new() -> Self {
        Self { context: DCtx::create() }
    }

    /// Opens `frame` to exactly `length` bytes. Allocates those, and nothing that the frame asks for.
    ///
    /// The whole frame is decoded in one call into a buffer of that length: Zstandard then needs no window, so that the
    /// window a frame announces costs nothing.
    pub(crate) fn open_frame(&mut self, frame: &[u8], length: usize) -> Result<Vec<u8>, FrameError> {
        // `ZSTD_decompressDCtx` alone would take several frames, and skippable ones between them.
        const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
        if !frame.starts_with(&MAGIC) || zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
            return Err(FrameError::NotOneFrame);
        }
        let mut out = Vec::with_capacity(length);
        match self.context.decompress(&mut out, frame) {
            Ok(written) if written == length => Ok(out),
            _ => Err(FrameError::Content),
        }
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor { .. }")
    }
}
