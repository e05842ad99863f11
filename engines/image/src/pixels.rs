//! From a file's pixels to a small picture. A PNG's rows come one by one; the other decoders hold the picture as a whole, and
//! are asked only where it fits.

use std::io::{BufRead, Read, Seek, SeekFrom};
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image_webp::WebPDecoder;
use png::{ColorType, Transformations};
use zune_core::bytestream::{ZByteReaderTrait, ZCursor};
use zune_core::colorspace::ColorSpace;
use zune_jpeg::JpegDecoder;

use crate::header::{Format, Header, jpeg};
use crate::sampler::{Rgba, Sampler, Small};

/// What decoding may hold in memory. A host gives an engine 256 MiB by default; the rest is for the code, the metadata and
/// what the decoders need beside the picture.
const DECODED_BYTES: u64 = 192 * 1024 * 1024;

/// The most of a JPEG file that is read into memory, where its decoder is faster; a larger one is decoded as it is read.
const JPEG_BYTES: u64 = 16 * 1024 * 1024;

/// The most that a PNG's decoder may allocate for itself: two rows, and what it unfolds.
const PNG_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no small picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Decoding it takes this many bytes.
    TooLarge(u64),
    /// The decoder gave up, for this reason.
    Damaged(String),
}

/// A small picture, and what is wrong with it.
pub(crate) struct Decoded {
    pub(crate) small: Small,
    /// The pixels end early, or are broken in part, for this reason.
    pub(crate) damage: Option<String>,
}

/// Decodes the picture (the first frame of an animation) of `file_bytes` bytes, and makes it small.
///
/// # Errors
///
/// [`Missing`], when there is nothing to show.
pub(crate) fn decode<R: BufRead + Seek>(input: &mut R, header: &Header, file_bytes: u64) -> Result<Decoded, Missing> {
    let needed = needed(header, file_bytes);
    if needed > DECODED_BYTES {
        return Err(Missing::TooLarge(needed));
    }
    input.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut sampler = Sampler::new(header.width, header.height);
    let damage = match header.format {
        Format::Png => from_png(input, &mut sampler)?,
        Format::Jpeg if file_bytes <= JPEG_BYTES => {
            let mut bytes = Vec::new();
            input.take(JPEG_BYTES).read_to_end(&mut bytes).map_err(damaged)?;
            from_jpeg(ZCursor::new(bytes), &mut sampler)?
        }
        Format::Jpeg => from_jpeg(input, &mut sampler)?,
        Format::Gif => from_gif(input, &mut sampler)?,
        Format::WebP => from_webp(input, &mut sampler)?,
    };
    Ok(Decoded { small: sampler.finish(), damage })
}

/// How much memory decoding takes, in bytes, from above.
fn needed(header: &Header, file_bytes: u64) -> u64 {
    let pixels = u64::from(header.width) * u64::from(header.height);
    let columns = u64::from(header.width) * 4;
    match header.format {
        // A row before and after filtering, of at most 8 bytes a pixel.
        Format::Png if !header.progressive => columns * 5,
        Format::Png => pixels.saturating_mul(4),
        Format::Jpeg => {
            let is_gray = header.color == "gray";
            let samples = pixels * if is_gray { 1 } else { 3 };
            // Two bytes for each sample of brightness and, less often, of colour; a picture for print has a fourth.
            let colors = if is_gray { 0 } else { pixels * 3 / header.pixels_of_a_color.max(1) };
            let coefficients = if header.progressive { (pixels + colors) * 2 } else { 0 };
            samples + coefficients + file_bytes.min(JPEG_BYTES) + columns
        }
        Format::Gif => pixels * 4 + columns,
        // The result, the planes or the colours it is made of, and the packed frame.
        Format::WebP => pixels * 8 + file_bytes,
    }
}

fn damaged(error: impl std::fmt::Display) -> Missing {
    Missing::Damaged(error.to_string())
}

fn from_png<R: BufRead + Seek>(input: &mut R, sampler: &mut Sampler) -> Result<Option<String>, Missing> {
    let mut decoder = png::Decoder::new_with_limits(input, png::Limits { bytes: PNG_BYTES });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (color, _) = reader.output_color_type();
    let (width, height) = reader.info().size();
    if reader.info().interlaced {
        let line = reader.output_line_size(width).ok_or(Missing::TooLarge(u64::MAX))?;
        let size = reader.output_buffer_size().ok_or(Missing::TooLarge(u64::MAX))?;
        let mut pixels = vec![0; size];
        let damage = reader.next_frame(&mut pixels).err().map(|error| error.to_string());
        for (y, row) in (0..height).zip(pixels.chunks_exact(line.max(1))) {
            png_row(sampler, color, y, row);
        }
        return Ok(damage);
    }
    for y in 0..height {
        match reader.next_row() {
            Ok(Some(row)) => png_row(sampler, color, y, row.data()),
            Ok(None) => return Ok(Some("rows are missing".into())),
            Err(error) if y == 0 => return Err(damaged(error)),
            Err(error) => return Ok(Some(error.to_string())),
        }
    }
    Ok(None)
}

