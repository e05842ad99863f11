//! JPEG, by the crate `zune-jpeg`.

use std::io::{BufRead, Seek};

use filemill_engine::Failure;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::fields::{Format, Header, broken};

/// How the decoder is asked to work, here and for the pixels. A JPEG's sides have 16 bits, so their limit is the format's.
pub(crate) fn options() -> DecoderOptions {
    DecoderOptions::new_safe()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(100)
}

/// Reads all segments before the first scan.
pub(super) fn read<R: BufRead + Seek>(input: &mut R) -> Result<Header, Failure> {
    let mut decoder = JpegDecoder::new_with_options(input, options());
    decoder.decode_headers().map_err(|error| broken("the JPEG's header", error))?;
    let Some(info) = decoder.info() else {
        return Err(Failure::malformed("the JPEG has no frame header"));
    };
    let mut header = Header::new(Format::Jpeg, u32::from(info.width), u32::from(info.height));
    header.color = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => "gray",
        Some(ColorSpace::YCbCr) => "YCbCr",
        Some(ColorSpace::CMYK) => "CMYK",
        Some(ColorSpace::YCCK) => "YCCK",
        _ => "RGB",
    };
    header.progressive = is_progressive(&info.sof);
    header.pixels_of_a_color = info.sample_ratio.sample().clamp(1, 4) as u64;
    header.has_icc_profile = decoder.icc_profile().is_some();
    header.exif = info.exif_data;
    header.xmp = info.xmp_data;
    Ok(header)
}

/// Whether all coefficients must be held in memory until the last scan.
fn is_progressive(frame: &impl std::fmt::Debug) -> bool {
    // The enum is not exported by its crate; its names are the standard's.
    format!("{frame:?}").starts_with("Progressive")
}
