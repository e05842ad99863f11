//! Why a chunk could not be sealed or was not opened.

/// Why a chunk could not be sealed or was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// There is other data to seal than the layout has.
    #[error("chunk of {expected} bytes was given {found} bytes to seal")]
    Data {
        /// Bytes by the layout.
        expected: u32,
        /// Bytes that were given.
        found: usize,
    },
    /// There are more or fewer verdicts to seal than files that end in the chunk.
    #[error("chunk in which {expected} files end was given {found} verdicts to seal")]
    VerdictCount {
        /// Files that end in it, by the layout.
        expected: u32,
        /// Verdicts that were given.
        found: usize,
    },
    /// Shorter or longer than such a chunk can be.
    #[error("chunk has {found} bytes instead of {shortest} to {longest}")]
    Length {
        /// Fewest bytes such a chunk can have.
        shortest: usize,
        /// Most bytes such a chunk can have; exactly so many if it is stored.
        longest: usize,
        /// Bytes it has.
        found: usize,
    },
    /// Does not start with `FMC1`.
    #[error("this is not a chunk of format 1")]
    NotAChunk,
    /// A codec that this version does not know.
    #[error("chunk names the unknown codec {found}")]
    Codec {
        /// Its number.
        found: u8,
    },
    /// A flag that this version does not know.
    #[error("chunk has unknown flags ({found:#04x})")]
    Flags {
        /// All flags.
        found: u8,
    },
    /// Says that it is another chunk of the upload.
    #[error("chunk {found} came in place of chunk {expected}")]
    Sequence {
        /// Sequence number it must have.
        expected: u32,
        /// Sequence number it has.
        found: u32,
    },
    /// Says that it is the last chunk where it is not, or the reverse.
    #[error("chunk says that {}", if *.expected { "others follow, but it is the last one" } else { "it is the last one, but others follow" })]
    Last {
        /// Whether it must be.
        expected: bool,
    },
    /// Says that it opens to another length.
    #[error("chunk says it holds {found} bytes instead of {expected}")]
    PlaintextLength {
        /// Bytes by the layout.
        expected: u32,
        /// Bytes by the chunk.
        found: u32,
    },
    /// Altered, or sealed with another key, for another upload or under another header.
    #[error("chunk is not the one that was sealed here: it was altered, or belongs elsewhere")]
    NotAuthentic,
    /// The data is not exactly one Zstandard frame.
    #[error("chunk does not hold exactly one Zstandard frame")]
    NotOneFrame,
    /// The frame is damaged, or opens to more or fewer bytes than announced.
    #[error("chunk does not decompress to exactly {expected} bytes")]
    Content {
        /// Bytes by the layout.
        expected: u32,
    },
    /// A verdict of a kind that this version does not know.
    #[error("chunk carries an unknown verdict (code {code}, position {position})")]
    Verdict {
        /// Which of the chunk's verdicts, from 0.
        position: usize,
        /// Its first byte.
        code: u8,
    },
}

impl ChunkError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Data { .. } | Self::VerdictCount { .. } => "seal what the upload's layout says",
            Self::NotAChunk | Self::Codec { .. } | Self::Flags { .. } | Self::Verdict { .. } => {
                "a newer client may have sealed it: update this side, or send the file again"
            }
            Self::NotOneFrame | Self::Content { .. } => {
                "the client that sealed it is broken: update it, and send the file again"
            }
            Self::Length { .. }
            | Self::Sequence { .. }
            | Self::Last { .. }
            | Self::PlaintextLength { .. }
            | Self::NotAuthentic => "it was damaged or swapped on its way or in storage: send the file again",
        }
    }
}
