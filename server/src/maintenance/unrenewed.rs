//! Leases that nobody prolongs: noticed by looking at them for a full lease, whatever any clock on a wall says.
//!
//! When a lease is prolonged its row gets another `lease_until`. To this server that is a mark, not a time: a lease is over
//! once the server itself has seen one mark unchanged for as long as a lease lasts, on its own monotonic clock. The database's
//! clock may jump by an hour or a year, and ends nothing by that.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::handle::Maintenance;
use crate::refusal::from_store;
use crate::retry::retried;
use crate::store::StoreError;
use crate::store::queue::LeaseMark;

/// Looks within the time of a lease; a lease ends so much of it late at most.
const LOOKS: u32 = 10;
/// How often the leases are looked at.
const LOOK: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3);
/// Leases read in one statement.
const PAGE: i64 = 4096;
/// Leases that are watched. Of more than these, those that were prolonged last are not, or whoever has many that are prolonged again and
/// again would keep all others' from ending.
const MOST: usize = 1 << 18;
/// Leases ended in one transaction.
const BATCH: usize = 256;

/// Looks at the leases until `stop`.
pub(super) async fn run(maintenance: Maintenance, stop: CancellationToken) {
    let every = (maintenance.queue.core().lease() / LOOKS).clamp(*LOOK.start(), *LOOK.end());
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watched = Watched::new(maintenance.queue.core().lease(), every);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        if let Err(error) = maintenance.look_at_leases(&mut watched).await {
            let _logged = from_store("look at leases", &error);
        }
    }
}

impl Maintenance {
    async fn look_at_leases(&self, watched: &mut Watched) -> Result<(), StoreError> {
        watched.begin();
        let mut after = (i64::MIN, i64::MIN);
        loop {
            let asked = Instant::now();
            let page = self.store.leases(after, PAGE).await?;
            let answered = Instant::now();
            watched.hear(answered);
            for mark in &page {
                watched.see(*mark, asked, answered);
            }
            match page.last() {
                Some(last) if page.len() as i64 == PAGE => after = (last.lease_until, last.id),
                _ => break,
            }
        }
        let over = watched.end();
        for batch in over.chunks(BATCH) {
            if !self.end_leases(batch, watched).await? {
                break;
            }
        }
        Ok(())
    }

