//! The plaintext of a result: first as it is, then with its second line authenticated.
#![no_main]

use std::sync::LazyLock;

use filemill_seal::fuzzing::{authenticate_result, parse_result};
use filemill_seal::{DataKey, Digest, Expected, Format, UploadId};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<DataKey> = LazyLock::new(|| DataKey::from_bytes([1; 32]));

// The upload, header and file of `client/seal/vectors/result.json`, so that the seeds get far.
const UPLOAD: UploadId = UploadId::from_bytes(*b"sixteen bytes id");

fuzz_target!(|plaintext: &[u8]| {
    let releases = [Digest::of(b"release one"), Digest::of(b"release two")];
    let expected = Expected {
        format: Format::One,
        upload: UPLOAD,
        task: 0,
        index: 1,
        header: Digest::of(b"a sealed header"),
        releases: &releases,
        length: 5,
        sha256: None,
    };
    if let Ok(result) = parse_result(plaintext) {
        assert!(result.verify(&KEY, &expected).is_err(), "a result was forged");
    }
    let body = plaintext.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or(plaintext);
    let Ok(result) = parse_result(&authenticate_result(body, &KEY, &UPLOAD, Format::One)) else {
        return;
    };
    if let Ok(body) = result.verify(&KEY, &expected) {
        assert_eq!(
            (body.upload, body.index, body.header),
            (expected.upload, expected.index, expected.header)
        );
        assert!(body.release.is_none_or(|release| releases.contains(&release)));
        assert!(body.input.is_none_or(|input| input.length == expected.length));
        assert!(!body.outcome.analysed() || (body.input.is_some() && body.release.is_some()));
    }
});
