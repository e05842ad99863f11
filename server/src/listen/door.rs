//! Which connections there are, who may come in, and who has to go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::line::{Line, level};
use super::pace::Rate;
use crate::bounds::Bounds;
use crate::callers::network;

/// Connections beyond the bound: those that have been ended and are not gone yet. Fewer where the bound is low, as it is where a process may
/// have few descriptors.
const BEYOND: usize = 64;
/// Between two looks at what nobody else notices, where the bounds are those of production.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Connections, the oldest first.
type Lines = BTreeMap<u64, Arc<Line>>;

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Door {
    bounds: Bounds,
    lines: Mutex<Lines>,
    numbers: AtomicU64,
    /// Lines on which nobody has shown who it is: while there are few, nobody has to be looked for.
    newcomers: Arc<AtomicUsize>,
    /// A connection has ended.
    left: Notify,
}

impl Door {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (lines, numbers, newcomers) = (Mutex::default(), AtomicU64::new(0), Arc::default());
        Self { bounds, lines, numbers, newcomers, left: Notify::new() }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Takes a connection in, at once: where there is no place for it, another ends. Whoever waited here would wait for all addresses that
    /// come before it. Only where there are many beyond the bound, some of them have to go first.
    pub(super) async fn admit(self: &Arc<Self>, peer: IpAddr) -> Entry {
        loop {
            let left = self.left.notified();
            {
                let mut lines = self.lines();
                if let Some(line) = self.in_the_way(&lines, network(peer)) {
                    line.cut.cancel();
                }
                if lines.len() < self.bounds.connections + BEYOND.min(self.bounds.connections / 2) {
                    let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                    let line = Arc::new(Line::new(number, peer, &self.newcomers, self.bounds.given_up));
                    lines.insert(number, Arc::clone(&line));
                    return Entry { door: Arc::clone(self), line };
                }
            }
            let _ = tokio::time::timeout(LOOK_EVERY, left).await;
        }
    }

    /// Which connection has to end for another from this address, if one has to.
    fn in_the_way<'a>(&self, lines: &'a Lines, network: u128) -> Option<&'a Arc<Line>> {
        let most_of_one = self.bounds.newcomers_each.min(self.bounds.newcomers);
        if lines.len() < self.bounds.connections && self.newcomers.load(Ordering::Relaxed) < most_of_one {
            return None;
        }
        let newcomers = Newcomers::of(lines);
        if newcomers.by_network.get(&network).is_some_and(|own| own.len() >= most_of_one) {
            return newcomers.next_of(network);
        }
        if newcomers.count() >= self.bounds.newcomers {
            return newcomers.next_of_the_most();
        }
        let staying = lines.values().filter(|line| !line.cut.is_cancelled()).count();
        if staying < self.bounds.connections {
            return None;
        }
        let next = newcomers.next_of_the_most().filter(|line| line.opened.elapsed() >= self.bounds.newcomer_stay);
        next.or_else(|| least_needed_of_the_most(lines))
    }

    /// The system has no descriptors left: ends a connection that would be the next to go.
    pub(super) fn make_room(&self) {
        let lines = self.lines();
        if let Some(line) = Newcomers::of(&lines).next_of_the_most().or_else(|| least_needed_of_the_most(&lines)) {
            line.cut.cancel();
        }
    }

    /// Ends connections whose time is over, until no more come and the last has gone.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let rate = Rate { bytes_per_s: self.bounds.bytes_per_s.into(), over: self.bounds.pace_over };
        let shortest = self.bounds.pace_over.min(self.bounds.head).min(self.bounds.idle);
        let every = (shortest / 30).clamp(Duration::from_millis(10), LOOK_EVERY);
        let mut last = Instant::now();
        loop {
            match stop.is_cancelled() {
                false => drop(stop.run_until_cancelled(tokio::time::sleep(every)).await),
                true if self.lines().is_empty() => break,
                true => drop(tokio::time::timeout(every, self.left.notified()).await),
            }
            // A machine that slept has not waited for anybody.
            let passed = std::mem::replace(&mut last, Instant::now()).elapsed().min(every * 3);
            let lines: Vec<_> = self.lines().values().cloned().collect();
            self.end_excess(&lines);
            for line in lines {
                line.look(&self.bounds, rate, passed);
            }
        }
    }

    /// Ends what callers have beyond the bound of each: what is idle first, then that on which least moves, the eldest first.
    fn end_excess(&self, lines: &[Arc<Line>]) {
        let most = self.bounds.connections_each;
        if lines.len() <= most {
            return;
        }
        let mut of = HashMap::<u64, Vec<&Arc<Line>>>::new();
        for line in lines.iter().filter(|line| line.is_known() && !line.cut.is_cancelled()) {
            of.entry(line.owner.load(Ordering::Relaxed)).or_default().push(line);
        }
        for own in of.values_mut().filter(|own| own.len() > most) {
            own.sort_by_cached_key(|line| (line.idle_since().is_none(), level(line.bytes_per_s()), line.number));
            for line in &own[..own.len() - most] {
                line.cut.cancel();
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those on whose connections nobody has shown who it is, by address, the oldest first.
struct Newcomers<'a> {
    by_network: HashMap<u128, Vec<&'a Arc<Line>>>,
}

impl<'a> Newcomers<'a> {
    fn of(lines: &'a Lines) -> Self {
        let mut by_network = HashMap::<u128, Vec<_>>::new();
        for line in lines.values().filter(|line| !line.is_known() && !line.cut.is_cancelled()) {
            by_network.entry(line.network).or_default().push(line);
        }
        Self { by_network }
    }

    fn count(&self) -> usize {
        self.by_network.values().map(Vec::len).sum()
    }

    /// The next to go of an address: the oldest that asks for nothing. Who asks is known in a moment, or refused.
    fn next_of(&self, network: u128) -> Option<&'a Arc<Line>> {
        let own = self.by_network.get(&network)?;
        own.iter().find(|line| line.idle_since().is_some()).or(own.first()).copied()
    }

    /// The next to go of the address that has most.
    fn next_of_the_most(&self) -> Option<&'a Arc<Line>> {
        let most = self.by_network.iter().max_by_key(|(_, own)| own.len());
        most.and_then(|(network, _)| self.next_of(*network))
    }
}

