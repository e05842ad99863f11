//! The secret of one upload.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::format::Format;
use crate::identifiers::UploadId;
use crate::random::fill_random;

/// Encrypts the chunks of one upload, and authenticates its results.
///
/// One upload has one data key for ever, and one data key serves one upload only. The bytes are wiped when the key is
/// dropped, and `Debug` does not show them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; Self::BYTES]);

impl DataKey {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// Makes a new key from the operating system's randomness.
    pub fn random() -> Self {
        let mut bytes = [0; Self::BYTES];
        fill_random(&mut bytes);
        Self(bytes)
    }

    /// From the bytes that a journal kept. The caller wipes its own copy.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for a journal that is as secret as the key.
    pub const fn expose_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The key that authenticates results of `upload` in that format: HKDF-SHA256 (RFC 5869) with the upload id as salt.
    pub(crate) fn result_key(&self, upload: &UploadId, format: Format) -> hmac::Key {
        use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};

        Salt::new(HKDF_SHA256, upload.as_bytes())
            .extract(&self.0)
            .expand(&[format.result_info()], hmac::HMAC_SHA256)
            .map(hmac::Key::from)
            .expect("32 bytes are within what HKDF-SHA256 can expand to")
    }
}

impl TryFrom<&[u8]> for DataKey {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into()?;
        Ok(Self(*bytes))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}
