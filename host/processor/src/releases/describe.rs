//! Telling the server what releases say of themselves, where it asks.

use std::sync::Arc;

use filemill_api::{limits, paths};
use filemill_seal::Digest;

use super::error::NoRelease;
use super::get::Releases;
use crate::net::{Server, ToldBefore};
use crate::shutdown::Shutdown;
use crate::telemetry::event;

/// What tells it.
pub(crate) struct Describing {
    pub(crate) server: Arc<Server>,
    pub(crate) releases: Arc<Releases>,
    pub(crate) told: Arc<ToldBefore>,
    pub(crate) shutdown: Shutdown,
}

impl Describing {
    /// Describes the releases of these digests, one after the other. What cannot be described is said; the server asks again, or
    /// another node.
    pub(crate) async fn run(&self, digests: Vec<String>) {
        for text in digests.iter().take(limits::MAX_DESCRIBE) {
            let describing = async {
                let digest: Digest = text.parse().map_err(|error| format!("the server asks about {error}"))?;
                self.describe(digest).await
            };
            match self.shutdown.unless_draining(describing).await {
                Ok(Ok(())) => event!("release described", release = text),
                Ok(Err(why)) => tracing::warn!("a release is not described: {why}"),
                Err(_) => return,
            }
        }
    }

    async fn describe(&self, digest: Digest) -> Result<(), String> {
        let ready = self.releases.get_patiently(digest).await.map_err(NoRelease::why)?;
        let path = paths::DESCRIPTION.replace("{digest}", &digest.to_string());
        let told = self.server.put_document(&path, &ready.described.document).await;
        told.map_err(|error| format!("the server does not take the description of release `{digest}`: {error}"))?;
        self.told.described(digest, ready.described.digest);
        Ok(())
    }
}
