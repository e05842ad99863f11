//! The plaintext of a batch: parsed within its bounds, and believed only where each member is authentic.
#![no_main]

use std::sync::LazyLock;

use filemill_seal::fuzzing::parse_batch;
use filemill_seal::{BATCH_MAX, DataKey, Digest, Expected, Format};
use libfuzzer_sys::fuzz_target;

// Not the key of `client/seal/vectors/batch.json`, so that no seed verifies.
static KEY: LazyLock<DataKey> = LazyLock::new(|| DataKey::from_bytes([1; 32]));

fuzz_target!(|plaintext: &[u8]| {
    let Ok(batch) = parse_batch(plaintext) else { return };
    let jobs: Vec<_> = batch.claimed_jobs().collect();
    assert!((1..=BATCH_MAX).contains(&jobs.len()));
    let releases = [Digest::of(b"release one")];
    let expected: Vec<_> = jobs
        .into_iter()
        .map(|(task, index)| Expected {
            format: Format::Two,
            upload: batch.claimed_upload(),
            task,
            index,
            header: Digest::of(b"a sealed header"),
            releases: &releases,
            length: 5,
            sha256: None,
        })
        .collect();
    assert!(batch.verify(&KEY, &expected).is_err(), "a batch was forged");
});
