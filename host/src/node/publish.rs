//! Announcing the pool's recipient, and renewing it in time.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{PublishPool, SignedStatement, paths};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Node;
use super::backoff::Backoff;
use super::events::event;
use crate::pool::PoolFolder;

/// How often the folder is looked at: a rotation by `pool renew` reaches a running node within this time.
const LOOK: Duration = Duration::from_secs(60);

/// Publishes the newest statement now and whenever there is a newer one, until `stop` is cancelled.
///
/// The folder is looked at again whatever the server says of the statement: its identities are needed all the same.
pub(super) async fn run(node: Arc<Node>, folder: PoolFolder, stop: CancellationToken) {
    let mut folder = folder;
    let mut published = None;
    let (mut trouble, mut refused) = (None, None);
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = node.keys.look() => looked,
        };
        match looked {
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
        if published != Some(folder.serial()) {
            warn_if_ending(&folder);
            let publishing = tokio::select! {
                () = stop.cancelled() => return,
                publishing = timeout(LOOK, publish(&node, &folder)) => publishing,
            };
            match publishing {
                Ok(Ok(())) => published = Some(folder.serial()),
                Ok(Err(said)) if refused.as_ref() != Some(&said) => {
                    tracing::error!("{said}");
                    refused = Some(said);
                }
                Ok(Err(_)) => {}
                // The server is away, which was said.
                Err(_) => continue,
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = node.keys.newer() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn warn_if_ending(folder: &PoolFolder) {
    let (pool, hint) = (folder.enrolment().pool(), "run `filemill-processor pool renew` where the root is kept");
    if folder.remaining().is_none() {
        tracing::error!(pool, "the pool's recipient has expired: clients seal nothing for it (hint: {hint})");
    } else if folder.is_due() && !folder.has_root() {
        tracing::warn!(pool, "half of the life of the pool's recipient is over (hint: {hint})");
    }
}

/// Publishes, again until the server has said whether it takes the statement.
///
/// # Errors
///
/// A text with a hint, where it does not: another try would be answered alike until somebody does something about it.
async fn publish(node: &Node, folder: &PoolFolder) -> Result<(), String> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
    let pool = wire(folder).map_err(|error| format!("the pool's statement cannot be published: {error}"))?;
    let request = PublishPool { pool };
    loop {
        match node.server.tell(paths::POOLS, &request).await {
            Ok(()) => {
                event!("pool published", serial = folder.serial());
                return Ok(());
            }
            Err(error) if error.is_transient() => backoff.wait().await,
            Err(error) => {
                return Err(format!(
                    "the server does not take statement {} of pool `{}`: {error} (hint: compare the fingerprint and \
                     serial that `filemill-processor pool show` prints on every processor of the pool)",
                    folder.serial(),
                    node.pool
                ));
            }
        }
    }
}

/// The statement as the API carries it: the same JSON.
fn wire(folder: &PoolFolder) -> serde_json::Result<SignedStatement> {
    serde_json::from_value(serde_json::to_value(folder.signed())?)
}
