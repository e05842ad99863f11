//! The plaintext of a result: first as it is, then with its second line authenticated, in each format.
#![no_main]

use std::sync::LazyLock;

use filemill_seal::fuzzing::{authenticate_result, parse_result};
use filemill_seal::{DataKey, Digest, Expected, Format, UploadId};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<DataKey> = LazyLock::new(|| DataKey::from_bytes([1; 32]));

// The upload and header of `client/seal/vectors/result.json` and `batch.json`, so that the seeds get far.
const UPLOAD: UploadId = UploadId::from_bytes(*b"sixteen bytes id");

fuzz_target!(|plaintext: &[u8]| {
    let releases = [Digest::of(b"release one"), Digest::of(b"release two")];
    let expected = |format, task, index| Expected {
        format,
        upload: UPLOAD,
        task,
        index,
        header: Digest::of(b"a sealed header"),
        releases: &releases,
        length: 5,
        sha256: None,
    };
    for (format, task, index) in [(Format::One, 0, 1), (Format::Two, 0, 1), (Format::Two, 1, 0)] {
        if let Ok(result) = parse_result(plaintext) {
            assert!(result.verify(&KEY, &expected(format, task, index)).is_err(), "a result was forged");
        }
        let body = plaintext.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or(plaintext);
        let Ok(result) = parse_result(&authenticate_result(body, &KEY, &UPLOAD, format)) else {
            continue;
        };
        let expected = expected(format, task, index);
        if let Ok(body) = result.verify(&KEY, &expected) {
            assert_eq!(
                (body.upload, body.task, body.index, body.header),
                (expected.upload, task, index, expected.header)
            );
            assert!(body.release.is_none_or(|release| releases.contains(&release)));
            assert!(body.input.is_none_or(|input| input.length == expected.length));
            assert!(!body.outcome.analysed() || (body.input.is_some() && body.release.is_some()));
        }
    }
});
