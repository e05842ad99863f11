//! EXIF, by the crate `kamadak-exif`, and what of it a person should know before sharing the picture.

use std::fmt::{self, Write as _};

use exif::{Context, Exif, Field, In, Reader, Tag, Value};

use crate::report::{ExifField, ExifReport, Position};
use crate::warning::Warning;

/// How many fields are listed.
const LISTED_FIELDS: usize = 100;

/// The longest value that is shown, in bytes.
const VALUE_BYTES: usize = 200;

/// What EXIF says.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) report: ExifReport,
    /// 1 to 8, or nothing.
    pub(crate) orientation: Option<u32>,
}

/// Reads the TIFF structure `raw`. What is broken in it is left out, with a warning.
pub(crate) fn read(raw: Vec<u8>, warnings: &mut Vec<Warning>) -> Option<Metadata> {
    let read = Reader::new().continue_on_error(true).read_raw(raw).or_else(|error| {
        error.distill_partial_result(|errors| {
            if let Some(first) = errors.first() {
                let message = format!("EXIF is broken in {} places, the first: {first}", errors.len());
                warnings.push(Warning::damaged(message));
            }
        })
    });
    match read {
        Ok(exif) => exif.fields().next().is_some().then(|| summarise(&exif)),
        Err(error) => {
            warnings.push(Warning::damaged(format!("EXIF cannot be read: {error}")));
            None
        }
    }
}

fn summarise(exif: &Exif) -> Metadata {
    let text =
        |tag: Tag| exif.get_field(tag, In::PRIMARY).map(|field| shown(field, exif)).filter(|text| !text.is_empty());
    let all = exif.fields().filter(|field| field.ifd_num == In::PRIMARY && !is_bulky(field));
    let mut fields = Vec::new();
    let mut truncated = false;
    for field in all {
        if fields.len() == LISTED_FIELDS {
            truncated = true;
            break;
        }
        fields.push(ExifField { group: group(field.tag), name: field.tag.to_string(), value: shown(field, exif) });
    }
    let has_gps = exif.fields().any(|field| field.tag.context() == Context::Gps && field.tag != Tag::GPSVersionID);
    let report = ExifReport {
        camera: match (text(Tag::Make), text(Tag::Model)) {
            // Many models begin with their maker's name.
            (Some(make), Some(model)) if !model.starts_with(&make) => Some(format!("{make} {model}")),
            (make, model) => model.or(make),
        },
        lens: text(Tag::LensModel),
        software: text(Tag::Software),
        taken: text(Tag::DateTimeOriginal).or_else(|| text(Tag::DateTime)),
        has_thumbnail: exif.get_field(Tag::JPEGInterchangeFormat, In::THUMBNAIL).is_some(),
        position: position(exif),
        has_gps,
        fields,
        truncated,
    };
    let orientation = exif
        .get_field(Tag::Orientation, In::PRIMARY)
        .and_then(|field| field.value.get_uint(0))
        .filter(|value| (1..=8).contains(value));
    Metadata { report, orientation }
}

/// Where the picture was taken, if it says.
fn position(exif: &Exif) -> Option<Position> {
    let latitude = degrees(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, b"S")?;
    let longitude = degrees(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, b"W")?;
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return None;
    }
    let altitude_m = match exif.get_field(Tag::GPSAltitude, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Rational(values)) => values.first().map(exif::Rational::to_f64).filter(|metres| metres.is_finite()),
        _ => None,
    };
    let below = exif.get_field(Tag::GPSAltitudeRef, In::PRIMARY).and_then(|field| field.value.get_uint(0)) == Some(1);
    Some(Position {
        latitude,
        longitude,
        altitude_m: altitude_m.map(|metres| rounded(if below { -metres } else { metres }, 10.0)),
    })
}

/// Degrees, minutes and seconds as one number, negative where the reference is `negative`.
fn degrees(exif: &Exif, tag: Tag, reference: Tag, negative: &[u8]) -> Option<f64> {
    let Value::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else {
        return None;
    };
    let mut sum = 0.0;
    for (part, unit) in parts.iter().zip([1.0, 60.0, 3600.0]) {
        // An unknown minute or second is written as 0/0.
        let part = part.to_f64();
        sum += if part.is_finite() { part / unit } else { 0.0 };
    }
    let is_negative = match exif.get_field(reference, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Ascii(texts)) => texts.first().is_some_and(|text| text.starts_with(negative)),
        _ => false,
    };
    parts.first()?.to_f64().is_finite().then(|| rounded(if is_negative { -sum } else { sum }, 1e6))
}

/// A millionth of a degree is a tenth of a metre: more digits say nothing.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// Whether a field's value is of no use to a person: the maker's own data, pointers, and long lists of bytes.
fn is_bulky(field: &Field) -> bool {
    field.tag == Tag::MakerNote
        || matches!(&field.value, Value::Unknown(..))
        || matches!(&field.value, Value::Undefined(bytes, _) if bytes.len() > 64)
}

fn group(tag: Tag) -> &'static str {
    match tag.context() {
        Context::Tiff => "image",
        Context::Exif => "photo",
        Context::Gps => "gps",
        Context::Interop => "interoperability",
        _ => "other",
    }
}

/// A field's value with its unit, without the quotes that the crate puts around text, and cut where it gets long.
fn shown(field: &Field, exif: &Exif) -> String {
    if let Value::Ascii(texts) = &field.value {
        let text: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text.trim_ascii())).collect();
        return cut(text.join(", ").trim_matches(|end: char| end.is_control() || end == ' '));
    }
    let mut text = Bounded(String::new());
    // The only error is that of being full.
    let _full = write!(text, "{}", field.display_value().with_unit(exif));
    cut(&text.0)
}

fn cut(text: &str) -> String {
    let clean = |text: &str| text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if text.len() <= VALUE_BYTES {
        return clean(text);
    }
    let end = (0..=VALUE_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let mut start: String = clean(&text[..end]);
    start.push('…');
    start
}

/// Text that takes no more once it is long enough.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > VALUE_BYTES { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_exif_costs_a_warning() {
        let mut warnings = Vec::new();
        assert!(read(b"II*\0\xff\xff\xff\xff".to_vec(), &mut warnings).is_none());
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_long_value_is_cut_between_letters() {
        let text = cut(&"ä".repeat(VALUE_BYTES));
        assert_eq!(text.chars().count(), VALUE_BYTES / 2 + 1);
        assert!(text.ends_with('…'));
        assert_eq!(cut("a\u{7}b"), "a\u{fffd}b");
    }
}
