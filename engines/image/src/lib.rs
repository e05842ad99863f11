//! `image`: looks at PNG, JPEG, GIF and WebP files.
//!
//! The report says format, size, colour model, animation, what EXIF tells (with a warning where it tells the place), the
//! average and the dominant colours, and a perceptual hash. The artifact `thumbnail.png` is the picture, or the first frame of
//! an animation, turned as EXIF says and at most 256 pixels wide and high; a smaller picture keeps its size.
//!
//! - The format is what the first bytes say; the file's name is not looked at.
//! - The input is seekable: headers, EXIF and frames are read where they are, without the pixels between them.
//! - Memory is bounded whatever a file announces. A PNG that is not interlaced is read row by row, so that it may have any
//!   number of rows. The other formats are decoded as a whole, and only where that takes at most 192 MiB (a JPEG of 60
//!   megapixels, a progressive one of 20 to 30, a GIF or WebP of 24 to 48): a larger picture is reported without thumbnail, hash
//!   and colours, and with the warning `too-large`.
//! - A file whose header can be read and whose pixels are broken is reported with the warning `damaged`; one whose header is
//!   broken is `malformed`; one of another format is `unsupported`.
//! - A position in EXIF, or in XMP, is the warning `gps` and stands in the summary.
//!
//! `header` reads what stands before the pixels, `pixels` decodes, `sampler` makes small, `look` describes what is seen.

mod header;
mod input;
mod look;
mod metadata;
mod pixels;
mod report;
mod sampler;
mod warning;

use std::io::BufReader;

use filemill_engine::{Description, Engine, Failure, File, Input, NoParameters, Report};

use crate::header::Header;
use crate::input::Watched;
use crate::pixels::Missing;
use crate::report::Picture;
use crate::warning::Warning;

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The engine.
struct Image;

impl Engine for Image {
    type Parameters = NoParameters;

    fn describe() -> Description {
        filemill_engine::description!()
            .media_types(["image/png", "image/jpeg", "image/gif", "image/webp"])
            .extensions(["png", "apng", "jpg", "jpeg", "jpe", "jfif", "gif", "webp"])
            .seekable()
            .report::<Picture>()
    }

    fn analyze(_file: &File, input: &mut Input, _parameters: NoParameters) -> Result<Report, Failure> {
        let file_bytes = input.size();
        let mut input = BufReader::with_capacity(PIECE_BYTES, Watched::new(input));
        let header = header::read(&mut input);
        input.get_mut().check()?;
        let mut header = header?;
        let mut picture = describe(&mut header);
        let decoded = pixels::decode(&mut input, &header, file_bytes);
        input.get_mut().check()?;

        let mut thumbnail = None;
        match decoded {
            Ok(decoded) => {
                let small = decoded.small.oriented(picture.orientation.unwrap_or(1));
                picture.average_color = small.average_color();
                picture.dominant_colors = small.dominant_colors();
                picture.dhash = Some(format!("{:016x}", small.difference_hash()));
                thumbnail = Some(small.to_png().map_err(|error| Failure::failed(error.to_string()))?);
                if let Some(damage) = decoded.damage {
                    picture.warnings.push(Warning::damaged(format!("the pixels are broken: {damage}")));
                }
            }
            Err(Missing::Damaged(why)) => {
                picture.warnings.push(Warning::damaged(format!("the pixels cannot be decoded: {why}")));
            }
            Err(Missing::TooLarge(bytes)) => picture.warnings.push(too_large(bytes)),
        }
        let report = Report::new(picture.summary(), &picture)?;
        Ok(match thumbnail {
            Some(png) => report.with_artifact("thumbnail.png", "image/png", png),
            None => report,
        })
    }
}

filemill_engine::export!(Image);

/// What is known before a pixel is decoded.
fn describe(header: &mut Header) -> Picture {
    let exif = header.exif.take().and_then(|raw| metadata::read(raw, &mut header.warnings));
    let xmp_has_gps = header.xmp.as_deref().is_some_and(names_position);
    let exif_has_gps = exif.as_ref().is_some_and(|exif| exif.report.has_gps);
    let mut picture = Picture::of(header, exif_has_gps || xmp_has_gps);
    if let Some(exif) = exif {
        picture.orientation = exif.orientation.filter(|&orientation| orientation != 1);
        picture.exif = Some(exif.report);
    }
    let position = picture.exif.as_ref().and_then(|exif| exif.position.as_ref());
    if let Some(position) = position {
        let message =
            format!("EXIF tells where the picture was taken: {:.5}°, {:.5}°", position.latitude, position.longitude);
        picture.warnings.push(Warning { kind: "gps", message });
    } else if exif_has_gps {
        picture.warnings.push(Warning { kind: "gps", message: "EXIF holds data of a GPS receiver".into() });
    }
    if xmp_has_gps {
        picture.warnings.push(Warning { kind: "gps", message: "XMP tells where the picture was taken".into() });
    }
    picture
}

/// Whether XMP, an XML text, has a position, by the name that the standard gives to it (ISO 16684-1, namespace `exif`).
fn names_position(xmp: &[u8]) -> bool {
    let name = b"exif:GPSLatitude";
    xmp.windows(name.len()).any(|window| window == name)
}

fn too_large(bytes: u64) -> Warning {
    let message = format!("the picture is too large to be decoded: it would take about {} MiB", bytes >> 20);
    Warning { kind: "too-large", message }
}

#[cfg(test)]
mod tests;
