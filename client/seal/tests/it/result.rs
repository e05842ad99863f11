//! A result is shown only if a processor of the pool said it of this very file.

use filemill_seal::fuzzing::result_json;
use filemill_seal::{
    CHUNK_SIZE_MIN, DataKey, Digest, EngineInput, EnvelopeError, Expected, Failure, Header, Identity, LogLine, Outcome,
    RESULT_MAX_BYTES, RESULT_MAX_SEALED_BYTES, Report, ResultBody, ResultError, UploadId, open_result, seal_result,
};
use proptest::prelude::*;

use crate::support::{Scene, age_recipient, flips, nothing_else_is_taken};

const CONTENT: &[u8] = b"a\nbc\n";

fn scene() -> (Scene, Digest) {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[5, 5, 9]);
    let digest = Digest::of(b"the sealed header");
    (scene, digest)
}

fn expected(header: &Header, digest: Digest) -> Expected<'_> {
    Expected { sha256: Some(Digest::of(CONTENT)), ..Expected::from_header(header, digest, 0, 1).expect("file 1") }
}

/// Seals `body` as the processor does and verifies it as the client does.
fn deliver(scene: &Scene, body: &ResultBody, expected: &Expected<'_>) -> Result<ResultBody, ResultError> {
    let sealed = seal_result(body, &scene.header.key, &scene.header.uploader)?;
    open_result(&sealed, std::slice::from_ref(&scene.uploader))?.verify(&scene.header.key, expected)
}

fn refusal(change: impl FnOnce(&mut ResultBody)) -> ResultError {
    let (scene, digest) = scene();
    let mut body = scene.succeeded(digest, 1, CONTENT);
    change(&mut body);
    deliver(&scene, &body, &expected(&scene.header, digest)).expect_err("it is refused")
}

/// A result with this text behind a first line that authenticates it, sealed for the uploader.
fn seal_text(scene: &Scene, text: &str) -> Vec<u8> {
    use aws_lc_rs::{hkdf, hmac};
    // Written out here once more, straight from the protocol.
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, scene.header.upload.as_bytes())
        .extract(scene.header.key.expose_bytes())
        .expand(&[b"filemill/1 result"], hmac::HMAC_SHA256)
        .map(hmac::Key::from)
        .expect("32 bytes");
    let tag = data_encoding::HEXLOWER.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    let recipient = age_recipient(&scene.uploader);
    age::encrypt(&recipient, format!("filemill-result/1 {tag}\n{text}").as_bytes()).expect("it encrypts")
}

fn verify_text(text: &str) -> Result<ResultBody, ResultError> {
    let (scene, digest) = scene();
    open_result(&seal_text(&scene, text), std::slice::from_ref(&scene.uploader))?
        .verify(&scene.header.key, &expected(&scene.header, digest))
}

fn text() -> String {
    let (scene, digest) = scene();
    result_json(&scene.succeeded(digest, 1, CONTENT))
}

proptest! {
    #[test]
    fn what_a_processor_says_arrives_as_it_is(
        (kind, message, levels) in (".*", ".*", prop::collection::vec((".*", ".*"), 0..5)),
        outcome in prop::sample::select(&Outcome::ALL[1..9]),
        cpu_us in any::<u64>(),
    ) {
        let (scene, digest) = scene();
        let mut body = scene.succeeded(digest, 1, CONTENT);
        body.outcome = outcome;
        body.report = None;
        body.failure = Some(Failure { kind, message });
        body.log = levels.into_iter().map(|(level, message)| LogLine { level, message }).collect();
        body.resources.cpu_us = cpu_us;
        prop_assert_eq!(deliver(&scene, &body, &expected(&scene.header, digest))?, body);
    }
}

