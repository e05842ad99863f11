//! What a file says about its picture before any pixel is decoded.

mod fields;
mod gif;
pub(crate) mod jpeg;
mod png;
mod webp;

use std::io::{BufRead, Read, Seek, SeekFrom};

use filemill_engine::Failure;

use fields::broken;

pub(crate) use fields::{Animation, Format, Header};

/// Reads the header from the beginning of `input`, and for a GIF walks over its frames.
///
/// # Errors
///
/// [`Failure::Unsupported`] when the first bytes are of no format that is read here, [`Failure::Malformed`] when they are and
/// the header is broken.
pub(crate) fn read<R: BufRead + Seek>(input: &mut R) -> Result<Header, Failure> {
    let mut start = Vec::new();
    input.take(32).read_to_end(&mut start).map_err(|error| broken("the file", error))?;
    input.seek(SeekFrom::Start(0)).map_err(|error| broken("the file", error))?;
    let header = match Format::of(&start) {
        Some(Format::Png) => png::read(input)?,
        Some(Format::Jpeg) => jpeg::read(input)?,
        Some(Format::Gif) => gif::read(input)?,
        Some(Format::WebP) => webp::read(input)?,
        None => return Err(Failure::unsupported("this is no PNG, JPEG, GIF or WebP")),
    };
    if header.width == 0 || header.height == 0 {
        return Err(Failure::malformed(format!("the {} has no pixels", header.format.name())));
    }
    Ok(header)
}
