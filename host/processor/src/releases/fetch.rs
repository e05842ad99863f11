//! From a release's digest to its bytes.

use filemill_api::{ComponentUrl, paths};
use filemill_seal::Digest;

use super::error::NoRelease;
use crate::budget::{Budget, Held};
use crate::net::{ASKED_AGAIN, Server, Storage, StorageError, backoff};

/// The longest component that is fetched, in bytes; the backend has a limit of its own.
pub(super) const COMPONENT_MAX_BYTES: usize = 32 << 20;

/// A component, and the part of the budget that it takes.
pub(super) type Component = (Vec<u8>, Held);

/// Fetches a component, and holds it against its digest; a few times where it was damaged on its way, which says nothing of the release.
pub(super) async fn fetch(
    digest: Digest,
    server: &Server,
    storage: &Storage,
    components: &Budget,
) -> Result<Component, NoRelease> {
    let (mut attempt, mut backoff) = (1, backoff());
    loop {
        match fetch_once(digest, server, storage, components).await? {
            Ok(component) => return Ok(component),
            Err(why) if attempt == ASKED_AGAIN => {
                return Err(NoRelease::Damaged(format!("release `{digest}` cannot be fetched: {why}")));
            }
            Err(_) => {
                attempt += 1;
                backoff.wait().await;
            }
        }
    }
}

/// The component, or within why it was damaged.
async fn fetch_once(
    digest: Digest,
    server: &Server,
    storage: &Storage,
    components: &Budget,
) -> Result<Result<Component, String>, NoRelease> {
    let fault = |why: String| NoRelease::Fault(format!("release `{digest}` cannot be fetched: {why}"));
    let path = paths::COMPONENT.replace("{digest}", &digest.to_string());
    let url: ComponentUrl = server.get(&path).await.map_err(|error| fault(error.to_string()))?;
    let length = usize::try_from(url.get.length).unwrap_or(usize::MAX).min(COMPONENT_MAX_BYTES);
    let held = components.take(length, || false).await;
    let component = match storage.get(&url.get, COMPONENT_MAX_BYTES, 0).await {
        Ok(component) => component,
        Err(error @ (StorageError::TooLong(_) | StorageError::Other(_))) => return Ok(Err(error.to_string())),
        Err(error @ StorageError::Away(_)) => {
            return Err(NoRelease::Away(format!("release `{digest}` cannot be fetched: {error}")));
        }
        Err(error) => return Err(fault(error.to_string())),
    };
    // Some MiB to hash: not on a thread that answers heartbeats.
    let hashing = tokio::task::spawn_blocking(move || (Digest::of(&component), component)).await;
    let (found, component) = hashing.map_err(|error| fault(error.to_string()))?;
    if found == digest {
        Ok(Ok((component, held)))
    } else if found.to_string() != url.get.sha256 {
        Ok(Err(format!("the object has the SHA-256 `{found}` instead of `{}`", url.get.sha256)))
    } else {
        Err(NoRelease::Refused(format!("the server gives component `{found}` as release `{digest}`")))
    }
}
