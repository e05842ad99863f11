//! Deletes objects that nobody needs: those that nobody needs any more, and those that no row knows.
//!
//! Mark, delete, forget: the rows go after the objects, so that a crash between the two repeats the deletion. A URL
//! that was signed before the mark may still be used after the deletion; what it leaves is found by the listing, later.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::handle::{Maintenance, SweepConfig};
use crate::storage::{Area, Storage};

/// Keys deleted in one go: one request to S3.
const BATCH_KEYS: u32 = 1000;
/// Looks that fail one after the other until the rest is left for the next round: storage is away then, and each takes long.
const MAX_FAILED_LOOKS: u32 = 4;
/// Longest wait after failures in a row.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Why a round ended early. The next one takes up what is left.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Refused(filemill_api::ErrorBody),
    #[error("{0}")]
    Storage(#[from] crate::storage::StorageError),
}

impl From<filemill_api::ErrorBody> for Failure {
    fn from(body: filemill_api::ErrorBody) -> Self {
        Self::Refused(body)
    }
}

/// Sweeps until `stop`. What a cancelled round had begun is found again by the next.
pub(crate) async fn run(maintenance: Maintenance, storage: Storage, config: SweepConfig, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(sweep_for_ever(&maintenance, &storage, config)).await;
}

async fn sweep_for_ever(maintenance: &Maintenance, storage: &Storage, config: SweepConfig) {
    let mut failures = 0_u32;
    // What an earlier process left is swept soon, not only after a quarter of an hour.
    let mut orphans_due = Instant::now() + config.doomed_every;
    loop {
        let mut outcome = delete_doomed(maintenance, storage).await;
        if outcome.is_ok() && Instant::now() >= orphans_due {
            // Neither keeps the other from its turn.
            let looked = look_at_components(maintenance, storage, config.orphans_every).await;
            outcome = delete_orphans(maintenance, storage, config.orphans_age).await.and(looked);
            orphans_due = Instant::now() + config.orphans_every;
        }
        let pause = match outcome {
            Ok(()) => {
                failures = 0;
                config.doomed_every
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, failures, "deleted objects are still in storage, trying again");
                (config.doomed_every * 2_u32.saturating_pow(failures.min(16))).min(MAX_BACKOFF)
            }
        };
        sleep(pause).await;
    }
}

async fn delete_doomed(maintenance: &Maintenance, storage: &Storage) -> Result<(), Failure> {
    loop {
        let doomed = maintenance.doomed(BATCH_KEYS).await?;
        if doomed.is_empty() {
            return Ok(());
        }
        storage.delete(&doomed.keys).await?;
        tracing::debug!(objects = doomed.keys.len(), "deleted");
        maintenance.forget(doomed).await?;
    }
}

/// A component that is gone is asked of a node again, not handed out for ever. One of which storage does not say whether it is
/// there stays as it is, and comes again after the others.
async fn look_at_components(maintenance: &Maintenance, storage: &Storage, unseen: Duration) -> Result<(), Failure> {
    let mut looked = Vec::new();
    let mut failures = 0;
    for brought in maintenance.components_to_look_at(unseen).await? {
        let there = match storage.holds(&brought.object.key, brought.object.length, &brought.object.sha256).await {
            Ok(there) => {
                failures = 0;
                there
            }
            Err(error) => {
                tracing::warn!(%error, pool = brought.pool, digest = brought.object.sha256, "cannot look at a component");
                failures += 1;
                true
            }
        };
        if !there {
            tracing::warn!(pool = brought.pool, digest = brought.object.sha256, "a node's component is not in storage");
        }
        looked.push((brought, there));
        if failures == MAX_FAILED_LOOKS {
            break;
        }
    }
    Ok(maintenance.looked_at(looked).await?)
}

async fn delete_orphans(maintenance: &Maintenance, storage: &Storage, age: Duration) -> Result<(), Failure> {
    // Storage has a clock of its own. By one that is ahead everything would be old, and so it is for a database that was restored:
    // what it does not know stays for as long as any other deletion is put off. A clock before 1970 has nothing old.
    let Some(before) = SystemTime::now().min(maintenance.explained_now().await?).checked_sub(age) else {
        return Ok(());
    };
    for area in [Area::Uploads, Area::Results] {
        let mut after = None;
        loop {
            let page = storage.list(area, after).await?;
            let old: Vec<_> =
                page.objects.into_iter().filter(|object| object.stored_at < before).map(|object| object.key).collect();
            if !old.is_empty() {
                let orphans = maintenance.orphans(old).await?;
                storage.delete(&orphans).await?;
                if !orphans.is_empty() {
                    tracing::info!(objects = orphans.len(), "deleted objects that no row knows");
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}