fn png_row(sampler: &mut Sampler, color: ColorType, y: u32, row: &[u8]) {
    match color {
        ColorType::Grayscale | ColorType::Indexed => sampler.row(0, y, gray(row)),
        ColorType::GrayscaleAlpha => {
            sampler.row(0, y, row.chunks_exact(2).map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]));
        }
        ColorType::Rgb => sampler.row(0, y, rgb(row)),
        ColorType::Rgba => sampler.row(0, y, rgba(row)),
    }
}

fn from_jpeg<T: ZByteReaderTrait>(input: T, sampler: &mut Sampler) -> Result<Option<String>, Missing> {
    let mut decoder = JpegDecoder::new_with_options(input, jpeg::options());
    decoder.decode_headers().map_err(damaged)?;
    let is_gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if is_gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(wanted));
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged("there is no frame header"))?;
    let size = decoder.output_buffer_size().ok_or_else(|| damaged("there is no frame header"))?;
    let mut pixels = vec![0; size];
    decoder.decode_into(&mut pixels).map_err(damaged)?;
    let line = size / height.max(1);
    if line < width {
        return Err(damaged("the decoder gave fewer pixels than there are"));
    }
    for (y, row) in (0..).zip(pixels.chunks_exact(line)) {
        if is_gray {
            sampler.row(0, y, gray(row));
        } else {
            sampler.row(0, y, rgb(row));
        }
    }
    Ok(None)
}

fn from_gif<R: BufRead + Seek>(input: &mut R, sampler: &mut Sampler) -> Result<Option<String>, Missing> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(DECODED_BYTES).unwrap_or(NonZeroU64::MIN)));
    let mut decoder = options.read_info(input).map_err(damaged)?;
    match decoder.read_next_frame() {
        Ok(Some(frame)) => {
            let line = usize::from(frame.width) * 4;
            for (y, row) in (u32::from(frame.top)..).zip(frame.buffer.chunks_exact(line.max(1))) {
                sampler.row(u32::from(frame.left), y, rgba(row));
            }
            Ok(None)
        }
        Ok(None) => Err(damaged("there is no frame")),
        Err(error) => Err(damaged(error)),
    }
}

fn from_webp<R: BufRead + Seek>(input: &mut R, sampler: &mut Sampler) -> Result<Option<String>, Missing> {
    let mut decoder = WebPDecoder::new(input).map_err(damaged)?;
    let (width, _) = decoder.dimensions();
    let samples = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or(Missing::TooLarge(u64::MAX))?];
    decoder.read_image(&mut pixels).map_err(damaged)?;
    for (y, row) in (0..).zip(pixels.chunks_exact(width as usize * samples)) {
        if samples == 4 {
            sampler.row(0, y, rgba(row));
        } else {
            sampler.row(0, y, rgb(row));
        }
    }
    Ok(None)
}

fn gray(row: &[u8]) -> impl Iterator<Item = Rgba> + '_ {
    row.iter().map(|&gray| [gray, gray, gray, u8::MAX])
}

fn rgb(row: &[u8]) -> impl Iterator<Item = Rgba> + '_ {
    row.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2], u8::MAX])
}

fn rgba(row: &[u8]) -> impl Iterator<Item = Rgba> + '_ {
    row.chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2], pixel[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: Format, width: u32, height: u32) -> Header {
        Header::new(format, width, height)
    }

    #[test]
    fn a_png_of_any_height_and_a_photo_of_50_megapixels_are_decoded() {
        assert!(needed(&header(Format::Png, 100_000, 1_000_000), 1) < DECODED_BYTES);
        assert!(needed(&header(Format::Jpeg, 8_660, 5_774), 20 << 20) < DECODED_BYTES);
    }

    #[test]
    fn what_does_not_fit_is_not_tried() {
        for format in [Format::Jpeg, Format::Gif, Format::WebP] {
            let large = header(format, 16_000, 16_000);
            assert!(matches!(decode(&mut std::io::Cursor::new([0_u8; 0]), &large, 100), Err(Missing::TooLarge(_))));
        }
    }
}
