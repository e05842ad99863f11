//! The report: its data, and its line for people.

use schemars::JsonSchema;
use serde::Serialize;

use crate::header::{Animation, Header};
use crate::warning::Warning;

/// What a picture file holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Picture {
    /// The file's format, by its first bytes.
    #[schemars(title = "Format", extend("x-column" = true))]
    format: &'static str,
    /// The media type of that format.
    #[schemars(title = "Media type")]
    media_type: &'static str,
    /// Pixels in a row, as stored: before the orientation is applied.
    #[schemars(title = "Width", extend("x-unit" = "px", "x-column" = true))]
    width: u32,
    /// Rows, as stored.
    #[schemars(title = "Height", extend("x-unit" = "px", "x-column" = true))]
    height: u32,
    /// Width times height.
    #[schemars(title = "Pixels", extend("x-format" = "count"))]
    pixels: u64,
    /// The colour model in which the pixels are stored.
    #[schemars(title = "Colour", extend("x-column" = true))]
    color: &'static str,
    /// Bits of one sample; of a palette: of one index.
    #[schemars(title = "Depth", extend("x-unit" = "bit"))]
    bits_per_sample: u8,
    /// Whether a pixel can be transparent.
    #[schemars(title = "Transparency")]
    has_alpha: bool,
    /// Whether the picture comes in several passes (interlaced, progressive).
    #[schemars(title = "Progressive")]
    progressive: bool,
    /// Whether a colour profile is embedded.
    #[schemars(title = "Colour profile")]
    has_icc_profile: bool,
    /// How it moves, if it does.
    #[schemars(title = "Animation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    animation: Option<Moving>,
    /// Whether the file says where the picture was taken. Look at it before you share the picture.
    #[schemars(title = "GPS", extend("x-column" = true))]
    has_gps: bool,
    /// What the camera or program wrote about the picture.
    #[schemars(title = "EXIF")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exif: Option<ExifReport>,
    /// Whether the file holds an XMP block.
    #[schemars(title = "XMP")]
    has_xmp: bool,
    /// How the stored picture is to be turned, if not at all: EXIF's orientation, 1 to 8. The thumbnail, the hash and the
    /// colours are of the turned picture.
    #[schemars(title = "Orientation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) orientation: Option<u32>,
    /// The mean of all pixels (of an animation: of the first frame).
    #[schemars(title = "Average colour")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) average_color: Option<String>,
    /// The colours that most pixels are close to.
    #[schemars(title = "Dominant colours", extend("x-format" = "table"))]
    pub(crate) dominant_colors: Vec<Share>,
    /// Difference hash of the picture, 64 bits in hexadecimal: pictures whose hashes differ in few bits look alike.
    #[schemars(title = "Perceptual hash", extend("x-format" = "hash", "x-column" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dhash: Option<String>,
    /// What a person should know.
    #[schemars(title = "Warnings", extend("x-format" = "table"))]
    pub(crate) warnings: Vec<Warning>,
}

/// An animation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Moving {
    /// How many frames there are.
    #[schemars(title = "Frames", extend("x-format" = "count", "x-column" = true))]
    frames: u64,
    /// Whether there are more frames than were counted.
    #[schemars(title = "More frames")]
    truncated: bool,
    /// How long one round takes.
    #[schemars(title = "Duration", extend("x-unit" = "ms", "x-format" = "duration"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    /// How often it plays; absent: for ever.
    #[schemars(title = "Plays", extend("x-format" = "count"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    plays: Option<u64>,
}

/// One of the dominant colours.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Share {
    /// The colour, as `#rrggbb`.
    #[schemars(title = "Colour")]
    pub(crate) color: String,
    /// How many of the visible pixels are close to it.
    #[schemars(title = "Share", extend("x-unit" = "%", "x-format" = "percent"))]
    pub(crate) percent: f64,
}