#[test]
fn a_report_keeps_the_text_the_engine_wrote() {
    let (scene, digest) = scene();
    let body = scene.succeeded(digest, 1, CONTENT);
    let result = deliver(&scene, &body, &expected(&scene.header, digest)).expect("it verifies");
    assert_eq!(result.report.expect("a report").as_json(), r#"{"bytes": 5, "lines": 1}"#);
}

#[test]
fn no_changed_bit_and_no_other_length_is_opened() {
    let (scene, digest) = scene();
    let sealed =
        seal_result(&scene.succeeded(digest, 1, CONTENT), &scene.header.key, &scene.header.uploader).expect("it seals");
    nothing_else_is_taken(&sealed, |bytes| open_result(bytes, std::slice::from_ref(&scene.uploader)).is_ok());
}

#[test]
fn no_changed_bit_inside_is_believed_by_whoever_seals_it_again() {
    let (scene, digest) = scene();
    let sealed =
        seal_result(&scene.succeeded(digest, 1, CONTENT), &scene.header.key, &scene.header.uploader).expect("it seals");
    let age_identity: age::x25519::Identity = scene.uploader.expose_secret().parse().expect("an identity");
    let plaintext = age::decrypt(&age_identity, &sealed).expect("a plain age file");
    for (bit, changed) in flips(&plaintext) {
        let result = filemill_seal::fuzzing::parse_result(&changed)
            .and_then(|result| result.verify(&scene.header.key, &expected(&scene.header, digest)));
        assert!(result.is_err(), "bit {bit}");
    }
}

#[test]
fn only_the_uploader_opens_it() {
    let (scene, digest) = scene();
    let sealed =
        seal_result(&scene.succeeded(digest, 1, CONTENT), &scene.header.key, &scene.header.uploader).expect("it seals");
    for other in [&scene.pool, &scene.stranger] {
        let error = open_result(&sealed, std::slice::from_ref(other)).err();
        assert_eq!(error, Some(ResultError::Envelope(EnvelopeError::NoMatchingKey)));
    }
}

#[test]
fn whoever_holds_no_data_key_is_not_believed() {
    let (scene, digest) = scene();
    let body = scene.succeeded(digest, 1, CONTENT);
    let forged = seal_result(&body, &DataKey::random(), &scene.header.uploader).expect("it seals");
    let opened = open_result(&forged, std::slice::from_ref(&scene.uploader)).expect("it opens");
    assert_eq!((opened.claimed_upload(), opened.claimed_index(), opened.claimed_header()), (body.upload, 1, digest));
    assert_eq!(opened.verify(&scene.header.key, &expected(&scene.header, digest)), Err(ResultError::Forged));
}

#[test]
fn a_result_of_another_job_is_refused_with_what_it_is_of() {
    let other = UploadId::from_bytes([9; 16]);
    let upload = UploadId::from_bytes([0x11; 16]);
    assert_eq!(refusal(|body| body.upload = other), ResultError::OtherUpload { expected: upload, found: other });
    assert_eq!(refusal(|body| body.index = 0), ResultError::OtherFile { expected: 1, found: 0 });
    let (found, header) = (Digest::of(b"another header"), Digest::of(b"the sealed header"));
    assert_eq!(refusal(|body| body.header = found), ResultError::OtherHeader { expected: header, found });
    let release = Digest::of(b"release three");
    assert_eq!(refusal(|body| body.release = Some(release)), ResultError::ReleaseNotAllowed { release });
}

#[test]
fn a_result_about_other_bytes_is_refused() {
    let (content, found) = (Digest::of(CONTENT), Digest::of(b"other"));
    let input = |length, sha256| move |body: &mut ResultBody| body.input = Some(EngineInput { length, sha256 });
    assert_eq!(refusal(input(6, content)), ResultError::OtherLength { expected: 5, found: 6 });
    assert_eq!(refusal(input(5, found)), ResultError::OtherContent { expected: content, found });
}

#[test]
fn a_device_that_has_only_the_header_checks_the_length() {
    let (scene, digest) = scene();
    let expected = |index| Expected::from_header(&scene.header, digest, 0, index);
    let body = scene.succeeded(digest, 1, CONTENT);
    assert!(deliver(&scene, &body, &expected(1).expect("file 1")).is_ok());
    assert_eq!(
        deliver(&scene, &scene.succeeded(digest, 2, CONTENT), &expected(2).expect("file 2")),
        Err(ResultError::OtherLength { expected: 9, found: 5 })
    );
    assert_eq!(expected(3), None);
    assert_eq!(expected(u32::MAX), None);
}

#[test]
fn fields_must_go_with_the_outcome() {
    let inconsistent =
        |change: fn(&mut ResultBody)| assert!(matches!(refusal(change), ResultError::Inconsistent { .. }));
    fn fail(body: &mut ResultBody, outcome: Outcome) {
        body.outcome = outcome;
        body.report = None;
        body.failure = Some(Failure { kind: "k".to_owned(), message: "m".to_owned() });
    }
    inconsistent(|body| body.report = None);
    inconsistent(|body| body.failure = Some(Failure { kind: String::new(), message: String::new() }));
    inconsistent(|body| body.outcome = Outcome::Failed);
    inconsistent(|body| body.release = None);
    inconsistent(|body| body.input = None);
    inconsistent(|body| fail(body, Outcome::Void));
    inconsistent(|body| fail(body, Outcome::Quarantined));

    let (scene, digest) = scene();
    for outcome in [Outcome::Void, Outcome::Refused, Outcome::Cancelled, Outcome::HostFailed] {
        let mut body = scene.succeeded(digest, 1, CONTENT);
        fail(&mut body, outcome);
        (body.input, body.release) = (None, None);
        assert_eq!(deliver(&scene, &body, &expected(&scene.header, digest)).as_ref(), Ok(&body));
    }
    // The reader checks it by itself.
    let lying = text().replace("\"succeeded\"", "\"failed\"");
    assert!(matches!(verify_text(&lying), Err(ResultError::Inconsistent { .. })));
}

#[test]
fn a_second_implementation_is_understood_and_fields_may_be_added() {
    assert!(verify_text(&text()).is_ok());
    let more = text().replacen('{', "{ \"new\": [1, {}], ", 1);
    assert!(verify_text(&more).is_ok());
    let short = text().replace(",\"log\":[]", "");
    assert!(short.len() < text().len());
    assert!(verify_text(&short).is_ok());
}

#[test]
fn what_is_no_result_is_called_that() {
    let malformed = |text: &str| assert!(matches!(verify_text(text), Err(ResultError::Malformed { .. })), "{text}");
    malformed("");
    malformed("[]");
    malformed("{}");
    malformed(&format!("{} x", text()));
    // Twice the same field: the first would be claimed, the second believed.
    malformed(&text().replacen('{', "{\"index\":1,", 1));
    malformed(&text().replace("{\"bytes\": 5, \"lines\": 1}", "[]"));
    malformed(&text().replace("\"succeeded\"", "\"excellent\""));
    malformed(&text().replace("\"index\":1", "\"index\":4294967296"));

    let (scene, _) = scene();
    let recipient = age_recipient(&scene.uploader);
    for text in [
        "",
        "filemill-result/1 ",
        &format!("filemill-result/3 {}\n{{}}", "0".repeat(64)),
        &format!("filemill-result/1 {}\n{{}}", "A".repeat(64)),
    ] {
        let sealed = age::encrypt(&recipient, text.as_bytes()).expect("it encrypts");
        assert_eq!(
            open_result(&sealed, std::slice::from_ref(&scene.uploader)).err(),
            Some(ResultError::NotAResult),
            "{text}"
        );
    }
}

#[test]
fn results_are_bounded_on_both_sides() {
    let long = |bytes: usize| Report::from_json(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes))).expect("an object");
    let refusal = refusal(|body| body.report = Some(long(RESULT_MAX_BYTES)));
    assert!(matches!(refusal, ResultError::TooLong { found } if found > RESULT_MAX_BYTES));

    let (scene, digest) = scene();
    let mut body = scene.succeeded(digest, 1, CONTENT);
    body.report = Some(long(RESULT_MAX_BYTES - 1_000));
    assert!(deliver(&scene, &body, &expected(&scene.header, digest)).is_ok());

    let identities = [Identity::generate()];
    let error = open_result(&vec![0; RESULT_MAX_SEALED_BYTES + 1], &identities).err();
    let max_bytes = RESULT_MAX_SEALED_BYTES;
    assert_eq!(error, Some(ResultError::Envelope(EnvelopeError::TooLong { max_bytes })));
    // Short enough when sealed, too long inside.
    let text = " ".repeat(RESULT_MAX_BYTES);
    assert!(matches!(
        open_result(&seal_text(&scene, &text), std::slice::from_ref(&scene.uploader)),
        Err(ResultError::TooLong { .. })
    ));
}

