//! The engine over its fixtures. They were drawn with Pillow; `huge.jpg` is `gray.jpg` with sides of 65,500 in its header.

use serde_json::{Value, json};

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(name: &str) -> Result<Report, Failure> {
    filemill_engine::run::<Image>(name, fixture(name), "{}")
}

fn data(report: &Report) -> Value {
    serde_json::from_str(report.json()).expect("JSON")
}

/// Width, height and rows of the thumbnail.
fn thumbnail(report: &Report) -> (u32, u32, Vec<Vec<u8>>) {
    let artifact = &report.artifacts()[0];
    assert_eq!((artifact.name.as_str(), artifact.media_type.as_str()), ("thumbnail.png", "image/png"));
    let mut reader = png::Decoder::new(std::io::Cursor::new(&artifact.data)).read_info().expect("a PNG");
    let (width, height) = reader.info().size();
    let rows = (0..height).map(|_| reader.next_row().expect("a row").expect("one").data().to_vec()).collect();
    (width, height, rows)
}

#[test]
fn the_description_keeps_the_contract() {
    Image::describe().check().expect("sound");
}

#[test]
fn a_position_is_flagged_in_the_report_and_in_the_summary() {
    for name in ["gps.jpg", "lossy.webp"] {
        let report = run(name).expect("a report");
        assert!(report.summary().ends_with(", YCbCr, GPS position in EXIF"), "{}", report.summary());
        let data = data(&report);
        assert_eq!(data["has_gps"], json!(true));
        assert_eq!(data["exif"]["position"], json!({"latitude": 48.858231, "longitude": 2.294489, "altitude_m": 33.0}));
        assert_eq!(data["warnings"][0]["kind"], json!("gps"));
        assert_eq!(data["exif"]["camera"], json!("Example Camera 1"));
        assert_eq!(data["exif"]["taken"], json!("2024:05:01 12:00:00"));
    }
}

#[test]
fn the_thumbnail_is_turned_and_at_most_256_pixels() {
    let report = run("gps.jpg").expect("a report");
    assert_eq!(data(&report)["orientation"], json!(6));
    let (width, height, _) = thumbnail(&report);
    assert_eq!((width, height), (256, 192));
}

#[test]
fn every_format_and_colour_model_is_decoded() {
    for (name, summary) in [
        ("alpha.png", "PNG 60×40, RGBA"),
        ("animated.gif", "GIF 80×60, palette, 5 frames"),
        ("animated.png", "PNG 48×36, RGB, 3 frames"),
        ("animated.webp", "WebP 48×36, YCbCr, 3 frames"),
        ("cmyk.jpg", "JPEG 64×48, CMYK"),
        ("gray.jpg", "JPEG 120×80, gray"),
        ("gray16.png", "PNG 20×10, gray"),
        ("interlaced.png", "PNG 9×9, RGB"),
        ("lossless.webp", "WebP 60×40, RGBA"),
        ("palette.png", "PNG 40×30, palette"),
        ("progressive.jpg", "JPEG 320×200, YCbCr"),
        ("rgb.png", "PNG 300×200, RGB"),
    ] {
        let report = run(name).expect(name);
        assert_eq!(report.summary(), summary);
        assert_eq!(data(&report)["warnings"], json!([]), "{name}");
        assert!(data(&report)["dhash"].is_string(), "{name}");
        thumbnail(&report);
    }
}

#[test]
fn interlaced_rows_come_to_their_places() {
    let (_, _, rows) = thumbnail(&run("interlaced.png").expect("a report"));
    for (y, row) in rows.iter().enumerate() {
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            assert_eq!((usize::from(pixel[0]), usize::from(pixel[1])), (x * 28, y * 28));
        }
    }
}

#[test]
fn an_animation_is_measured() {
    let report = run("animated.gif").expect("a report");
    assert_eq!(data(&report)["animation"], json!({"frames": 5, "truncated": false, "duration_ms": 600}));
    let report = run("animated.png").expect("a report");
    assert_eq!(data(&report)["animation"]["plays"], json!(2));
    let report = run("animated.webp").expect("a report");
    assert_eq!(data(&report)["animation"]["duration_ms"], json!(300));
}

#[test]
fn the_same_scene_has_nearly_the_same_hash_in_another_format() {
    let hash = |name| {
        let data = data(&run(name).expect("a report"));
        u64::from_str_radix(data["dhash"].as_str().expect("text"), 16).expect("hexadecimal")
    };
    let distance = (hash("rgb.png") ^ hash("progressive.jpg")).count_ones();
    assert!(distance <= 10, "{distance} bits");
}

#[test]
fn a_truncated_picture_shows_what_is_there() {
    let report = run("truncated.png").expect("a report");
    assert_eq!(report.summary(), "PNG 300×200, RGB, damaged");
    assert_eq!(data(&report)["warnings"][0]["kind"], json!("damaged"));
    assert_eq!(thumbnail(&report).0, 256);
}

#[test]
fn a_picture_that_does_not_fit_keeps_its_size_and_loses_its_thumbnail() {
    let report = run("huge.jpg").expect("a report");
    assert_eq!(report.summary(), "JPEG 65500×65500, gray, too large to decode");
    assert!(report.artifacts().is_empty());
    assert_eq!(data(&report)["warnings"][0]["kind"], json!("too-large"));
}

#[test]
fn what_is_no_picture_is_unsupported_whatever_its_name() {
    assert!(matches!(run("not-an-image.png"), Err(Failure::Unsupported(_))));
    assert!(matches!(filemill_engine::run::<Image>("a.png", "", "{}"), Err(Failure::Unsupported(_))));
}

#[test]
fn a_header_that_breaks_off_is_malformed() {
    for name in ["rgb.png", "gps.jpg", "animated.gif", "lossy.webp"] {
        let mut bytes = fixture(name);
        bytes.truncate(14);
        let result = filemill_engine::run::<Image>(name, bytes, "{}");
        assert!(matches!(result, Err(Failure::Malformed(_))), "{name}: {result:?}");
    }
}

#[test]
fn no_change_of_a_byte_and_no_cut_makes_it_panic() {
    for name in ["alpha.png", "animated.gif", "animated.webp", "cmyk.jpg", "gray.jpg", "lossless.webp", "palette.png"] {
        let sound = fixture(name);
        for at in (0..sound.len()).step_by(13) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0xa5;
            let _any = filemill_engine::run::<Image>(name, bytes, "{}");
            let _any = filemill_engine::run::<Image>(name, &sound[..at], "{}");
        }
    }
}

#[test]
fn a_file_that_vanished_is_not_called_broken() {
    struct Void(Vec<u8>);
    impl filemill_engine::Source for Void {
        fn read(&mut self, _max: u64) -> Result<Vec<u8>, filemill_engine::InputError> {
            match std::mem::take(&mut self.0) {
                bytes if bytes.is_empty() => Err(filemill_engine::InputError::Void("gone".into())),
                bytes => Ok(bytes),
            }
        }
        fn read_at(&mut self, _offset: u64, _max: u64) -> Result<Vec<u8>, filemill_engine::InputError> {
            Err(filemill_engine::InputError::Void("gone".into()))
        }
        fn size(&self) -> u64 {
            9_000
        }
    }
    let mut input = Input::from_source(Void(fixture("gps.jpg")[..4000].to_vec()));
    let result = Image::analyze(&File::new("gps.jpg", 9_000), &mut input, NoParameters {});
    assert_eq!(result, Err(Failure::failed("the input ended early: gone")));
}