    /// Ends these leases, one by one if they cannot be ended together: one whose end cannot be written down, for whatever is wrong
    /// with its upload, keeps no other from ending. False: this server was absent, and what was over may not be.
    async fn end_leases(&self, leases: &[LeaseMark], watched: &mut Watched) -> Result<bool, StoreError> {
        let mut parts = vec![leases];
        while let Some(part) = parts.pop() {
            if watched.is_absent(Instant::now()) {
                return Ok(false);
            }
            match retried(|| self.expire(part)).await {
                Ok(()) => watched.forget(part),
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) if part.len() == 1 => {
                    let _logged = from_store("end a lease", &error);
                }
                Err(_) => parts = part.chunks(1).collect(),
            }
            if watched.hear(Instant::now()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What this server has seen of the leases.
struct Watched {
    lease: Duration,
    /// Longest time between two answers of the database in which nodes could be heard.
    longest_gap: Duration,
    seen: HashMap<i64, Seen>,
    /// How many of them there are at most.
    most: usize,
    /// Number of the look that is under way.
    look: u64,
    /// How many leases it has seen that are watched.
    count: usize,
    /// When the database answered last.
    heard: Option<Instant>,
    over: Vec<LeaseMark>,
}

/// One lease.
struct Seen {
    fence: i64,
    lease_until: i64,
    /// When it was first seen with this mark.
    since: Instant,
    look: u64,
}

impl Watched {
    fn new(lease: Duration, every: Duration) -> Self {
        // A node reports within a third of the lease: a shorter absence makes no lease look as if it was not prolonged.
        let longest_gap = every + lease / 3;
        let (seen, over) = (HashMap::new(), Vec::new());
        Self { lease, longest_gap, seen, most: MOST, look: 0, count: 0, heard: None, over }
    }

    /// A look begins.
    fn begin(&mut self) {
        self.look += 1;
        self.count = 0;
        self.over.clear();
    }

    /// The database has answered. True: this server was absent, and watches anew.
    ///
    /// While this server is stopped, frozen or cut off from its database it hears no report, and no lease is prolonged. That
    /// says nothing about the nodes: were they blamed, all that they had begun would be run again, one job at a time. How long
    /// a look takes does not matter: a server with many leases to end hears reports meanwhile.
    fn hear(&mut self, now: Instant) -> bool {
        let absent = self.is_absent(now);
        if absent && !self.seen.is_empty() {
            tracing::info!(
                "this server was absent: leases that nobody prolonged meanwhile are given time to be reported"
            );
            self.seen.clear();
            self.count = 0;
            self.over.clear();
        }
        self.heard = Some(now);
        absent
    }

    /// Whether the database has not answered for so long that nodes may not have been heard.
    fn is_absent(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.duration_since(heard) > self.longest_gap)
    }

    /// The database was asked at `asked`, and has answered by `answered` that the lease has this mark. Marks come in their order: those
    /// that were not prolonged for longest come first.
    fn see(&mut self, mark: LeaseMark, asked: Instant, answered: Instant) {
        let LeaseMark { id, fence, lease_until } = mark;
        let (look, lease) = (self.look, self.lease);
        match self.seen.get_mut(&id) {
            Some(seen) => {
                // One that is prolonged between two pages comes twice.
                self.count += usize::from(seen.look != look);
                seen.look = look;
                if (seen.fence, seen.lease_until) != (fence, lease_until) {
                    *seen = Seen { fence, lease_until, since: answered, look };
                } else if asked.duration_since(seen.since) >= lease {
                    self.over.push(mark);
                }
            }
            None => {
                if self.seen.len() >= self.most && self.count < self.most {
                    // What this look has not come to was prolonged after this one, or has ended.
                    self.seen.retain(|_, seen| seen.look == look);
                }
                if self.seen.len() < self.most {
                    self.count += 1;
                    self.seen.insert(id, Seen { fence, lease_until, since: answered, look });
                }
            }
        }
    }

    /// The look has seen every lease; answers those that are over. What was not seen has ended.
    fn end(&mut self) -> Vec<LeaseMark> {
        let look = self.look;
        self.seen.retain(|_, seen| seen.look == look);
        std::mem::take(&mut self.over)
    }

    fn forget(&mut self, ended: &[LeaseMark]) {
        for mark in ended {
            self.seen.remove(&mark.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);
    const EVERY: Duration = Duration::from_secs(3);
    const HOUR_MS: i64 = 3_600_000;

    struct Server {
        watched: Watched,
        now: Instant,
    }

    impl Server {
        fn new() -> Self {
            Self { watched: Watched::new(LEASE, EVERY), now: Instant::now() }
        }

        /// A look, after so long, that finds these leases; which of them are over.
        fn look(&mut self, after: Duration, marks: &[(i64, i64, i64)]) -> Vec<i64> {
            self.now += after;
            self.watched.begin();
            self.watched.hear(self.now);
            for &(id, fence, lease_until) in marks {
                self.watched.see(LeaseMark { id, fence, lease_until }, self.now, self.now);
            }
            self.watched.end().into_iter().map(|mark| mark.id).collect()
        }
    }

    #[test]
    fn a_lease_ends_after_a_full_lease_without_a_report() {
        let mut server = Server::new();
        for _ in 0..=9 {
            assert_eq!(server.look(EVERY, &[(1, 1, 500)]), [0; 0]);
        }
        assert_eq!(server.look(EVERY, &[(1, 1, 500)]), [1]);
    }

    #[test]
    fn no_jump_of_the_databases_clock_ends_a_lease_or_keeps_one() {
        for jump in [HOUR_MS, -HOUR_MS, 365 * 24 * HOUR_MS] {
            let mut server = Server::new();
            // Lease 1 is reported every nine seconds; lease 2 never.
            for look in 0..10 {
                let jumped = if look > 4 { jump } else { 0 };
                let reported = 30_000 + jumped + look / 3 * 9_000;
                assert_eq!(server.look(EVERY, &[(1, 1, reported), (2, 1, 30_000)]), [0; 0], "look {look}");
            }
            assert_eq!(server.look(EVERY, &[(1, 1, 57_000 + jump), (2, 1, 30_000)]), [2]);
        }
    }

    #[test]
    fn a_lease_that_passed_on_is_another() {
        let mut server = Server::new();
        for _ in 0..9 {
            server.look(EVERY, &[(1, 1, 500)]);
        }
        for _ in 0..10 {
            assert_eq!(server.look(EVERY, &[(1, 2, 500)]), [0; 0], "the same time, under another fence");
        }
        assert_eq!(server.look(EVERY, &[(1, 2, 500)]), [1]);
    }

    #[test]
    fn nobody_is_blamed_for_what_a_server_could_not_hear() {
        let mut server = Server::new();
        let lease = [(1, 1, 500)];
        server.look(EVERY, &lease);
        server.look(EVERY * 4, &lease);
        assert_eq!(server.look(EVERY * 4, &lease), [0; 0], "away for too short a time to matter");
        assert_eq!(server.look(EVERY * 20, &lease), [0; 0], "frozen");
        for _ in 0..9 {
            assert_eq!(server.look(EVERY, &lease), [0; 0], "just thawed");
        }
        assert_eq!(server.look(EVERY, &lease), [1], "here again for a full lease");
    }

    #[test]
    fn leases_end_however_long_it_takes_to_look_at_them_and_to_end_others() {
        let mut server = Server::new();
        let lease = LeaseMark { id: 1, fence: 1, lease_until: 500 };
        let mut ended = false;
        for _ in 0..3 {
            // Two pages, and then others' ends, of which each takes a while.
            server.watched.begin();
            for page in [vec![lease], Vec::new()] {
                let asked = server.now;
                server.now += EVERY * 3;
                server.watched.hear(server.now);
                page.into_iter().for_each(|mark| server.watched.see(mark, asked, server.now));
            }
            ended |= !server.watched.end().is_empty();
            for _batch in 0..2 {
                server.now += EVERY * 3;
                assert!(!server.watched.hear(server.now));
            }
        }
        assert!(ended);
    }

    #[test]
    fn a_page_that_took_long_ends_nothing_that_was_read_before_it() {
        let mut server = Server::new();
        for _ in 0..=9 {
            assert_eq!(server.look(EVERY, &[(1, 1, 500)]), [0; 0]);
        }
        server.now += EVERY;
        server.watched.begin();
        server.watched.hear(server.now);
        server.watched.see(LeaseMark { id: 1, fence: 1, lease_until: 500 }, server.now, server.now);
        assert!(server.watched.hear(server.now + EVERY * 5), "reports of this time were not heard either");
        assert!(server.watched.end().is_empty());
    }

    #[test]
    fn what_the_database_says_late_counts_from_its_answer() {
        let mut server = Server::new();
        let mark = LeaseMark { id: 1, fence: 1, lease_until: 500 };
        server.watched.begin();
        server.watched.hear(server.now + Duration::from_secs(8));
        server.watched.see(mark, server.now, server.now + Duration::from_secs(8));
        assert!(server.watched.end().is_empty());
        for _ in 0..12 {
            assert_eq!(server.look(EVERY, &[(1, 1, 500)]), [0; 0]);
        }
        assert_eq!(server.look(EVERY, &[(1, 1, 500)]), [1]);
    }

    #[test]
    fn memory_is_bounded_and_what_waits_for_room_is_watched_later() {
        let mut server = Server::new();
        server.watched.most = 100;
        let many: Vec<_> = (0..110).map(|id| (id, 1, id)).collect();
        server.look(EVERY, &many);
        assert_eq!(server.watched.seen.len(), 100);
        server.look(EVERY, &many[100..]);
        assert_eq!(server.watched.seen.len(), 10, "those that ended are forgotten");
    }

    #[test]
    fn many_leases_that_are_prolonged_again_and_again_keep_no_other_from_ending() {
        let mut server = Server::new();
        server.watched.most = 100;
        // All room is theirs, and they are prolonged in turn, every sixth look.
        let theirs = |look: i64| (0..120).map(move |id| (id, 1, 1000 + (look + id % 6) / 6 * 6 - id % 6));
        for look in 0..30 {
            let mut marks: Vec<_> = theirs(look).collect();
            if look >= 10 {
                // A node that died then.
                marks.push((500, 1, 1010));
            }
            marks.sort_by_key(|&(id, _, lease_until)| (lease_until, id));
            let over = server.look(EVERY, &marks);
            assert!(server.watched.seen.len() <= 100);
            assert!(over.iter().all(|&id| id == 500), "look {look}: {over:?}");
            if over == [500] {
                assert!(look >= 20, "look {look}");
                return;
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn a_lease_that_is_prolonged_while_it_is_looked_at_is_watched_once() {
        let mut server = Server::new();
        server.watched.most = 3;
        for _ in 0..3 {
            server.look(EVERY, &[(1, 1, 500), (2, 1, 501), (1, 1, 502), (3, 1, 503), (4, 1, 504)]);
            assert_eq!(server.watched.seen.len(), 3);
            assert!(!server.watched.seen.contains_key(&4));
        }
    }
}
