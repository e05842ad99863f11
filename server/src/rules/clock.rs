//! What happens by itself: uploads are abandoned, listeners hear of what came through another server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::refusal::from_store;
use super::{Core, ms};
use crate::store::StoreError;

/// How often cursors are looked at.
const BEAT: Duration = Duration::from_secs(1);
/// Beats between two looks at what changes within days.
const SLOW_BEATS: u32 = 60;
/// Abandoned uploads read in one statement.
const ABANDONED: i64 = 64;
/// How long an absent node is remembered.
const FORGET_NODES: Duration = Duration::from_secs(24 * 3600);

/// Beats until `stop`.
pub(super) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cursors = HashMap::new();
    let mut beats = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        if let Err(error) = fast(&core, &mut cursors).await {
            let _logged = from_store("clock", &error);
        }
        if beats.is_multiple_of(SLOW_BEATS)
            && let Err(error) = slow(&core).await
        {
            let _logged = from_store("slow clock", &error);
        }
        beats = beats.wrapping_add(1);
    }
}

async fn fast(core: &Arc<Core>, cursors: &mut HashMap<i64, i64>) -> Result<(), StoreError> {
    while core.resume().await? {}
    // One statement for everybody who listens, whatever their number.
    let listened: Vec<_> = core.events.keys().into_iter().map(|organisation| (organisation,)).collect();
    if listened.is_empty() {
        cursors.clear();
        return Ok(());
    }
    let now: HashMap<_, _> = core.store.cursors(&listened).await?.into_iter().collect();
    core.events.ring(now.iter().filter(|(id, cursor)| cursors.get(id) != Some(cursor)).map(|(&id, _)| id));
    *cursors = now;
    Ok(())
}

async fn slow(core: &Arc<Core>) -> Result<(), StoreError> {
    // Forgets the wires of those who have gone.
    core.chunks.keys();
    let abandoned_before = core.deletable().await?.saturating_sub(ms(core.config.abandoned_after));
    let mut after = i64::MIN;
    loop {
        let abandoned = core.store.abandoned(abandoned_before, after, ABANDONED).await?;
        let Some(&(last,)) = abandoned.last() else { break };
        after = last;
        tracing::info!(uploads = abandoned.len(), "cancelling abandoned uploads");
        // Each by itself: one that cannot be cancelled, for whatever is wrong with it, keeps no other.
        for one in abandoned {
            match core.cancel(std::slice::from_ref(&one)).await {
                Err(error) if !error.is_unavailable() => {
                    let _logged = from_store("cancel an abandoned upload", &error);
                }
                cancelled => drop(cancelled?),
            }
        }
    }
    let mut tx = core.store.begin().await?;
    tx.forget_nodes(ms(FORGET_NODES)).await?;
    tx.settle_offers().await?;
    tx.commit().await?;
    core.forget_descriptions(abandoned_before).await
}
