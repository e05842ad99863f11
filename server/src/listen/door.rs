//! Which connections there are, who may come in, and who has to go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::exchange::{Exchange, level};
use super::pace::{Pace, Rate};
use crate::bounds::Bounds;
use crate::callers::network;

/// How long a connection may take to end by itself before it is cut.
const FAREWELL: Duration = Duration::from_secs(5);
/// Connections beyond the bound: those that have been ended and are not gone yet.
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

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    number: u64,
    peer: IpAddr,
    /// What of its address counts.
    network: u128,
    opened: Instant,
    /// Ends it when what is under way is done.
    pub(super) close: CancellationToken,
    /// Ends it at once.
    pub(super) cut: CancellationToken,
    /// Writing to the socket.
    pub(super) writing: Pace,
    /// Bytes that were read from it.
    came: AtomicU64,
    /// Who uses it, as far as that is known: a number that callers do not share.
    owner: AtomicU64,
    known: AtomicBool,
    /// All that are not known, this one included until it is.
    newcomers: Arc<AtomicUsize>,
    given_up: AtomicUsize,
    most_given_up: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    exchanges: Vec<(u64, Weak<Exchange>)>,
    /// Requests that began.
    begun: u64,
    idle_since: Instant,
    closing_since: Option<Instant>,
    /// Bytes that had come when that was looked at last.
    came: u64,
    /// By how much more has come than the bodies that are waited for need together.
    surplus: f64,
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
                if lines.len() < self.bounds.connections + BEYOND {
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

impl Line {
    fn new(number: u64, peer: IpAddr, newcomers: &Arc<AtomicUsize>, most_given_up: usize) -> Self {
        let opened = Instant::now();
        newcomers.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            peer,
            network: network(peer),
            opened,
            close: CancellationToken::new(),
            cut: CancellationToken::new(),
            writing: Pace::of_taking(),
            came: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            known: AtomicBool::new(false),
            newcomers: Arc::clone(newcomers),
            given_up: AtomicUsize::new(0),
            most_given_up,
            state: Mutex::new(State {
                exchanges: Vec::new(),
                begun: 0,
                idle_since: opened,
                closing_since: None,
                came: 0,
                surplus: 0.0,
            }),
        }
    }

    /// What of its address counts.
    pub(crate) fn network(&self) -> u128 {
        self.network
    }

    /// Where it comes from.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Somebody has shown who uses it.
    pub(crate) fn belongs_to(&self, owner: u64) {
        self.owner.store(owner, Ordering::Relaxed);
        self.is_no_newcomer();
    }

    fn is_no_newcomer(&self) {
        if !self.known.load(Ordering::Relaxed) && !self.known.swap(true, Ordering::Relaxed) {
            self.newcomers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Somebody has shown that it may do something, not who it is.
    pub(crate) fn belongs_to_its_address(&self) {
        self.belongs_to(BuildHasherDefault::<DefaultHasher>::default().hash_one(self.network));
    }

    fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// A request begins.
    pub(super) fn begin(&self, exchange: &Arc<Exchange>) -> u64 {
        let mut state = self.state();
        state.begun += 1;
        let number = state.begun;
        state.exchanges.push((number, Arc::downgrade(exchange)));
        number
    }

    /// A request is over, and its answer written or given up.
    pub(super) fn end(&self, number: u64, answered: bool) {
        let mut state = self.state();
        state.exchanges.retain(|(other, _)| *other != number);
        if state.exchanges.is_empty() {
            state.idle_since = Instant::now();
        }
        drop(state);
        // A caller that asks and gives up, again and again, makes work and takes no answer.
        if answered {
            let _ = self.given_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        } else if self.given_up.fetch_add(1, Ordering::Relaxed) >= self.most_given_up {
            self.cut.cancel();
        }
    }

    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.exchanges.is_empty().then_some(state.idle_since)
    }

    fn look(&self, bounds: &Bounds, rate: Rate, passed: Duration) {
        if self.writing.is_too_slow(rate, passed) {
            tracing::debug!(peer = %self.peer, "a connection takes nothing, and is cut");
            self.cut.cancel();
            return;
        }
        let mut state = self.state();
        if state.exchanges.is_empty() {
            let most = if state.begun == 0 { bounds.head } else { bounds.idle };
            if state.closing_since.is_some_and(|since| since.elapsed() > FAREWELL)
                || (state.begun == 0 && state.idle_since.elapsed() > most)
            {
                self.cut.cancel();
            } else if state.idle_since.elapsed() > most {
                state.closing_since.get_or_insert_with(Instant::now);
                self.close.cancel();
            }
            return;
        }
        let exchanges = state.under_way();
        let bodies = exchanges.iter().filter(|exchange| exchange.is_read()).count();
        let excuse = state.excuse(self.came.load(Ordering::Relaxed), bodies, rate, passed);
        drop(state);
        for exchange in exchanges {
            exchange.look(self.writing.is_waiting(), excuse, rate, passed);
        }
    }

    /// Bytes were read.
    pub(super) fn came(&self, bytes: usize) {
        self.came.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How much moves of what is under way on it.
    fn bytes_per_s(&self) -> f64 {
        self.state().under_way().iter().map(|exchange| exchange.bytes_per_s()).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn under_way(&self) -> Vec<Arc<Exchange>> {
        self.exchanges.iter().filter_map(|(_, exchange)| exchange.upgrade()).collect()
    }

    /// What came since that was looked at last, if several bodies share it and it is too little for all of them at the lowest rate: then the
    /// link is slow, and none of them is to blame. Where enough came for all, whoever did not send is.
    fn excuse(&mut self, came: u64, bodies: usize, rate: Rate, passed: Duration) -> f64 {
        let since = came.wrapping_sub(std::mem::replace(&mut self.came, came)) as f64;
        if bodies < 2 {
            self.surplus = 0.0;
            return 0.0;
        }
        let needed_per_s = rate.bytes_per_s * bodies as f64;
        let most = needed_per_s * rate.over.as_secs_f64();
        self.surplus = (self.surplus + since - needed_per_s * passed.as_secs_f64()).clamp(-most, most);
        if self.surplus > 0.0 { 0.0 } else { since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
