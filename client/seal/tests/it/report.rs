//! What an engine hands out beside its report is bounded, whoever sealed it.

use filemill_seal::fuzzing::result_json;
use filemill_seal::{
    ARTIFACTS_MAX, CHUNK_SIZE_MIN, Digest, Expected, FINDINGS_MAX, Format, RESULT_MAX_BYTES, Report, ResultBody,
    ResultError, SUMMARY_MAX_BYTES, Severity, fuzzing, is_artifact_name, is_finding_kind, is_media_type, is_summary,
    open_result, seal_result, to_summary,
};

use crate::support::{Scene, full_report};

const CONTENT: &[u8] = b"a\nbc\n";

fn body(scene: &Scene, report: Report) -> ResultBody {
    ResultBody { report: Some(report), ..scene.succeeded(Digest::of(b"the sealed header"), 0, CONTENT) }
}

/// What comes of a report that is sealed as it should be; and of one that a processor sealed without looking.
fn both_ways(change: impl FnOnce(&mut Report)) -> (Result<Report, ResultError>, Result<Report, ResultError>) {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[5]);
    let (header, key) = (&scene.header, &scene.header.key);
    let expected = Expected::from_header(header, Digest::of(b"the sealed header"), 0, 0).expect("file 0");
    let mut report = full_report();
    change(&mut report);
    let body = body(&scene, report);
    let sealed = seal_result(&body, key, &header.uploader)
        .and_then(|sealed| open_result(&sealed, std::slice::from_ref(&scene.uploader))?.verify(key, &expected));
    let text = result_json(&body).into_bytes();
    let careless = fuzzing::parse_result(&fuzzing::authenticate_result(&text, key, &header.upload, Format::One))
        .and_then(|result| result.verify(key, &expected));
    let report = |body: ResultBody| body.report.expect("a report");
    (sealed.map(report), careless.map(report))
}

#[track_caller]
fn refused_both_ways(change: impl FnOnce(&mut Report)) {
    let (sealed, careless) = both_ways(change);
    assert!(matches!(sealed, Err(ResultError::Malformed { .. })), "sealing: {sealed:?}");
    assert!(matches!(careless, Err(ResultError::Malformed { .. })), "opening: {careless:?}");
}

#[test]
fn all_of_a_report_arrives_as_it_is() {
    let (sealed, careless) = both_ways(|_| {});
    assert_eq!(sealed, Ok(full_report()));
    assert_eq!(careless, Ok(full_report()));
}

#[test]
fn a_severity_of_a_later_contract_costs_nobody_the_result() {
    let word = Severity::Other("\u{1b}[2Jfatal".into());
    let (sealed, careless) = both_ways(|report| report.findings[0].severity = word.clone());
    for report in [sealed, careless] {
        assert_eq!(report.expect("it is taken").findings[0].severity, word);
    }
    assert!(word < Severity::Info, "it ranks lowest");
    let text = serde_json::to_string(&[Severity::Other("high".into()), Severity::Critical]).expect("JSON");
    let read: Vec<Severity> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(read, [Severity::High, Severity::Critical], "a known word is the known severity");
}

#[test]
fn no_name_of_an_artifact_leads_elsewhere_or_comes_twice() {
    for name in
        ["", ".", "..", ".hidden", "-rf", "a/b", "a\\b", "../x", "a b", "a\0", "a\n", "ä", "con:", &"x".repeat(101)]
    {
        assert!(!is_artifact_name(name), "{name}");
        refused_both_ways(|report| report.artifacts[0].name = name.to_owned());
    }
    refused_both_ways(|report| report.artifacts = vec![report.artifacts[0].clone(), report.artifacts[0].clone()]);
    for name in ["a", "A-1_b.svg", "0.", &"x".repeat(100)] {
        assert!(both_ways(|report| report.artifacts[0].name = name.to_owned()).0.is_ok(), "{name}");
    }
}

#[test]
fn numbers_and_lengths_are_bounded() {
    refused_both_ways(|report| report.findings = vec![report.findings[0].clone(); FINDINGS_MAX + 1]);
    assert!(both_ways(|report| report.findings = vec![report.findings[0].clone(); FINDINGS_MAX]).0.is_ok());
    let numbered = |count: usize| {
        let one = full_report().artifacts.remove(0);
        (0..count).map(|number| filemill_seal::Artifact { name: format!("{number}"), ..one.clone() }).collect()
    };
    refused_both_ways(|report| report.artifacts = numbered(ARTIFACTS_MAX + 1));
    assert!(both_ways(|report| report.artifacts = numbered(ARTIFACTS_MAX)).0.is_ok());
    let (sealed, careless) = both_ways(|report| report.artifacts[0].data = vec![0; RESULT_MAX_BYTES * 3 / 4]);
    assert!(matches!(sealed, Err(ResultError::TooLong { .. })));
    assert!(matches!(careless, Err(ResultError::TooLong { .. })));
}

#[test]
fn what_is_shown_in_a_line_is_one() {
    for summary in ["two\nlines", "\u{1b}[2J", "a\rb", "\u{9b}", &"x".repeat(SUMMARY_MAX_BYTES + 1)] {
        assert!(!is_summary(summary), "{summary:?}");
        assert!(is_summary(&to_summary(summary)));
        refused_both_ways(|report| report.summary = summary.to_owned());
        refused_both_ways(|report| report.findings[0].summary = summary.to_owned());
    }
    assert_eq!(to_summary("two\nlines, naïve ✓"), "two lines, naïve ✓");
    // Cut between characters.
    assert_eq!(to_summary(&"✓".repeat(200)), "✓".repeat(170));
}

#[test]
fn kinds_and_media_types_are_words() {
    for kind in ["", "Upper", "a b", "a/b", "ä", &"x".repeat(65)] {
        assert!(!is_finding_kind(kind));
        refused_both_ways(|report| report.findings[0].kind = kind.to_owned());
    }
    for media_type in ["", "text/\u{1b}plain", "ä/ö", &"x".repeat(128)] {
        assert!(!is_media_type(media_type));
        refused_both_ways(|report| report.artifacts[0].media_type = media_type.to_owned());
    }
    assert!(is_finding_kind("secret.aws-key") && is_media_type("text/csv; charset=utf-8"));
}

#[test]
fn nothing_stands_beside_a_report_that_is_not_there() {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[5]);
    let (header, key) = (&scene.header, &scene.header.key);
    let expected = Expected::from_header(header, Digest::of(b"the sealed header"), 0, 0).expect("file 0");
    let verify = |text: &str| {
        let text = fuzzing::authenticate_result(text.as_bytes(), key, &header.upload, Format::One);
        fuzzing::parse_result(&text).and_then(|result| result.verify(key, &expected))
    };
    let text = result_json(&body(&scene, full_report()));
    assert!(verify(&text).is_ok());
    let error = verify(&text.replace("\"report\"", "\"other\"")).expect_err("no report");
    assert!(error.to_string().contains("beside a report"), "{error}");
}
