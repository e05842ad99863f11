//! Where the secret key is.

use serde::{Deserialize, Serialize};

use crate::home::Home;

/// Where the secret key may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPlace {
    /// The operating system's keychain.
    #[default]
    Keychain,
    /// A file in the home that only its owner may read: for machines without a keychain, by explicit choice.
    File,
}

impl KeyPlace {
    /// What FILEMILL_KEY_STORE says: `file`, or `keychain`, which is also what holds when it is not set.
    pub fn from_environment() -> Self {
        match std::env::var("FILEMILL_KEY_STORE") {
            Ok(place) if place == "file" => Self::File,
            _ => Self::Keychain,
        }
    }

    /// Where the secret key of `home` is: a file goes before the keychain.
    pub(crate) fn of(home: &Home) -> Self {
        if home.key().exists() { Self::File } else { Self::Keychain }
    }
}
