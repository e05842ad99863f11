//! Announcing the pool's recipient, and renewing it in time.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use filemill_api::{Pools, PublishPool, SignedStatement, paths};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::folder::PoolFolder;
use super::keys::Keys;
use crate::net::{Backoff, Comparison, HINT, Server, ToldBefore, difference};
use crate::telemetry::event;

/// How often the folder is looked at: a rotation by `pool renew` reaches a running node within this time.
const LOOK: Duration = Duration::from_secs(60);

/// What announces the pool's recipient.
pub(crate) struct Publishing {
    pub(crate) server: Arc<Server>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) told: Arc<ToldBefore>,
}

impl Publishing {
    /// Publishes the newest statement now and whenever there is a newer one, until `stop` is cancelled.
    ///
    /// The folder is looked at again whatever the server says of the statement: its identities are needed all the same.
    pub(crate) async fn run(self, folder: PoolFolder, stop: CancellationToken) {
        let mut folder = folder;
        let mut published = None;
        let (mut trouble, mut refused, mut ending_told) = (None, None, None);
        loop {
            let comparison = self.server.clock().compare();
            // Where the server does not say what time it is, this machine's clock is all there is.
            let may_sign = !matches!(comparison, Comparison::Apart(_));
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.keys.look(may_sign) => looked,
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
            let said = ending(&folder, comparison);
            if said != ending_told {
                if let Some(said) = &said {
                    tracing::warn!(pool = folder.enrolment().pool(), "{said}");
                }
                ending_told = said;
            }
            if published != Some(folder.serial()) {
                let publishing = tokio::select! {
                    () = stop.cancelled() => return,
                    publishing = timeout(LOOK, self.publish(&folder)) => publishing,
                };
                match publishing {
                    Ok(Ok(())) => published = Some(folder.serial()),
                    Ok(Err(_)) if may_sign && self.catch_up(&folder).await => continue,
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
                () = self.keys.newer() => {}
                // Its database is not the one that was told.
                () = self.told.lacks_statement() => published = None,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Publishes, again until the server has said whether it takes the statement.
    ///
    /// # Errors
    ///
    /// A text with a hint, where it does not: another try would be answered alike until somebody does something about it.
    async fn publish(&self, folder: &PoolFolder) -> Result<(), String> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let request =
            announcement(folder).map_err(|error| format!("the pool's statement cannot be published: {error}"))?;
        loop {
            match self.server.tell(paths::POOLS, &request).await {
                Ok(()) => {
                    self.told.published(folder.serial());
                    event!("pool published", serial = folder.serial());
                    return Ok(());
                }
                Err(error) if error.is_transient() => backoff.wait().await,
                Err(error) => {
                    return Err(format!(
                        "the server does not take statement {} of pool `{}`: {error} (hint: compare the fingerprint and \
                         serial that `filemill-processor pool show` prints on every processor of the pool)",
                        folder.serial(),
                        self.server.pool()
                    ));
                }
            }
        }
    }

    /// Signs a new statement where this folder's was replaced by one that the same root has signed elsewhere: the folder is a copy, or was
    /// restored from a backup. Says whether there is one now.
    async fn catch_up(&self, folder: &PoolFolder) -> bool {
        if !folder.has_root() {
            return false;
        }
        let Ok(pools) = self.server.get::<Pools>(paths::POOLS).await else { return false };
        let serial = |offered: SignedStatement| {
            let signed = serde_json::from_value(serde_json::to_value(offered).ok()?).ok()?;
            Some(folder.enrolment().verify_at_any_time(&signed).ok()?.serial)
        };
        let Some(highest) =
            pools.pools.into_iter().filter_map(serial).max().filter(|highest| *highest > folder.serial())
        else {
            return false;
        };
        match self.keys.renew_above(highest).await {
            Ok(()) => {
                let pool = folder.enrolment().pool();
                tracing::info!(
                    pool,
                    above = highest,
                    "the pool's root had signed a newer statement elsewhere: signed another"
                );
                true
            }
            Err((error, hint)) => {
                tracing::error!("the pool's statement cannot be renewed: {error} (hint: {hint})");
                false
            }
        }
    }
}

/// Why nothing can be sealed for the pool's recipient soon, or now.
fn ending(folder: &PoolFolder, comparison: Comparison) -> Option<String> {
    let hint = "run `filemill-processor pool renew` where the root is kept";
    match comparison {
        Comparison::Apart(ahead) if folder.is_due() && folder.has_root() => Some(format!(
            "the pool's recipient is to be renewed, but {}: nothing is signed by such a clock (hint: {HINT})",
            difference(ahead)
        )),
        // What this clock says of the statement is no news.
        Comparison::Apart(_) => None,
        _ if folder.is_early() => Some(format!(
            "the pool's recipient was signed by a clock that was ahead, and is not valid yet: clients seal nothing for it (hint: {hint})"
        )),
        _ if folder.remaining().is_none() => {
            Some(format!("the pool's recipient has expired: clients seal nothing for it (hint: {hint})"))
        }
        _ if folder.is_due() && !folder.has_root() => {
            Some(format!("half of the life of the pool's recipient is over (hint: {hint})"))
        }
        _ => None,
    }
}

/// The statement as the API carries it: the same JSON.
pub(crate) fn announcement(folder: &PoolFolder) -> serde_json::Result<PublishPool> {
    let pool: SignedStatement = serde_json::from_value(serde_json::to_value(folder.signed())?)?;
    Ok(PublishPool { pool, root: Some(HEXLOWER.encode(folder.enrolment().root())) })
}