/// Of the caller that has the most connections, the one on which nothing has happened for the longest time. Where something is under
/// way on all connections, the one on which least moves, and of those the eldest: who hardly uses a place should not keep it for ever.
fn least_needed_of_the_most(lines: &Lines) -> Option<&Arc<Line>> {
    let mut of = HashMap::<u64, usize>::new();
    for line in lines.values() {
        *of.entry(line.owner.load(Ordering::Relaxed)).or_default() += 1;
    }
    let count_of = |line: &Line| of.get(&line.owner.load(Ordering::Relaxed)).copied();
    let staying = || lines.values().filter(|line| !line.cut.is_cancelled());
    let idle = staying().filter_map(|line| Some((line.idle_since()?, line)));
    let idle = idle.max_by_key(|(since, line)| (count_of(line), Reverse(*since)));
    if let Some((_, line)) = idle {
        return Some(line);
    }
    staying().max_by_key(|line| (count_of(line), Reverse(level(line.bytes_per_s())), Reverse(line.number)))
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    door: Arc<Door>,
    pub(super) line: Arc<Line>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.door.lines().remove(&self.line.number);
        self.line.is_no_newcomer();
        self.door.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Exchange;

    fn door(bounds: Bounds) -> Arc<Door> {
        Arc::new(Door::new(bounds))
    }

    async fn admit(door: &Arc<Door>, from: &str, count: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(door.admit(from.parse().expect("an address")).await);
        }
        entries
    }

    fn staying(entries: &[Entry]) -> usize {
        entries.iter().filter(|entry| !entry.line.cut.is_cancelled()).count()
    }

    #[tokio::test]
    async fn the_address_with_most_newcomers_gives_way() {
        let door = door(Bounds { newcomers: 8, newcomers_each: 6, ..Bounds::default() });
        let few = admit(&door, "10.0.0.1", 2).await;
        let mut many = admit(&door, "2001:db8::1", 5).await;
        many.extend(admit(&door, "2001:db8::2", 5).await);
        assert_eq!((staying(&few), staying(&many)), (2, 6), "a network of version 6 is one address");
        assert!(!many[9].line.cut.is_cancelled(), "its newest stays");
        let other = admit(&door, "10.0.0.2", 2).await;
        assert_eq!((staying(&few), staying(&many), staying(&other)), (2, 4, 2));
        drop((few, many, other));
        assert_eq!(door.newcomers.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_asks_for_something_and_who_is_known_stays() {
        let door = door(Bounds { newcomers: 8, newcomers_each: 4, ..Bounds::default() });
        let entries = admit(&door, "10.0.0.1", 4).await;
        let _asks = Exchange::begin(&entries[0].line, CancellationToken::new());
        entries[1].line.belongs_to(7);
        let more = admit(&door, "10.0.0.1", 9).await;
        assert_eq!((staying(&entries), staying(&more)), (2, 3));
        assert!(entries[2].line.cut.is_cancelled() && entries[3].line.cut.is_cancelled());
    }

    #[tokio::test]
    async fn where_all_places_are_of_those_who_are_known_one_of_them_gives_way() {
        let door = door(Bounds { connections: 4, newcomers: 2, ..Bounds::default() });
        let mut known = Vec::new();
        for owner in [1, 2, 2, 2] {
            known.extend(admit(&door, "10.0.0.1", 1).await);
            known[known.len() - 1].line.belongs_to(owner);
        }
        let fresh = admit(&door, "10.0.0.2", 1).await;
        assert_eq!((staying(&known), staying(&fresh)), (3, 1));
        assert!(!known[0].line.cut.is_cancelled(), "who has most gives way");
    }

    #[tokio::test]
    async fn where_on_all_a_request_has_just_begun_one_gives_way() {
        let door = door(Bounds { connections: 4, newcomers: 2, ..Bounds::default() });
        for _ in 0..4 + BEYOND {
            let entry = door.admit([10, 0, 0, 1].into()).await;
            entry.line.belongs_to(1);
            let asks = Exchange::begin(&entry.line, CancellationToken::new());
            tokio::spawn(async move {
                entry.line.cut.cancelled().await;
                drop((asks, entry));
            });
        }
        let fresh = tokio::time::timeout(Duration::from_secs(20), door.admit([10, 0, 0, 2].into())).await;
        assert!(!fresh.expect("it waits for ever").line.cut.is_cancelled());
    }

    #[tokio::test]
    async fn no_caller_keeps_more_connections_than_each_may_and_those_that_are_used_stay() {
        let door = door(Bounds { connections_each: 2, ..Bounds::default() });
        let mut entries = Vec::new();
        for owner in [1, 2, 2, 2, 2] {
            entries.extend(admit(&door, "10.0.0.1", 1).await);
            entries[entries.len() - 1].line.belongs_to(owner);
        }
        let _newcomers = admit(&door, "10.0.0.1", 3).await;
        let _asks = Exchange::begin(&entries[1].line, CancellationToken::new());
        door.end_excess(&door.lines().values().cloned().collect::<Vec<_>>());
        let cut: Vec<bool> = entries.iter().map(|entry| entry.line.cut.is_cancelled()).collect();
        assert_eq!(cut, [false, false, true, true, false]);
    }

    #[tokio::test]
    async fn requests_that_have_just_begun_are_no_shield_of_who_has_most() {
        let door = door(Bounds { connections: 4, newcomers: 2, ..Bounds::default() });
        let mut busy = Vec::new();
        for owner in [1, 2, 2, 2] {
            let entry = door.admit([10, 0, 0, 1].into()).await;
            entry.line.belongs_to(owner);
            // That of who has one takes longer than all of the others'.
            let age = Duration::from_secs(if owner == 1 { 60 } else { 0 });
            let asks = Exchange::begun_at(&entry.line, CancellationToken::new(), Instant::now() - age);
            busy.push((asks, entry));
        }
        let fresh = door.admit([10, 0, 0, 2].into()).await;
        let cut: Vec<bool> = busy.iter().map(|(_, entry)| entry.line.cut.is_cancelled()).collect();
        assert_eq!((cut, fresh.line.cut.is_cancelled()), (vec![false, true, false, false], false));
    }
}
