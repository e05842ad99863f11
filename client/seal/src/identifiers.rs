//! What names things: upload ids and SHA-256 digests, both written in lower-case hex.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};
use data_encoding::HEXLOWER;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::random::fill_random;

/// Names one upload: 16 random bytes that the client made before its first request.
///
/// Written, parsed and serialised as 32 lower-case hex characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId([u8; Self::BYTES]);

/// Names one batch of results: 16 random bytes of the processor that sealed it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchId([u8; Self::BYTES]);

/// A SHA-256 digest: of a release's component, a sealed header, a sealed chunk or a file.
///
/// Written, parsed and serialised as 64 lower-case hex characters. Comparison is not constant-time: a digest is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Self::BYTES]);

/// A SHA-256 that is computed while the bytes go by.
///
/// ```
/// use filemill_seal::{Digest, Sha256};
///
/// let mut hash = Sha256::new();
/// hash.update(b"one ");
/// hash.update(b"file");
/// assert_eq!(hash.finish(), Digest::of(b"one file"));
/// ```
#[derive(Clone)]
pub struct Sha256(Context);

/// Text that is not the lower-case hex of the length it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected_characters} lower-case hex characters")]
pub struct HexError {
    /// How many characters there should have been.
    pub expected_characters: usize,
    /// The text, cut to 80 characters.
    pub found: String,
}

impl UploadId {
    /// Length in bytes.
    pub const BYTES: usize = 16;

    /// Makes a new id from the operating system's randomness.
    pub fn random() -> Self {
        let mut bytes = [0; Self::BYTES];
        fill_random(&mut bytes);
        Self(bytes)
    }
}

impl BatchId {
    /// Length in bytes.
    pub(crate) const BYTES: usize = 16;

    /// Makes a new id from the operating system's randomness.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; Self::BYTES];
        fill_random(&mut bytes);
        Self(bytes)
    }
}

impl Digest {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_computed(digest(&SHA256, bytes))
    }

    fn from_computed(computed: aws_lc_rs::digest::Digest) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes.copy_from_slice(computed.as_ref());
        Self(bytes)
    }
}

impl Sha256 {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        Digest::from_computed(self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256 { .. }")
    }
}

/// What everybody may do with an identifier's bytes.
macro_rules! open_identifier {
    ($name:ident) => {
        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

open_identifier!(UploadId);
open_identifier!(Digest);

/// The identifiers are a fixed number of bytes that are written as hex: what follows is the same for each.
macro_rules! hex_identifier {
    ($name:ident, $expecting:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Hex;

                impl Visitor<'_> for Hex {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Hex)
            }
        }
    };
}

hex_identifier!(BatchId, "a batch id: 32 lower-case hex characters");
hex_identifier!(UploadId, "an upload id: 32 lower-case hex characters");
hex_identifier!(Digest, "a SHA-256 digest: 64 lower-case hex characters");

/// Decodes exactly `N` bytes of lower-case hex.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let mut bytes = [0; N];
    let decoded = text.len() == 2 * N && HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
    if decoded {
        Ok(bytes)
    } else {
        Err(HexError { expected_characters: 2 * N, found: text.chars().take(80).collect() })
    }
}
