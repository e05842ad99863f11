//! Announcing the pool's recipient, and renewing it in time.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{PublishPool, SignedStatement, paths};
use tokio_util::sync::CancellationToken;

use super::Node;
use super::backoff::Backoff;
use super::events::event;
use crate::pool::{PoolFolder, PoolFolderError};

/// How often the folder is looked at: a rotation by `pool renew` reaches a running node within this time.
const LOOK: Duration = Duration::from_secs(60);

/// Publishes the newest statement now and whenever there is a newer one, until `stop` is cancelled.
pub(super) async fn run(node: Arc<Node>, folder: PoolFolder, stop: CancellationToken) {
    let mut folder = folder;
    let mut published = None;
    let mut trouble = None;
    loop {
        let dir = folder.dir().to_owned();
        // Locks and file writes; small, but a disk may hang.
        let looked = tokio::task::spawn_blocking(move || look(&dir)).await;
        match looked.unwrap_or_else(|error| Err((error.to_string(), String::new()))) {
            Ok(newest) => {
                folder = newest;
                trouble = None;
            }
            Err((error, hint)) if trouble.as_ref() != Some(&error) => {
                tracing::error!("the pool's folder cannot be used: {error} (hint: {hint})");
                trouble = Some(error);
            }
            Err(_) => {}
        }
        node.set_identities(folder.identities());
        if published != Some(folder.serial()) {
            warn_if_ending(&folder);
            tokio::select! {
                () = stop.cancelled() => return,
                () = publish(&node, &folder) => published = Some(folder.serial()),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn look(dir: &std::path::Path) -> Result<PoolFolder, (String, String)> {
    let told = |error: PoolFolderError| (error.to_string(), error.hint());
    let mut folder = PoolFolder::open(dir).map_err(told)?;
    if folder.renew_if_due().map_err(told)? {
        tracing::info!(pool = folder.enrolment().pool(), serial = folder.serial(), "the pool's recipient was renewed");
    }
    Ok(folder)
}

fn warn_if_ending(folder: &PoolFolder) {
    let (pool, hint) = (folder.enrolment().pool(), "run `filemill-processor pool renew` where the root is kept");
    if folder.remaining().is_none() {
        tracing::error!(pool, "the pool's recipient has expired: clients seal nothing for it (hint: {hint})");
    } else if folder.is_due() && !folder.has_root() {
        tracing::warn!(pool, "half of the life of the pool's recipient is over (hint: {hint})");
    }
}

/// Publishes, again until the server takes it.
async fn publish(node: &Node, folder: &PoolFolder) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let request = match wire(folder) {
        Ok(pool) => PublishPool { pool },
        Err(error) => return tracing::error!("the pool's statement cannot be published: {error}"),
    };
    loop {
        match node.server.tell(paths::POOLS, &request).await {
            Ok(()) => return event!("pool published", serial = folder.serial()),
            Err(error) if error.is_transient() => {}
            Err(error) => tracing::error!("the server does not take the pool's statement: {error}"),
        }
        backoff.wait().await;
    }
}

/// The statement as the API carries it: the same JSON.
fn wire(folder: &PoolFolder) -> serde_json::Result<SignedStatement> {
    serde_json::from_value(serde_json::to_value(folder.signed())?)
}