#[test]
fn a_report_is_a_json_object() {
    for text in ["", "1", "[]", "null", "{", "{}}", "\"{}\""] {
        assert!(matches!(Report::from_json(text.to_owned()), Err(ResultError::Malformed { .. })), "{text}");
    }
    assert_eq!(Report::from_json(" {} \n".to_owned()).map(|report| report.as_json().to_owned()), Ok("{}".to_owned()));
}

#[test]
fn debug_shows_nothing_unverified() {
    let (scene, digest) = scene();
    let sealed =
        seal_result(&scene.succeeded(digest, 1, CONTENT), &scene.header.key, &scene.header.uploader).expect("it seals");
    let opened = open_result(&sealed, std::slice::from_ref(&scene.uploader)).expect("it opens");
    assert!(!format!("{opened:?}").contains("bytes"));
}

#[test]
fn outcome_codes_are_those_of_the_protocol() {
    let protocol = include_str!("../../../../docs/protocol.md");
    for outcome in Outcome::ALL {
        assert!(protocol.contains(&format!("`{}`", outcome.code())), "{outcome}");
        assert_eq!(Outcome::from_code(outcome.code()), Ok(outcome));
        assert_eq!(serde_json::to_string(&outcome).expect("JSON"), format!("\"{}\"", outcome.code()));
    }
    assert!(Outcome::from_code("excellent").is_err());
    assert_eq!(Outcome::ALL.iter().filter(|outcome| outcome.analysed()).count(), 9);
}
