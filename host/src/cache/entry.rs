//! The bytes of one cache entry: `magic ‖ digest ‖ compatibility ‖ code ‖ nonce ‖ tag`.
//!
//! The tag is AES-256-GCM's over everything before the nonce, as associated data: code is not secret, and GCM checks
//! 10 GB/s where HMAC-SHA256 checks 2, which tells at the 40 MB of a Python engine.

use std::io;

use data_encoding::HEXLOWER;

use super::key::{Key, TRAILER_BYTES};
use crate::ReleaseDigest;

const MAGIC: &[u8; 8] = b"fmcode1\n";
const HEADER_BYTES: usize = MAGIC.len() + 32 + 32;

/// The file name of a release's entry. The compatibility hash is cut to 64 bits here; the entry has all of it.
pub(super) fn name(digest: ReleaseDigest, compatibility: &[u8; 32]) -> String {
    let compatibility = HEXLOWER.encode(&compatibility[..8]);
    format!("{digest}-{compatibility}.code")
}

/// An entry for `code`.
pub(super) fn seal(key: &Key, digest: ReleaseDigest, compatibility: &[u8; 32], code: &[u8]) -> io::Result<Vec<u8>> {
    let mut entry = Vec::with_capacity(HEADER_BYTES + code.len() + TRAILER_BYTES);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(digest.as_bytes());
    entry.extend_from_slice(compatibility);
    entry.extend_from_slice(code);
    let trailer = key.tag(&entry)?;
    entry.extend_from_slice(&trailer);
    Ok(entry)
}

/// The code of an entry, where key, digest and compatibility are the ones it was made with.
pub(super) fn open(key: &Key, digest: ReleaseDigest, compatibility: &[u8; 32], mut entry: Vec<u8>) -> Option<Vec<u8>> {
    let (tagged, trailer) = entry.split_last_chunk::<TRAILER_BYTES>()?;
    if !key.verify(tagged, trailer) {
        return None;
    }
    let rest = tagged.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(digest.as_bytes())?;
    let code_bytes = rest.strip_prefix(compatibility)?.len();
    entry.truncate(HEADER_BYTES + code_bytes);
    entry.drain(..HEADER_BYTES);
    Some(entry)
}