/// What EXIF says.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExifReport {
    /// Maker and model of the camera.
    #[schemars(title = "Camera", extend("x-column" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) camera: Option<String>,
    /// The lens.
    #[schemars(title = "Lens")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lens: Option<String>,
    /// The program that wrote the file.
    #[schemars(title = "Software")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) software: Option<String>,
    /// When the picture was taken, by the camera's clock.
    #[schemars(title = "Taken", extend("x-column" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<String>,
    /// Whether a small copy is embedded, which an editor may have left unchanged.
    #[schemars(title = "Embedded thumbnail")]
    pub(crate) has_thumbnail: bool,
    /// Whether there is anything from a GPS receiver: a position, a direction, a place's name.
    #[schemars(title = "GPS")]
    pub(crate) has_gps: bool,
    /// Where the picture was taken.
    #[schemars(title = "Position")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Position>,
    /// The fields, at most 100; without the maker's own data.
    #[schemars(title = "Fields", extend("x-format" = "table"))]
    pub(crate) fields: Vec<ExifField>,
    /// Whether there are more fields.
    #[schemars(title = "More fields")]
    pub(crate) truncated: bool,
}

/// A place on Earth.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Position {
    /// North of the equator, WGS 84.
    #[schemars(title = "Latitude", extend("x-unit" = "deg"))]
    pub(crate) latitude: f64,
    /// East of Greenwich, WGS 84.
    #[schemars(title = "Longitude", extend("x-unit" = "deg"))]
    pub(crate) longitude: f64,
    /// Above the sea.
    #[schemars(title = "Altitude", extend("x-unit" = "m"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) altitude_m: Option<f64>,
}

/// One field of EXIF.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExifField {
    /// What it is about: `image`, `photo`, `gps`, `interoperability`, `other`.
    #[schemars(title = "Group")]
    pub(crate) group: &'static str,
    /// Its name in the standard.
    #[schemars(title = "Field")]
    pub(crate) name: String,
    /// Its value with its unit, cut after 200 bytes.
    #[schemars(title = "Value", extend("x-format" = "text"))]
    pub(crate) value: String,
}

impl Picture {
    /// What is known without a pixel. Takes the header's warnings.
    pub(crate) fn of(header: &mut Header, has_gps: bool) -> Self {
        Self {
            format: header.format.name(),
            media_type: header.format.media_type(),
            width: header.width,
            height: header.height,
            pixels: u64::from(header.width) * u64::from(header.height),
            color: header.color,
            bits_per_sample: header.bits_per_sample,
            has_alpha: header.has_alpha,
            progressive: header.progressive,
            has_icc_profile: header.has_icc_profile,
            animation: header.animation.as_ref().map(Moving::of),
            has_gps,
            exif: None,
            has_xmp: header.xmp.is_some(),
            orientation: None,
            average_color: None,
            dominant_colors: Vec::new(),
            dhash: None,
            warnings: std::mem::take(&mut header.warnings),
        }
    }

    /// The report in one line, such as `PNG 1920×1080, RGB, GPS position in EXIF`.
    pub(crate) fn summary(&self) -> String {
        let mut parts = vec![format!("{} {}×{}", self.format, self.width, self.height), self.color.to_owned()];
        if let Some(animation) = &self.animation {
            let more = if animation.truncated { "at least " } else { "" };
            parts.push(format!("{more}{} frames", animation.frames));
        }
        let position = self.exif.as_ref().and_then(|exif| exif.position.as_ref());
        match (position, self.has_gps, &self.exif) {
            (Some(_), _, _) => parts.push("GPS position in EXIF".into()),
            (None, true, Some(exif)) if exif.has_gps => parts.push("GPS data in EXIF".into()),
            (None, true, _) => parts.push("GPS position in XMP".into()),
            (None, false, Some(exif)) => parts.extend(exif.camera.clone()),
            (None, false, None) => {}
        }
        if self.warnings.iter().any(|warning| warning.kind == "damaged") {
            parts.push("damaged".into());
        }
        if self.warnings.iter().any(|warning| warning.kind == "too-large") {
            parts.push("too large to decode".into());
        }
        parts.join(", ")
    }
}

impl Moving {
    fn of(animation: &Animation) -> Self {
        Self {
            frames: animation.frames,
            truncated: !animation.counted_all,
            duration_ms: animation.duration_ms,
            plays: animation.plays,
        }
    }
}
