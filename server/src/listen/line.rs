//! One connection, and the requests on it.

mod exchange;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::pace::{Pace, Rate};
use crate::bounds::Bounds;
use crate::callers::network;

pub(super) use exchange::{Answer, level};
pub(crate) use exchange::{Exchange, Received};

/// How long a connection may take to end by itself before it is cut.
const FAREWELL: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) number: u64,
    pub(super) peer: IpAddr,
    /// What of its address counts.
    pub(super) network: u128,
    pub(super) opened: Instant,
    /// Ends it when what is under way is done.
    pub(super) close: CancellationToken,
    /// Ends it at once.
    pub(super) cut: CancellationToken,
    /// Writing to the socket.
    pub(super) writing: Pace,
    /// Bytes that were read from it.
    came: AtomicU64,
    /// Who uses it, as far as that is known: a number that callers do not share.
    pub(super) owner: AtomicU64,
    pub(super) known: AtomicBool,
    /// All that are not known, this one included until it is.
    pub(super) newcomers: Arc<AtomicUsize>,
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

impl Line {
    pub(super) fn new(number: u64, peer: IpAddr, newcomers: &Arc<AtomicUsize>, most_given_up: usize) -> Self {
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

    pub(super) fn is_no_newcomer(&self) {
        if !self.known.load(Ordering::Relaxed) && !self.known.swap(true, Ordering::Relaxed) {
            self.newcomers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Somebody has shown that it may do something, not who it is.
    pub(crate) fn belongs_to_its_address(&self) {
        self.belongs_to(BuildHasherDefault::<DefaultHasher>::default().hash_one(self.network));
    }

    pub(super) fn is_known(&self) -> bool {
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

    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.exchanges.is_empty().then_some(state.idle_since)
    }

    pub(super) fn look(&self, bounds: &Bounds, rate: Rate, passed: Duration) {
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
    pub(super) fn bytes_per_s(&self) -> f64 {
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
