//! Writes the vector files anew: `cargo test -p filemill-seal --test it -- --ignored bless`.
//!
//! Nonces and age keys are random, so that the sealed bytes differ each time: do it only when the format grows.

mod batch;
mod chunk;
mod header;
mod header_two;
mod layout;
mod result;
mod statement;

use std::fmt::Display;

use filemill_seal::{Identity, UploadId, Verdict, VoidReason};

use super::form::Refused;

const UPLOAD: UploadId = UploadId::from_bytes(*b"sixteen bytes id");
const KEY: [u8; 32] = *b"an upload's 32 byte secret key!!";

fn secret(identity: &Identity) -> String {
    identity.expose_secret().to_string()
}

fn refused<T>(name: &str, error: impl Display, what: T) -> Refused<T> {
    Refused { name: name.to_owned(), message: error.to_string(), what }
}

/// Verdicts as they stand in a chunk's plaintext, written straight from the protocol.
pub(super) fn encode_verdicts(verdicts: &[Verdict]) -> Vec<u8> {
    let encode = |verdict: &Verdict| match verdict {
        Verdict::Intact(digest) => [&[0], &digest.as_bytes()[..]].concat(),
        Verdict::Void(VoidReason::Changed) => [&[1], &[0; 32][..]].concat(),
        Verdict::Void(VoidReason::Shrank) => [&[2], &[0; 32][..]].concat(),
        Verdict::Void(VoidReason::Vanished) => [&[3], &[0; 32][..]].concat(),
        Verdict::Void(VoidReason::Unreadable) => [&[4], &[0; 32][..]].concat(),
    };
    verdicts.iter().flat_map(encode).collect()
}
