//! The bytes of one cache entry: `code ‖ contract ‖ its length ‖ magic ‖ digest ‖ compatibility ‖ nonce ‖ tag`.
//!
//! The code comes first, so that an entry can be mapped and run where it lies. The contract is the version that the component
//! was built for, as text of the length that the byte behind it gives: with it, nobody has to look at the component again. The
//! tag is AES-256-GCM's over everything before the nonce, as associated data: code is not secret, and GCM checks 10 GB/s where
//! HMAC-SHA256 checks 2, which tells at the 32 MB of a Python engine.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use data_encoding::HEXLOWER;

use super::key::{Key, TRAILER_BYTES};
use crate::backend::ReleaseDigest;
use crate::compile::MOST_CODE_BYTES;
use crate::contract::ContractVersion;
use crate::native::{Native, Sealed};

const MAGIC: &[u8; 8] = b"fmcode3\n";

/// No entry is longer, in bytes.
pub(super) const MAX_BYTES: u64 = MOST_CODE_BYTES as u64 + (1 << 10);

/// The file name of a release's entry. The compatibility hash is cut to 64 bits here; the entry has all of it.
pub(super) fn name(digest: ReleaseDigest, compatibility: &[u8; 32]) -> String {
    let compatibility = HEXLOWER.encode(&compatibility[..8]);
    // With the format's number: processors of several versions share the folder.
    format!("{digest}-{compatibility}.code3")
}

/// An entry for `code`, which was made of a component for that contract.
pub(super) fn seal(
    key: &Key,
    digest: ReleaseDigest,
    compatibility: &[u8; 32],
    contract: &ContractVersion,
    code: &[u8],
) -> io::Result<Vec<u8>> {
    let contract = contract.to_string();
    let length = u8::try_from(contract.len()).map_err(|_| io::Error::other("its contract's version is too long"))?;
    let mut entry = [code, contract.as_bytes(), &[length], MAGIC, digest.as_bytes(), compatibility].concat();
    let trailer = key.tag(&entry)?;
    entry.extend_from_slice(&trailer);
    Ok(entry)
}

/// Code and contract of an entry of `bytes` bytes, where key, digest and compatibility are the ones it was made with.
///
/// Its bytes are copied into a file in memory that nobody can change any more, and those are verified.
pub(super) fn open(
    key: &Key,
    digest: ReleaseDigest,
    compatibility: &[u8; 32],
    mut entry: File,
    bytes: u64,
) -> io::Result<Option<(Native, ContractVersion)>> {
    let about = [&MAGIC[..], digest.as_bytes(), compatibility].concat();
    let mut end = vec![0; about.len() + TRAILER_BYTES];
    let Some(about_at) = bytes.checked_sub(end.len() as u64) else {
        return Ok(None);
    };
    // What does not even say that it is this release's is not worth a copy.
    entry.seek(SeekFrom::Start(about_at))?;
    entry.read_exact(&mut end)?;
    let Some(trailer) = end.strip_prefix(&about[..]).and_then(|trailer| trailer.try_into().ok()) else {
        return Ok(None);
    };
    entry.rewind()?;
    let sealed = Sealed::copy(&mut entry, about_at + about.len() as u64)?;
    let contract = sealed.with(|tagged| {
        let before = tagged.strip_suffix(&about[..]).filter(|_| key.verify(tagged, trailer))?;
        contract(before)
    })?;
    Ok(contract.map(|contract| (Native::from_verified(sealed), contract)))
}

/// The version at the end of `bytes`, before its length.
fn contract(bytes: &[u8]) -> Option<ContractVersion> {
    let (&length, bytes) = bytes.split_last()?;
    let start = bytes.len().checked_sub(usize::from(length))?;
    ContractVersion::parse(std::str::from_utf8(&bytes[start..]).ok()?)
}
