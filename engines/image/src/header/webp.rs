//! WebP, by the crate `image-webp`.

use std::io::{BufRead, Seek};

use filemill_engine::Failure;
use image_webp::{LoopCount, WebPDecoder};

use super::fields::{Animation, Format, Header, METADATA_BYTES, broken};
use crate::warning::Warning;

/// Reads the chunk list.
pub(super) fn read<R: BufRead + Seek>(input: &mut R) -> Result<Header, Failure> {
    let mut decoder = WebPDecoder::new(input).map_err(|error| broken("the WebP's header", error))?;
    decoder.set_memory_limit(METADATA_BYTES);
    let (width, height) = decoder.dimensions();
    let mut header = Header::new(Format::WebP, width, height);
    header.has_alpha = decoder.has_alpha();
    header.color = match (decoder.is_lossy(), header.has_alpha) {
        (true, false) => "YCbCr",
        (true, true) => "YCbCr+alpha",
        (false, false) => "RGB",
        (false, true) => "RGBA",
    };
    if decoder.is_animated() {
        header.animation = Some(Animation {
            frames: u64::from(decoder.num_frames()),
            counted_all: true,
            duration_ms: Some(decoder.loop_duration()),
            plays: match decoder.loop_count() {
                LoopCount::Forever => None,
                LoopCount::Times(times) => Some(u64::from(times.get())),
            },
        });
    }
    let mut warnings = Vec::new();
    let mut kept = |what: &str, chunk: Result<Option<Vec<u8>>, image_webp::DecodingError>| match chunk {
        Ok(bytes) => bytes,
        Err(error) => {
            warnings.push(Warning::damaged(format!("the WebP's {what} cannot be read: {error}")));
            None
        }
    };
    header.has_icc_profile = kept("ICC profile", decoder.icc_profile()).is_some();
    // Some writers put the marker of a JPEG segment before the TIFF structure.
    header.exif = kept("EXIF", decoder.exif_metadata())
        .map(|exif| exif.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(exif));
    header.xmp = kept("XMP", decoder.xmp_metadata());
    header.warnings = warnings;
    Ok(header)
}
