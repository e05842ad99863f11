//! PNG and animated PNG, by the crate `png`.

use std::io::{BufRead, Seek};

use filemill_engine::Failure;
use png::{ColorType, Decoder, Limits};

use super::fields::{Animation, Format, Header, METADATA_BYTES, broken};
use crate::warning::Warning;

/// Reads all chunks before the pixels.
pub(super) fn read<R: BufRead + Seek>(input: &mut R) -> Result<Header, Failure> {
    let mut decoder = Decoder::new_with_limits(input, Limits { bytes: METADATA_BYTES });
    // Text chunks may be compressed; XMP is one of them, and the limit above holds for what they unfold to.
    decoder.set_ignore_text_chunk(false);
    let info = decoder.read_header_info().map_err(|error| broken("the PNG's header", error))?;
    let mut header = Header::new(Format::Png, info.width, info.height);
    header.bits_per_sample = info.bit_depth as u8;
    header.progressive = info.interlaced;
    (header.color, header.has_alpha) = match info.color_type {
        ColorType::Grayscale => ("gray", false),
        ColorType::Rgb => ("RGB", false),
        ColorType::Indexed => ("palette", false),
        ColorType::GrayscaleAlpha => ("gray+alpha", true),
        ColorType::Rgba => ("RGBA", true),
    };
    // The size is known already: what is wrong behind it costs the metadata only.
    let reader = match decoder.read_info() {
        Ok(reader) => reader,
        Err(error) => {
            header.warnings.push(Warning::damaged(format!("the PNG's metadata cannot be read: {error}")));
            return Ok(header);
        }
    };
    let info = reader.info();
    header.has_alpha |= info.trns.is_some();
    header.has_icc_profile = info.icc_profile.is_some();
    header.exif = info.exif_metadata.as_ref().map(|exif| exif.to_vec());
    header.xmp = info
        .utf8_text
        .iter()
        .find(|text| text.keyword == "XML:com.adobe.xmp")
        .and_then(|text| text.get_text().ok())
        .map(String::into_bytes);
    header.animation = info.animation_control().map(|control| Animation {
        frames: u64::from(control.num_frames),
        counted_all: true,
        duration_ms: None,
        plays: Some(u64::from(control.num_plays)).filter(|&plays| plays > 0),
    });
    Ok(header)
}
