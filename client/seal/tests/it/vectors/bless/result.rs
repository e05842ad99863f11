//! Results of a succeeded and a void file, and what is wrong with others.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use filemill_seal::fuzzing::authenticate_result;
use filemill_seal::{
    Artifact, DataKey, Digest, EngineInput, Expected, Failure, Finding, Format, Identity, JsonObject, LogLine, Outcome,
    Report, Resources, ResultBody, Severity, UploadId, open_result, seal_result,
};

use super::{KEY, UPLOAD, refused, secret};
use crate::support::age_recipient;
use crate::vectors::form::{Hex, ResultCase, ResultFile, ResultText, write};

#[test]
#[ignore = "writes client/seal/vectors/result.json"]
fn bless_result() {
    let content = b"a\nbc\n";
    let uploader = Identity::generate();
    let (key, header) = (DataKey::from_bytes(KEY), Digest::of(b"a sealed header"));
    let releases = [Digest::of(b"release one"), Digest::of(b"release two")];
    let sha256 = Digest::of(content);
    let expected = Expected {
        format: Format::One,
        upload: UPLOAD,
        task: 0,
        index: 1,
        header,
        releases: &releases,
        length: 5,
        sha256: Some(sha256),
    };
    let age_identity: age::x25519::Identity = uploader.expose_secret().parse().expect("an identity");
    let body = ResultBody {
        upload: UPLOAD,
        task: 0,
        index: 1,
        header,
        release: Some(releases[1]),
        outcome: Outcome::Succeeded,
        input: Some(EngineInput { length: 5, sha256 }),
        report: Some(Report::from_json(r#"{"bytes":5,"lines":2}"#.to_owned()).expect("an object")),
        failure: None,
        log: vec![LogLine { level: "info".to_owned(), message: "two lines".to_owned() }],
        resources: Resources {
            bytes_read: 5,
            cpu_us: 20,
            wall_us: 31,
            peak_memory_bytes: 65_536,
            host_calls: 2,
            ..Resources::default()
        },
    };
    let mut void = body.clone();
    (void.outcome, void.input, void.report, void.release) = (Outcome::Void, None, None, None);
    void.failure = Some(Failure { kind: "void".to_owned(), message: "the file changed".to_owned() });
    (void.log, void.resources) = (Vec::new(), Resources::default());

    let mut rich = body.clone();
    rich.resources.input_wait_us = 1_700;
    rich.report = rich.report.map(|report| Report {
        summary: "two lines".to_owned(),
        findings: vec![
            Finding {
                kind: "text.line".to_owned(),
                severity: Severity::Info,
                summary: "a short line".to_owned(),
                json: Some(JsonObject::from_text(r#"{"line":1}"#.to_owned()).expect("an object")),
            },
            Finding {
                kind: "text.end".to_owned(),
                severity: Severity::Critical,
                summary: "it ends".to_owned(),
                json: None,
            },
        ],
        artifacts: vec![Artifact {
            name: "plot.svg".to_owned(),
            media_type: "image/svg+xml".to_owned(),
            data: b"<svg/>".to_vec(),
        }],
        description: Some(Digest::of(b"{}")),
        ..report
    });

    let case = |sealed: Vec<u8>| {
        let plaintext = age::decrypt(&age_identity, &sealed).expect("it opens");
        ResultText { plaintext: String::from_utf8(plaintext).expect("text"), sealed: Hex(sealed) }
    };
    let accept = |name: &str, body: &ResultBody| {
        let what = case(seal_result(body, &key, &uploader.recipient()).expect("it seals"));
        ResultCase { name: name.to_owned(), what }
    };
    let refuse = |name: &str, sealed: Vec<u8>| {
        let opened = open_result(&sealed, std::slice::from_ref(&uploader));
        let error = opened.and_then(|result| result.verify(&key, &expected)).expect_err(name);
        refused(name, error, case(sealed))
    };
    let other = |change: fn(&mut ResultBody)| {
        let mut body = body.clone();
        change(&mut body);
        seal_result(&body, &key, &uploader.recipient()).expect("it seals")
    };
    // With the authenticator that goes with the changed text: an engine's words that the processor did not check.
    let authentic = |change: fn(String) -> String| {
        let good = case(seal_result(&rich, &key, &uploader.recipient()).expect("it seals")).plaintext;
        let (_, body) = good.split_once('\n').expect("two lines");
        let plaintext = authenticate_result(change(body.to_owned()).as_bytes(), &key, &UPLOAD, Format::One);
        age::encrypt(&age_recipient(&uploader), &plaintext).expect("it encrypts")
    };
    let text = |change: fn(String) -> String| {
        let good = seal_result(&body, &key, &uploader.recipient()).expect("it seals");
        age::encrypt(&age_recipient(&uploader), change(case(good).plaintext).as_bytes()).expect("it encrypts")
    };
    let refused = vec![
        refuse(
            "another key",
            seal_result(&body, &DataKey::from_bytes([0; 32]), &uploader.recipient()).expect("it seals"),
        ),
        refuse("text altered", text(|text| text.replace("\"lines\":2", "\"lines\":3"))),
        refuse("authenticator in upper case", text(|text| text.to_uppercase())),
        refuse("version 2", text(|text| text.replace("result/1", "result/2"))),
        refuse("another upload", other(|body| body.upload = UploadId::from_bytes([0; 16]))),
        refuse("another file", other(|body| body.index = 0)),
        refuse("another header", other(|body| body.header = Digest::of(b"another header"))),
        refuse("a release that is not named", other(|body| body.release = Some(Digest::of(b"release three")))),
        refuse(
            "another length",
            other(|body| body.input = Some(EngineInput { length: 6, sha256: Digest::of(b"a\nbc\n") })),
        ),
        refuse("another content", other(|body| body.input = Some(EngineInput { length: 5, sha256: Digest::of(b"") }))),
        refuse("an artifact with a path", authentic(|text| text.replace("plot.svg", "../plot.svg"))),
        refuse("an artifact that is hidden", authentic(|text| text.replace("plot.svg", ".plot.svg"))),
        refuse("an artifact that is no base64", authentic(|text| text.replace("PHN2Zy8+", "PHN2Zy8"))),
        refuse(
            "a summary of two lines",
            authentic(|text| text.replace("two lines\",\"report", "two\\nlines\",\"report")),
        ),
        refuse("findings without a report", authentic(|text| text.replace("\"report\"", "\"other\""))),
    ];
    let accepted = vec![
        accept("succeeded", &body),
        accept("succeeded, with findings and an artifact", &rich),
        accept("void", &void),
        ResultCase {
            name: "a severity of a later contract".to_owned(),
            what: case(authentic(|text| text.replace("\"critical\"", "\"fatal\""))),
        },
    ];
    let hmac_key = {
        let mut bytes = vec![0; 32];
        let secret = Salt::new(HKDF_SHA256, UPLOAD.as_bytes()).extract(&KEY);
        secret.expand(&[b"filemill/1 result"], HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes)).expect("32 bytes");
        Hex(bytes)
    };
    write(
        "result.json",
        &ResultFile {
            uploader_identity: secret(&uploader),
            key: Hex(KEY.to_vec()),
            hmac_key,
            upload: UPLOAD,
            header,
            releases: releases.to_vec(),
            index: 1,
            length: 5,
            sha256,
            accepted,
            refused,
        },
    );
}
