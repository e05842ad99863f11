//! Which connections there are, who may come in, and who has to go.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::pace::{Pace, Rate};
use crate::bounds::Bounds;

/// How long a connection may take to end by itself before it is cut.
const FAREWELL: Duration = Duration::from_secs(5);
/// Between two looks at what nobody else notices, where the bounds are those of production.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Door {
    bounds: Bounds,
    lines: Mutex<BTreeMap<u64, Arc<Line>>>,
    numbers: AtomicU64,
    /// A connection has ended.
    left: Notify,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    number: u64,
    peer: IpAddr,
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
        Self { bounds, lines: Mutex::default(), numbers: AtomicU64::new(0), left: Notify::new() }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Takes a connection in, as soon as there is a place for it: one that is free, or that of another on which nothing happens.
    pub(super) async fn admit(self: &Arc<Self>, peer: IpAddr) -> Entry {
        loop {
            let left = self.left.notified();
            let wait = {
                let mut lines = self.lines();
                match self.place(&lines) {
                    Ok(()) => {
                        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                        let line = Arc::new(Line::new(number, peer, self.bounds.given_up));
                        lines.insert(number, Arc::clone(&line));
                        return Entry { door: Arc::clone(self), line };
                    }
                    Err(wait) => wait,
                }
            };
            // Whoever was closed needs a moment to go; whoever may be closed soon is looked at again then.
            let _ = tokio::time::timeout(wait, left).await;
        }
    }

    /// Whether there is a place now; if not, one is made if possible, and the answer is how long to wait at most.
    fn place(&self, lines: &BTreeMap<u64, Arc<Line>>) -> Result<(), Duration> {
        if lines.len() < self.bounds.newcomers {
            return Ok(());
        }
        let newcomers = lines.values().filter(|line| !line.is_known() && !line.cut.is_cancelled());
        let (count, oldest) =
            newcomers.fold((0_usize, None), |(count, oldest), line| (count + 1, oldest.or(Some(line))));
        let full = lines.len() >= self.bounds.connections;
        if !full && count < self.bounds.newcomers {
            return Ok(());
        }
        if let Some(oldest) = oldest {
            let stayed = oldest.opened.elapsed();
            if stayed >= self.bounds.newcomer_stay {
                oldest.cut.cancel();
                return Err(LOOK_EVERY);
            }
            if count >= self.bounds.newcomers {
                return Err(self.bounds.newcomer_stay.saturating_sub(stayed));
            }
        }
        if let Some(line) = least_needed_of_the_most(lines) {
            line.cut.cancel();
        }
        Err(LOOK_EVERY)
    }

    /// The system has no descriptors left: ends a connection that would be the next to go.
    pub(super) fn make_room(&self) {
        let lines = self.lines();
        let newcomer = lines.values().find(|line| !line.is_known() && !line.cut.is_cancelled());
        if let Some(line) = newcomer.or_else(|| least_needed_of_the_most(&lines)) {
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
            for line in lines {
                line.look(&self.bounds, rate, passed);
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the caller that has the most connections, the one on which nothing has happened for the longest time. Where something is under
/// way on all connections, the one on which least moves: who hardly uses a place should not keep it for ever.
fn least_needed_of_the_most(lines: &BTreeMap<u64, Arc<Line>>) -> Option<&Arc<Line>> {
    let mut of = HashMap::<u64, usize>::new();
    for line in lines.values() {
        *of.entry(line.owner.load(Ordering::Relaxed)).or_default() += 1;
    }
    let count_of = |line: &Line| of.get(&line.owner.load(Ordering::Relaxed)).copied();
    let staying = || lines.values().filter(|line| !line.cut.is_cancelled());
    let idle = staying().filter_map(|line| Some((line.idle_since()?, line)));
    let idle = idle.max_by_key(|(since, line)| (count_of(line), std::cmp::Reverse(*since)));
    if let Some((_, line)) = idle {
        return Some(line);
    }
    let busy = staying().filter_map(|line| Some((line.bytes_per_s()?, line)));
    let slowest = busy.max_by(|(one, of_one), (other, of_other)| {
        count_of(of_one).cmp(&count_of(of_other)).then_with(|| other.total_cmp(one))
    });
    slowest.map(|(_, line)| line)
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
        self.door.left.notify_one();
    }
}

impl Line {
    fn new(number: u64, peer: IpAddr, most_given_up: usize) -> Self {
        let opened = Instant::now();
        Self {
            number,
            peer,
            opened,
            close: CancellationToken::new(),
            cut: CancellationToken::new(),
            writing: Pace::of_taking(),
            came: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            known: AtomicBool::new(false),
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

    /// Where it comes from.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Somebody has shown who uses it.
    pub(crate) fn belongs_to(&self, owner: u64) {
        self.owner.store(owner, Ordering::Relaxed);
        self.known.store(true, Ordering::Relaxed);
    }

    /// Somebody has shown that it may do something, not who it is.
    pub(crate) fn belongs_to_its_address(&self) {
        self.belongs_to(BuildHasherDefault::<DefaultHasher>::default().hash_one(self.peer));
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

    /// How much moves of what is under way on it; none if all of that has just begun.
    fn bytes_per_s(&self) -> Option<f64> {
        let exchanges = self.state().under_way();
        exchanges.iter().filter_map(|exchange| exchange.bytes_per_s()).reduce(|one, other| one + other)
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
