//! The plaintext of a batch: first as it is, then with each of its members authenticated.
#![no_main]

use std::sync::LazyLock;

use filemill_seal::fuzzing::{authenticate_batch, parse_batch};
use filemill_seal::{BATCH_MAX, DataKey, Digest, Expected, Format, UploadId};
use libfuzzer_sys::fuzz_target;

// Not the key of `client/seal/vectors/batch.json`, so that no seed verifies as it is.
static KEY: LazyLock<DataKey> = LazyLock::new(|| DataKey::from_bytes([1; 32]));

// The upload, header and releases of `client/seal/vectors/batch.json`, so that the seeds get far.
const UPLOAD: UploadId = UploadId::from_bytes(*b"sixteen bytes id");

fuzz_target!(|plaintext: &[u8]| {
    let Ok(batch) = parse_batch(plaintext) else { return };
    let jobs: Vec<(u32, u32)> = batch.claimed_jobs().collect();
    assert!((1..=BATCH_MAX).contains(&jobs.len()));
    let releases = [Digest::of(b"release one"), Digest::of(b"release two"), Digest::of(b"release three")];
    let expected: Vec<_> = jobs
        .iter()
        .map(|(task, index)| Expected {
            format: Format::Two,
            upload: UPLOAD,
            task: *task,
            index: *index,
            header: Digest::of(b"a sealed header"),
            releases: &releases,
            length: 5,
            sha256: None,
        })
        .collect();
    assert!(batch.verify(&KEY, &expected).is_err(), "a batch was forged");

    let authentic = authenticate_batch(plaintext, &KEY).expect("it was parsed before");
    let batch = parse_batch(&authentic).expect("only its authenticators are others");
    let Ok(members) = batch.verify(&KEY, &expected) else { return };
    let verified: Vec<(u32, u32)> = members.iter().map(|member| (member.body().task, member.body().index)).collect();
    assert_eq!(verified, jobs);
    let mut distinct = jobs;
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), members.len(), "two results of one job");
    for body in members.iter().map(|member| member.body()) {
        assert_eq!((body.upload, body.header), (UPLOAD, Digest::of(b"a sealed header")));
        assert!(body.release.is_none_or(|release| releases.contains(&release)));
        assert!(body.input.is_none_or(|input| input.length == 5));
        assert!(!body.outcome.analysed() || (body.input.is_some() && body.release.is_some()));
    }
});
