//! What a header says, whatever the format.

use filemill_engine::Failure;

use crate::warning::Warning;

/// The most bytes of metadata (one EXIF, XMP or ICC block) that are read into memory. A camera writes at most 64 KiB of
/// EXIF, because a JPEG segment holds no more.
pub(crate) const METADATA_BYTES: usize = 4 * 1024 * 1024;

/// How many frames of an animation are counted at most.
pub(super) const COUNTED_FRAMES: u64 = 100_000;

/// The file formats this engine reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
    Gif,
    WebP,
}

impl Format {
    /// What the first bytes of a file say, whatever its name says.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
        }
    }

    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }
}

/// What moves, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Animation {
    /// How many frames there are (or at least are, see `counted_all`).
    pub(crate) frames: u64,
    /// Whether all were counted.
    pub(crate) counted_all: bool,
    /// How long one round takes, in milliseconds, where the file says so cheaply.
    pub(crate) duration_ms: Option<u64>,
    /// How often it plays; nothing: for ever.
    pub(crate) plays: Option<u64>,
}

/// Everything that is known without decoding a pixel.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// In pixels, as stored: before the orientation is applied.
    pub(crate) width: u32,
    /// In pixels, as stored.
    pub(crate) height: u32,
    /// The colour model, such as `RGB`.
    pub(crate) color: &'static str,
    /// Bits of one sample; of a palette: of one index.
    pub(crate) bits_per_sample: u8,
    pub(crate) has_alpha: bool,
    /// Interlaced, progressive.
    pub(crate) progressive: bool,
    /// How many pixels share a sample of colour, in a JPEG.
    pub(crate) pixels_of_a_color: u64,
    pub(crate) animation: Option<Animation>,
    pub(crate) has_icc_profile: bool,
    /// The raw TIFF structure of EXIF.
    pub(crate) exif: Option<Vec<u8>>,
    /// The raw XML of XMP.
    pub(crate) xmp: Option<Vec<u8>>,
    /// What was odd, for the report.
    pub(crate) warnings: Vec<Warning>,
}

impl Header {
    pub(crate) fn new(format: Format, width: u32, height: u32) -> Self {
        Self {
            format,
            width,
            height,
            color: "RGB",
            bits_per_sample: 8,
            has_alpha: false,
            progressive: false,
            pixels_of_a_color: 1,
            animation: None,
            has_icc_profile: false,
            exif: None,
            xmp: None,
            warnings: Vec::new(),
        }
    }
}

pub(super) fn broken(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::malformed(format!("{what} cannot be read: {error}"))
}
