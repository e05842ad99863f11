//! A clock that all servers of a database share and that does not jump: it counts the time that some server was there to see.
//!
//! Whether a node is present is told by it. By the database's clock, a jump of an hour would make every node absent, and one back
//! would keep the dead present for that hour.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::handle::Maintenance;
use crate::refusal::from_store;
use crate::retry::ms;
use crate::store::StoreError;

/// Beats within the time that a node counts as present.
const BEATS: u32 = 12;
const BEAT: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(5);

/// Moves the clock on until `stop`.
pub(super) async fn run(maintenance: Maintenance, stop: CancellationToken) {
    let every = (maintenance.catalog.node_present() / BEATS).clamp(*BEAT.start(), *BEAT.end());
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut steady = Steady { longest: every * 2, last: None };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        if let Err(error) = maintenance.keep_steady(&mut steady).await {
            let _logged = from_store("steady clock", &error);
        }
    }
}

impl Maintenance {
    async fn keep_steady(&self, steady: &mut Steady) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut tx = self.store.begin().await?;
        let there = tx.keep_steady(steady.at(now)).await?;
        tx.commit().await?;
        steady.last = there.map(|there| (there, now));
        Ok(())
    }
}

/// Where this server saw the clock last.
struct Steady {
    /// What one beat counts for at most: while a server is frozen, it hears of no node.
    longest: Duration,
    last: Option<(i64, Instant)>,
}

impl Steady {
    /// Where the clock is, as far as this server knows.
    fn at(&self, now: Instant) -> i64 {
        self.last.map_or(0, |(there, then)| there.saturating_add(ms(now.duration_since(then).min(self.longest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_with_the_time_that_a_server_was_there() {
        let now = Instant::now();
        let mut steady = Steady { longest: Duration::from_secs(10), last: None };
        assert_eq!(steady.at(now), 0, "it does not know yet, and moves nothing");
        steady.last = Some((1_000, now));
        assert_eq!(steady.at(now + Duration::from_secs(5)), 6_000);
        assert_eq!(steady.at(now + Duration::from_secs(3600)), 11_000, "it was frozen");
    }
}
