//! The age file around a header or a result, with the bounds that the `age` crate does not set.

use std::io::{Read, Write};

use age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

use crate::bounds::{AGE_HEADER_MAX_BYTES, AGE_STANZAS_MAX};
use crate::identity::{Identity, Recipient};

const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";

/// Why an age file was not opened. Displayed as what is said of a header or a result: "… is not an age file".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Longer than it may be.
    #[error("is longer than {max_bytes} bytes")]
    TooLong {
        /// The bound.
        max_bytes: usize,
    },
    /// Does not start as an age file of version 1 does.
    #[error("is not an age file")]
    NotAge,
    /// Names more recipients than fit into [`AGE_STANZAS_MAX`] stanzas and [`AGE_HEADER_MAX_BYTES`], or has no end of them.
    #[error("does not name its recipients within {AGE_STANZAS_MAX} stanzas and {AGE_HEADER_MAX_BYTES} bytes")]
    Recipients,
    /// None of the identities that were tried opens it.
    #[error("is sealed for none of the keys at hand")]
    NoMatchingKey,
    /// Altered or cut off.
    #[error("was altered or cut off")]
    Damaged,
}

impl EnvelopeError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::NotAge | Self::Recipients => {
                "what came is not what was sealed: fetch it again"
            }
            Self::NoMatchingKey => "use the key of the uploader, or of the pool that the upload was sealed for",
            Self::Damaged => "fetch it again; if that does not help, storage or server changed it",
        }
    }
}

/// Seals `plaintext` for every one of `recipients`.
///
/// # Panics
///
/// Without any recipient.
pub(crate) fn seal<'a>(plaintext: &[u8], recipients: impl Iterator<Item = &'a Recipient>) -> Vec<u8> {
    const INFALLIBLE: &str = "writing to memory does not fail";
    let encryptor = Encryptor::with_recipients(recipients.map(Recipient::as_age))
        .expect("there is a recipient, and X25519 recipients go with each other");
    let mut sealed = Vec::with_capacity(sealed_bytes_estimate(plaintext.len()));
    let mut writer = encryptor.wrap_output(&mut sealed).expect(INFALLIBLE);
    writer.write_all(plaintext).expect(INFALLIBLE);
    writer.finish().expect(INFALLIBLE);
    sealed
}

/// Opens an age file of at most `max_bytes` bytes. Allocates no more than the file is long, and 64 KiB.
pub(crate) fn open(
    sealed: &[u8],
    identities: &[Identity],
    max_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    if sealed.len() > max_bytes {
        return Err(EnvelopeError::TooLong { max_bytes });
    }
    check_start(sealed)?;
    let decryptor = Decryptor::new_buffered(sealed).map_err(|_| EnvelopeError::Damaged)?;
    let mut reader = decryptor.decrypt(identities.iter().map(Identity::as_age)).map_err(|error| match error {
        DecryptError::NoMatchingKeys => EnvelopeError::NoMatchingKey,
        _ => EnvelopeError::Damaged,
    })?;
    // Room for all of it from the start, so that no copy of a secret is left behind by a growing vector.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plaintext).map_err(|_| EnvelopeError::Damaged)?;
    Ok(plaintext)
}

/// Checks that it is an age file whose header is short: the `age` crate parses the header again with every line it reads.
///
/// No line of a header but its last starts with `---`, so that the parser goes no further than what is found here.
fn check_start(sealed: &[u8]) -> Result<(), EnvelopeError> {
    if !sealed.starts_with(FIRST_LINE) {
        return Err(EnvelopeError::NotAge);
    }
    let start = &sealed[..sealed.len().min(AGE_HEADER_MAX_BYTES)];
    let end = start.windows(5).position(|bytes| bytes == b"\n--- ").ok_or(EnvelopeError::Recipients)?;
    let stanzas = start[..end].windows(4).filter(|bytes| bytes == b"\n-> ").count();
    if stanzas > AGE_STANZAS_MAX { Err(EnvelopeError::Recipients) } else { Ok(()) }
}

/// Enough for two recipients: a guess that saves growing.
fn sealed_bytes_estimate(plaintext_bytes: usize) -> usize {
    plaintext_bytes + (plaintext_bytes / (64 << 10) + 1) * 16 + 640
}
