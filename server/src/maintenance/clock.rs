//! What happens by itself: runs that rested go on, listeners hear of what came through another server, uploads are abandoned.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::handle::Maintenance;
use crate::refusal::from_store;
use crate::retry::ms;
use crate::store::StoreError;

/// How often cursors and unheld_state runs are looked at; also how long the cancelling of abandoned uploads rests.
const BEAT: Duration = Duration::from_secs(1);
/// Transactions in which runs go on in one beat: listeners do not wait for more.
const RESUMED: usize = 16;
/// Between two looks at what changes within days.
const SLOW_BEAT: Duration = Duration::from_secs(60);
/// Abandoned uploads read in one statement.
const ABANDONED: i64 = 64;
/// How long they are cancelled before that rests, and others have the database for themselves.
const ABANDONED_BUSY: Duration = Duration::from_millis(250);
/// How long an absent node is remembered.
const FORGET_NODES: Duration = Duration::from_secs(24 * 3600);

/// Beats until `stop`.
pub(super) async fn run(maintenance: Maintenance, stop: CancellationToken) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cursors = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        if let Err(error) = ring(&maintenance, &mut cursors).await {
            let _logged = from_store("clock", &error);
        }
        if let Err(error) = resume(&maintenance).await {
            let _logged = from_store("resume runs", &error);
        }
    }
}

/// Cancels what was abandoned, and forgets what is old, until `stop`. It may take hours, so nothing else waits for it.
pub(super) async fn run_slow(maintenance: Maintenance, stop: CancellationToken) {
    let mut goes_on_after = None;
    let mut forgotten: Option<Instant> = None;
    loop {
        goes_on_after = cancel_abandoned(&maintenance, goes_on_after).await.unwrap_or_else(|error| {
            let _logged = from_store("cancel abandoned uploads", &error);
            None
        });
        if forgotten.is_none_or(|last| last.elapsed() >= SLOW_BEAT) {
            forgotten = Some(Instant::now());
            if let Err(error) = forget(&maintenance).await {
                let _logged = from_store("slow clock", &error);
            }
        }
        let rest = if goes_on_after.is_some() { BEAT } else { SLOW_BEAT };
        if stop.run_until_cancelled(sleep(rest)).await.is_none() {
            return;
        }
    }
}

/// Rings for those whose organisations have new events. One statement for everybody who listens, whatever their number.
async fn ring(maintenance: &Maintenance, cursors: &mut HashMap<i64, i64>) -> Result<(), StoreError> {
    let listened: Vec<_> =
        maintenance.queue.core().events.keys().into_iter().map(|organisation| (organisation,)).collect();
    if listened.is_empty() {
        cursors.clear();
        return Ok(());
    }
    let now: HashMap<_, _> = maintenance.store.cursors(&listened).await?.into_iter().collect();
    maintenance
        .queue
        .core()
        .events
        .ring(now.iter().filter(|(id, cursor)| cursors.get(id) != Some(cursor)).map(|(&id, _)| id));
    *cursors = now;
    Ok(())
}

/// Lets runs go on that have rested long enough; very many in several beats.
async fn resume(maintenance: &Maintenance) -> Result<(), StoreError> {
    for _ in 0..RESUMED {
        if !maintenance.queue.core().resume().await? {
            break;
        }
    }
    Ok(())
}

/// Cancels abandoned uploads for a while, from behind the upload of this number on; none: from the first. Answers where it goes on if
/// there may be more.
async fn cancel_abandoned(maintenance: &Maintenance, goes_on_after: Option<i64>) -> Result<Option<i64>, StoreError> {
    let abandoned_before = maintenance.deletable().await?.saturating_sub(ms(maintenance.config.abandoned_after));
    let begun = Instant::now();
    let (mut after, mut cancelled) = (goes_on_after.unwrap_or(i64::MIN), 0_u32);
    let goes_on_after = 'busy: loop {
        let abandoned = maintenance.store.abandoned(abandoned_before, after, ABANDONED).await?;
        if abandoned.is_empty() {
            break None;
        }
        for (upload,) in abandoned {
            let mut goes_on = true;
            while goes_on {
                goes_on = match maintenance.queue.core().cancel_step(upload).await {
                    // Each by itself: one that cannot be cancelled, for whatever is wrong with it, keeps no other.
                    Err(error) if !error.is_unavailable() => {
                        let _logged = from_store("cancel an abandoned upload", &error);
                        false
                    }
                    step => {
                        let goes_on = step?;
                        cancelled += u32::from(!goes_on);
                        goes_on
                    }
                };
                if !goes_on {
                    after = upload;
                }
                if begun.elapsed() >= ABANDONED_BUSY {
                    break 'busy Some(after);
                }
            }
        }
    };
    if cancelled > 0 {
        tracing::info!(uploads = cancelled, "cancelled abandoned uploads");
    }
    Ok(goes_on_after)
}

/// Forgets what is old, and those who have gone.
async fn forget(maintenance: &Maintenance) -> Result<(), StoreError> {
    // Forgets their wires.
    maintenance.queue.core().chunks.keys();
    let before = maintenance.deletable().await?.saturating_sub(ms(maintenance.config.abandoned_after));
    let mut tx = maintenance.store.begin().await?;
    tx.forget_nodes(ms(FORGET_NODES)).await?;
    tx.settle_offers().await?;
    tx.commit().await?;
    maintenance.catalog.forget_descriptions(before).await
}
