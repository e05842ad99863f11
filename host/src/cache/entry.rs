//! The bytes of one cache entry: `code ‖ magic ‖ digest ‖ compatibility ‖ nonce ‖ tag`.
//!
//! The code comes first, so that an entry can be mapped and run where it lies. The tag is AES-256-GCM's over everything before
//! the nonce, as associated data: code is not secret, and GCM checks 10 GB/s where HMAC-SHA256 checks 2, which tells at the
//! 40 MB of a Python engine.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use data_encoding::HEXLOWER;

use super::key::{Key, TRAILER_BYTES};
use crate::ReleaseDigest;
use crate::native::{Native, Sealed};

const MAGIC: &[u8; 8] = b"fmcode2\n";

/// The file name of a release's entry. The compatibility hash is cut to 64 bits here; the entry has all of it.
pub(super) fn name(digest: ReleaseDigest, compatibility: &[u8; 32]) -> String {
    let compatibility = HEXLOWER.encode(&compatibility[..8]);
    format!("{digest}-{compatibility}.code")
}

/// An entry for `code`.
pub(super) fn seal(key: &Key, digest: ReleaseDigest, compatibility: &[u8; 32], code: &[u8]) -> io::Result<Vec<u8>> {
    let mut entry = [code, MAGIC, digest.as_bytes(), compatibility].concat();
    let trailer = key.tag(&entry)?;
    entry.extend_from_slice(&trailer);
    Ok(entry)
}

/// The code of an entry of `bytes` bytes, where key, digest and compatibility are the ones it was made with.
///
/// Its bytes are copied into a file in memory that nobody can change any more, and those are verified.
pub(super) fn open(
    key: &Key,
    digest: ReleaseDigest,
    compatibility: &[u8; 32],
    mut entry: File,
    bytes: u64,
) -> io::Result<Option<Native>> {
    let Some(tagged_bytes) = bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let sealed = Sealed::copy(&mut entry, tagged_bytes)?;
    let mut trailer = [0; TRAILER_BYTES];
    entry.seek(SeekFrom::Start(tagged_bytes))?;
    entry.read_exact(&mut trailer)?;
    let about = [&MAGIC[..], digest.as_bytes(), compatibility].concat();
    let is_ours = sealed.with(|tagged| tagged.ends_with(&about) && key.verify(tagged, &trailer))?;
    Ok(is_ours.then(|| Native::from_verified(sealed)))
}
