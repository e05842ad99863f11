//! Who can open something: age X25519 key pairs.

use std::fmt;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use bech32::primitives::decode::CheckedHrpstring;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A secret key that opens what was sealed for its [`Recipient`]; an age X25519 identity.
///
/// Parsed from and written as `AGE-SECRET-KEY-1…`, the form that the `age` tool reads. `Debug` shows the recipient only.
#[derive(Clone)]
pub struct Identity(age::x25519::Identity);

/// A public key to seal for; an age X25519 recipient.
///
/// Parsed from, written and serialised as `age1…`. Points of small order are refused when it is parsed: everybody could
/// open what was sealed for one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(age::x25519::Recipient);

/// Text that is not a key of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an `AGE-SECRET-KEY-1…`. The text is not repeated, it may be a mistyped secret.
    #[error("this text is not an age X25519 identity")]
    Identity,
    /// Not an `age1…` of an X25519 key.
    #[error("`{found}` is not an age X25519 recipient")]
    Recipient {
        /// The text, cut to 80 characters.
        found: String,
    },
    /// A point of small order, which makes every shared secret zero.
    #[error("recipient `{found}` is a point of small order: anybody could open what is sealed for it")]
    SmallOrder {
        /// The recipient.
        found: String,
    },
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Identity => "an identity is one line that starts with AGE-SECRET-KEY-1",
            Self::Recipient { .. } => {
                "a recipient starts with age1 and has 62 lower-case characters; plugin and SSH keys do not work here"
            }
            Self::SmallOrder { .. } => {
                "whoever made this recipient means harm or has a broken generator: do not use it"
            }
        }
    }
}

impl Identity {
    /// Makes a new key pair from the operating system's randomness.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// The secret as `AGE-SECRET-KEY-1…`, in memory that is wiped when it is dropped.
    pub fn expose_secret(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    pub(crate) fn as_age(&self) -> &dyn age::Identity {
        &self.0
    }
}

impl FromStr for Identity {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        text.parse().map(Self).map_err(|_| KeyError::Identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(of {})", self.recipient())
    }
}

impl Recipient {
    pub(crate) fn as_age(&self) -> &dyn age::Recipient {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let found = || text.chars().take(80).collect::<String>();
        let recipient: age::x25519::Recipient = text.parse().map_err(|_| KeyError::Recipient { found: found() })?;
        // One key has one name: Bech32 also allows upper case.
        if recipient.to_string() != text {
            return Err(KeyError::Recipient { found: found() });
        }
        if has_small_order(text) {
            return Err(KeyError::SmallOrder { found: found() });
        }
        Ok(Self(recipient))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The seven encodings of points of small order on Curve25519 and its twist, once the unused top bit is cleared; the
/// list of libsodium (`crypto_scalarmult/curve25519/ref10/x25519_ref10.c`). The `age` crate does not refuse them when
/// it parses, and *panics* when it seals for one: a hostile header would stop the processor.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    ends(1, 0, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    ends(0xec, 0xff, 0x7f),
    ends(0xed, 0xff, 0x7f),
    ends(0xee, 0xff, 0x7f),
];

const fn ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether `text`, a recipient that parsed, stands for a point of small order.
fn has_small_order(text: &str) -> bool {
    let Ok(checked) = CheckedHrpstring::new::<bech32::Bech32>(text) else {
        return true;
    };
    let mut point: Vec<u8> = checked.byte_iter().collect();
    if let Some(top) = point.last_mut() {
        *top &= 0x7f;
    }
    SMALL_ORDER.iter().any(|small| small[..] == point[..])
}

#[cfg(test)]
mod tests {
    use super::SMALL_ORDER;
    use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
    use aws_lc_rs::rand::SystemRandom;

    #[test]
    fn the_listed_points_are_those_that_an_x25519_refuses() {
        let agrees = |point: [u8; 32]| {
            let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).expect("a key");
            agree_ephemeral(own, UnparsedPublicKey::new(&X25519, point), (), |_| Ok(())).is_ok()
        };
        for mut point in SMALL_ORDER {
            assert!(!agrees(point), "{point:x?}");
            point[0] ^= 0x10;
            assert!(agrees(point), "{point:x?}");
        }
    }
}
