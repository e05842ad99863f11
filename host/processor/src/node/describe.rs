//! Telling the server what releases say of themselves, where it asks.

use std::sync::Arc;

use filemill_api::{limits, paths};
use filemill_seal::Digest;

use super::Node;
use super::events::event;
use super::releases::NoRelease;
use super::run::release;

/// Describes the releases of these digests, one after the other. What cannot be described is said; the server asks again, or
/// another node.
pub(super) async fn run(node: Arc<Node>, digests: Vec<String>) {
    for text in digests.iter().take(limits::MAX_DESCRIBE) {
        let describing = async {
            let digest: Digest = text.parse().map_err(|error| format!("the server asks about {error}"))?;
            describe(&node, digest).await
        };
        match node.unless_draining(describing).await {
            Ok(Ok(())) => event!("release described", release = text),
            Ok(Err(why)) => tracing::warn!("a release is not described: {why}"),
            Err(_) => return,
        }
    }
}

async fn describe(node: &Node, digest: Digest) -> Result<(), String> {
    let ready = release(node, digest).await.map_err(NoRelease::why)?;
    let path = paths::DESCRIPTION.replace("{digest}", &digest.to_string());
    let told = node.server.put_document(&path, &ready.described.document).await;
    told.map_err(|error| format!("the server does not take the description of release `{digest}`: {error}"))?;
    node.told.described(digest, ready.described.digest);
    Ok(())
}
