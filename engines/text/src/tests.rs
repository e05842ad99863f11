//! The engine over its fixtures. `secrets.env` holds the key of Amazon's documentation and made-up ones.

use serde_json::{Value, json};

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(name: &str) -> Report {
    filemill_engine::run::<Text>(name, fixture(name), "{}").expect(name)
}

fn data(report: &Report) -> Value {
    serde_json::from_str(report.json()).expect("JSON")
}

#[test]
fn the_description_keeps_the_contract() {
    Text::describe().check().expect("sound");
}

#[test]
fn encoding_lines_and_language_stand_in_the_summary() {
    for (name, summary) in [
        ("empty.txt", "ASCII, 0 lines"),
        ("english.txt", "ASCII, 5 lines, English"),
        ("koi8-r.txt", "KOI8-U, 2 lines, Russian"),
        ("long-line.json", "ASCII, 1 line, 1 secret found"),
        ("mixed-endings.txt", "ASCII, 4 lines, mixed endings"),
        ("secrets.env", "ASCII, 15 lines, 5 secrets found"),
        ("shift-jis.txt", "Shift_JIS, 3 lines, Japanese"),
        ("utf-16be.txt", "UTF-16BE, 2 lines, CRLF endings, German"),
        ("utf-16le-bom.txt", "UTF-16LE with byte order mark, 2 lines, CRLF endings, German"),
        ("utf-8-bom.csv", "UTF-8 with byte order mark, 3 lines, CRLF endings"),
        ("windows-1252.txt", "windows-1252, 2 lines, CRLF endings, German"),
    ] {
        assert_eq!(run(name).summary(), summary, "{name}");
    }
}

#[test]
fn secrets_are_told_by_place_and_nothing_of_them_is_shown() {
    let report = run("secrets.env");
    let found: Vec<_> = data(&report)["secrets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|secret| (secret["kind"].clone(), secret["line"].clone(), secret["excerpt"].clone()))
        .collect();
    let expected = [
        ("aws-access-key-id", 2, "AKIA…"),
        ("aws-secret-access-key", 3, "wJal…"),
        ("password-in-url", 4, "not-…"),
        ("assigned-secret", 5, "made…"),
        ("private-key", 8, "-----BEGIN RSA PRIVATE KEY-----"),
    ];
    assert_eq!(found, expected.map(|(kind, line, excerpt)| (json!(kind), json!(line), json!(excerpt))));
    for hidden in ["IOSFODNN7", "wJalrX", "a-real-one", "4f9a1c7e"] {
        assert!(!report.json().contains(hidden), "{hidden}");
    }
}

#[test]
fn the_search_can_be_left_out() {
    let report = filemill_engine::run::<Text>("a", fixture("secrets.env"), r#"{"secrets":false}"#).expect("a report");
    assert_eq!(report.summary(), "ASCII, 15 lines");
    assert_eq!(data(&report)["secrets_found"], Value::Null);
    let refused = filemill_engine::run::<Text>("a", "a", r#"{"secret":false}"#).expect_err("refused");
    assert!(refused.sentence().contains("secret"), "{refused:?}");
}

#[test]
fn line_lengths_are_shown_as_a_plot() {
    let report = run("english.txt");
    let data = data(&report);
    assert_eq!((&data["longest_line"], &data["longest_line_number"]), (&json!(81), &json!(4)));
    assert_eq!(data["line_lengths"].as_array().expect("a list").len(), 9);
    let plot = &report.artifacts()[0];
    assert_eq!((plot.name.as_str(), plot.media_type.as_str()), ("line-lengths.svg", "image/svg+xml"));
    assert!(plot.data.starts_with(b"<svg"));
}

#[test]
fn what_is_no_text_is_unsupported() {
    let result = filemill_engine::run::<Text>("binary.bin", fixture("binary.bin"), "{}");
    assert!(matches!(result, Err(Failure::Unsupported(_))), "{result:?}");
}

#[test]
fn no_cut_and_no_change_of_a_byte_makes_it_panic() {
    for name in ["secrets.env", "shift-jis.txt", "utf-16le-bom.txt"] {
        let sound = fixture(name);
        for at in (0..sound.len()).step_by(17) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0xa5;
            let _any = filemill_engine::run::<Text>(name, bytes, "{}");
            let _any = filemill_engine::run::<Text>(name, &sound[..at], "{}");
        }
    }
}
