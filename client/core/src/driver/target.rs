//! What files are sent for.

use std::sync::Arc;

use filemill_seal::Digest;

use crate::engines::{EngineRelease, Engines};
use crate::parameters::Parameters;

/// What the files of a bundle are sent for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) to: To,
    pub(crate) parameters: Parameters,
}

/// What is to run over them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum To {
    /// The release of this engine that is in use.
    Engine(String),
    /// This release, which they were sent for before.
    Release(Digest),
}

/// The release that stands for `to` now, if there is one.
pub(super) fn resolve<'a>(engines: &'a Engines, to: &To) -> Option<&'a Arc<EngineRelease>> {
    match to {
        To::Engine(name) => engines.named(name),
        To::Release(digest) => engines.offered(digest),
    }
}
