//! What a release says of itself, and what its results say of that.

use filemill_seal::Digest;

use filemill_runtime::{Access, Description};

/// A release's description document.
pub(super) struct Described {
    /// JSON.
    pub(super) document: String,
    /// SHA-256 of it: every result of the release names it.
    pub(super) digest: Digest,
    /// How the engine wants its input.
    pub(super) access: Access,
    /// The engine's own version.
    pub(super) version: String,
}

impl Described {
    pub(super) fn new(said: &Description) -> Self {
        let document = said.document();
        let digest = Digest::of(document.as_bytes());
        Self { document, digest, access: said.access, version: said.version.clone() }
    }
}
