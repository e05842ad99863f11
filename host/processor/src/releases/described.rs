//! What a release says of itself, and what its results say of that.

use filemill_runtime::{Access, Description};
use filemill_seal::Digest;

/// A release's description document.
pub(crate) struct Described {
    /// JSON.
    pub(crate) document: String,
    /// SHA-256 of it: every result of the release names it.
    pub(crate) digest: Digest,
    /// How the engine wants its input.
    pub(crate) access: Access,
    /// The engine's own version.
    pub(crate) version: String,
}

impl Described {
    pub(crate) fn new(said: &Description) -> Self {
        let document = said.document();
        let digest = Digest::of(document.as_bytes());
        Self { document, digest, access: said.access, version: said.version.clone() }
    }
}
