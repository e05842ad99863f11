//! The age file around a header or a result, as it comes from storage.
#![no_main]

use std::sync::LazyLock;

use filemill_seal::{Header, Identity, SealedHeader, open_result};
use libfuzzer_sys::fuzz_target;

static IDENTITIES: LazyLock<[Identity; 1]> = LazyLock::new(|| {
    // The pool's identity of `client/seal/vectors/header.json`, so that the seeds open.
    [include_str!("../seeds/identity.txt").trim().parse().expect("an identity")]
});

fuzz_target!(|bytes: &[u8]| {
    let _ = open_result(bytes, &*IDENTITIES);
    if let Ok(sealed) = SealedHeader::from_bytes(bytes.to_vec()) {
        let _ = Header::open(&sealed, &*IDENTITIES);
    }
});
