//! What happens by itself: leases end, uploads are abandoned, listeners hear of what came through another server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::refusal::from_store;
use super::{Core, ms};
use crate::store::StoreError;

/// How often leases and cursors are looked at.
const BEAT: Duration = Duration::from_secs(1);
/// Beats between two looks at what changes within days.
const SLOW_BEATS: u32 = 60;
/// Uploads cancelled in one transaction when they were abandoned.
const ABANDONED: i64 = 16;
/// How long an absent node is remembered.
const FORGET_NODES: Duration = Duration::from_secs(24 * 3600);

/// Beats until `stop`.
pub(super) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cursors = HashMap::new();
    let mut presence = Presence::begin(core.config.lease, Instant::now());
    let mut beats = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        let blame = presence.may_blame(Instant::now());
        match fast(&core, &mut cursors, blame).await {
            Ok(()) => presence.was_here(Instant::now()),
            Err(error) => {
                let _logged = from_store("clock", &error);
            }
        }
        if beats.is_multiple_of(SLOW_BEATS)
            && let Err(error) = slow(&core).await
        {
            let _logged = from_store("slow clock", &error);
        }
        beats = beats.wrapping_add(1);
    }
}

/// Whether nodes could be heard for as long as a lease lasts.
///
/// While this server is stopped, frozen or cut off from its database it hears no report, and every lease runs out. That says
/// nothing about the nodes: were they blamed, all that they had begun would be run again, one job at a time.
struct Presence {
    lease: Duration,
    last: Instant,
    blame_from: Instant,
}

impl Presence {
    /// At the start of a server: nodes may hold leases of the process before it.
    fn begin(lease: Duration, now: Instant) -> Self {
        Self { lease, last: now, blame_from: now + lease }
    }

    /// Whether a lease that has run out by `now` is its node's fault.
    fn may_blame(&mut self, now: Instant) -> bool {
        // A node reports within a third of the lease: a shorter absence makes none run out.
        if now.duration_since(self.last) > BEAT + self.lease / 3 {
            tracing::info!("this server was absent: leases that ran out meanwhile are given time to be reported");
            self.blame_from = now + self.lease;
        }
        now >= self.blame_from
    }

    /// A beat succeeded.
    fn was_here(&mut self, now: Instant) {
        self.last = now;
    }
}

async fn fast(core: &Arc<Core>, cursors: &mut HashMap<i64, i64>, blame: bool) -> Result<(), StoreError> {
    while blame && core.expire().await? {}
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
    loop {
        let abandoned = core.store.abandoned(ms(core.config.abandoned_after), ABANDONED).await?;
        if abandoned.is_empty() {
            break;
        }
        tracing::info!(uploads = abandoned.len(), "cancelling abandoned uploads");
        core.cancel(&abandoned).await?;
    }
    let mut tx = core.store.begin().await?;
    tx.forget_nodes(ms(FORGET_NODES)).await?;
    tx.settle_offers().await?;
    tx.commit().await?;
    core.forget_descriptions().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_blamed_for_what_a_server_could_not_hear() {
        let lease = Duration::from_secs(30);
        let mut now = Instant::now();
        let mut presence = Presence::begin(lease, now);
        let mut beat = |presence: &mut Presence, after: Duration| {
            now += after;
            let blame = presence.may_blame(now);
            presence.was_here(now);
            blame
        };
        assert!(!beat(&mut presence, BEAT), "just started");
        for _ in 0..29 {
            beat(&mut presence, BEAT);
        }
        assert!(beat(&mut presence, BEAT), "here for a lease");
        assert!(beat(&mut presence, BEAT * 9), "away for too short a time to matter");
        assert!(!beat(&mut presence, BEAT * 40), "frozen");
        assert!(!beat(&mut presence, BEAT), "just thawed");
        for _ in 0..29 {
            beat(&mut presence, BEAT);
        }
        assert!(beat(&mut presence, BEAT), "here again");
    }
}
