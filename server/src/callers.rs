//! What is held for whom: places of requests, bytes of bodies, bytes of answers, each counted for the caller, its group and all.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::bounds::{Bounds, Share};

/// Maps of callers: so that two seldom want the same one.
const SHARDS: usize = 16;
/// Callers in one map, from which on those are forgotten that hold nothing.
const FORGET_FROM: usize = 1024;
/// How long who waits for what others hold looks away: only its own caller's releases wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long there may be no room for an answer before a caller makes do with what it has in any case.
const ANY_CASE_AFTER: Duration = Duration::from_millis(250);
/// How much a body may grow when it is understood: short texts in lists take the most.
const WORK_FACTOR: usize = 4;

/// Kinds of calls. What one kind holds, the others do not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whose token is being looked up: it is not one that was seen lately.
    Stranger,
    /// Waits for a place of that kind.
    Waiting,
    /// Has no token that holds, or needs none, and is being answered.
    Open,
    /// A user's.
    User,
    /// A processor waits for work or chunks.
    Poll,
    /// A processor reports of its leases, or hands them back.
    Report,
    /// A processor hands in results.
    Result,
    /// A processor says something of itself or its engines.
    Offer,
}

const KINDS: usize = 8;
/// Places, bodies and eldest bodies by kind, answers, and what is worked on.
const ROOMS: usize = WORKED_ON + 2;
const BODIES: usize = KINDS;
const ELDEST: usize = 2 * KINDS;
const ANSWERS: usize = 3 * KINDS;
/// Bodies that are worked on, of users and of processors.
const WORKED_ON: usize = ANSWERS + 1;

type Held = [AtomicUsize; ROOMS];

/// Everybody for whom something is held.
#[derive(Debug)]
pub(crate) struct Callers {
    shares: [Share; ROOMS],
    room_wait: Duration,
    hashes: RandomState,
    accounts: [Mutex<HashMap<u64, Arc<Account>>>; SHARDS],
    groups: Mutex<HashMap<u64, Arc<Held>>>,
    all: Arc<Held>,
}

/// What counts as one address: of version 6, a whole network.
pub(crate) fn network(address: IpAddr) -> u128 {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => u128::from(u32::from(v4)),
            None => u128::from(v6) >> 64 << 64,
        },
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
    }
}

/// One caller.
#[derive(Debug)]
pub(crate) struct Account {
    number: u64,
    shares: [Share; ROOMS],
    held: Held,
    group: Arc<Held>,
    all: Arc<Held>,
    /// Some bytes are free.
    released: Notify,
    /// A stranger's place is free: for one of those who wait, or each release would wake all of them.
    freed: Notify,
    /// Of each kind, the body that may go beyond what the others share.
    eldest: [Arc<Semaphore>; KINDS],
}

impl Callers {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let (waiting, results) = (bounds.strangers, bounds.reports);
        let [users, polls, reports, offers] = [bounds.users, bounds.polls, bounds.reports, bounds.offers];
        let places = [bounds.strangers, waiting, bounds.open, users, polls, reports, results, offers];
        let shares = std::array::from_fn(|room| match room {
            room if room < BODIES => places[room],
            room if room < ELDEST => bounds.bodies,
            room if room < ANSWERS => bounds.eldest_bodies,
            ANSWERS => bounds.answers,
            _ => bounds.worked_on,
        });
        Self {
            shares,
            room_wait: bounds.room_wait,
            hashes: RandomState::new(),
            accounts: std::array::from_fn(|_| Mutex::default()),
            groups: Mutex::default(),
            all: Arc::default(),
        }
    }

    /// The account of a token.
    pub(crate) fn of_token(&self, token: &str, group: impl Hash) -> Arc<Account> {
        self.account(("token", token), ("group", group))
    }

    /// The account of whoever comes from an address. A whole network of version 6 is one caller.
    pub(crate) fn of_address(&self, address: IpAddr) -> Arc<Account> {
        let address = network(address);
        self.account(("address", address), ("address", address))
    }

    fn account(&self, caller: impl Hash, group: impl Hash) -> Arc<Account> {
        // The number that it has in this process; which one nobody can foresee.
        let number = self.hashes.hash_one(caller);
        let mut accounts = self.accounts[number as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&number) {
            return Arc::clone(account);
        }
        if accounts.len() >= FORGET_FROM {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        let account = Arc::new(Account {
            number,
            shares: self.shares,
            held: Held::default(),
            group: self.group(self.hashes.hash_one(group)),
            all: Arc::clone(&self.all),
            released: Notify::new(),
            freed: Notify::new(),
            eldest: std::array::from_fn(|_| Arc::new(Semaphore::new(1))),
        });
        accounts.insert(number, Arc::clone(&account));
        account
    }

    fn group(&self, number: u64) -> Arc<Held> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= FORGET_FROM * SHARDS {
            groups.retain(|_, held| Arc::strong_count(held) > 1);
        }
        Arc::clone(groups.entry(number).or_default())
    }

    /// Room for an answer of so many bytes at most, once there is some; none if that takes too long. More than a caller may hold
    /// counts as all that it may.
    pub(crate) async fn answer(&self, account: &Arc<Account>, bytes: usize) -> Option<Permit> {
        let bytes = bytes.min(self.shares[ANSWERS].caller);
        account.wait(ANSWERS, bytes, Instant::now() + self.room_wait).await
    }

    /// The same if there is room now.
    pub(crate) fn answer_now(&self, account: &Arc<Account>, bytes: usize) -> Option<Permit> {
        account.answer(bytes.min(self.shares[ANSWERS].caller))
    }

    /// The same, but where others hold too much, only what a caller has in any case: what they do not read costs it a moment.
    pub(crate) async fn answer_in_any_case(&self, account: &Arc<Account>, bytes: usize) -> Option<Permit> {
        let share = self.shares[ANSWERS];
        let soon = Instant::now() + ANY_CASE_AFTER.min(self.room_wait);
        match account.wait(ANSWERS, bytes.min(share.caller), soon).await {
            Some(room) => Some(room),
            None => self.answer(account, bytes.min(share.always)).await,
        }
    }

    /// The same if there is room now.
    pub(crate) fn answer_in_any_case_now(&self, account: &Arc<Account>, bytes: usize) -> Option<Permit> {
        self.answer_now(account, bytes).or_else(|| self.answer_now(account, bytes.min(self.shares[ANSWERS].always)))
    }

    /// Whether an answer of so many bytes would have room now.
    pub(crate) fn has_room_for_answer(&self, account: &Account, bytes: usize) -> bool {
        let share = self.shares[ANSWERS];
        let bytes = bytes.min(share.caller);
        let fits = |held: &Held, most| held[ANSWERS].load(Ordering::Acquire).saturating_add(bytes) <= most;
        fits(&account.held, share.caller) && fits(&account.group, share.group) && fits(&account.all, share.all)
    }

    /// Room for a body that comes.
    pub(crate) fn body(&self, account: &Arc<Account>, kind: Kind) -> BodyRoom {
        BodyRoom {
            shared: Permit { account: Arc::clone(account), room: BODIES + kind as usize, held: 0 },
            beyond: Permit { account: Arc::clone(account), room: ELDEST + kind as usize, held: 0 },
            kind,
            wait: self.room_wait,
            eldest: None,
        }
    }

    /// A turn to work on a body of so many bytes, once there is one; none if that takes too long.
    pub(crate) async fn work(&self, account: &Arc<Account>, kind: Kind, bytes: usize) -> Option<Permit> {
        let of_processors = !matches!(kind, Kind::Stranger | Kind::Waiting | Kind::Open | Kind::User);
        let room = WORKED_ON + usize::from(of_processors);
        let bytes = bytes.saturating_mul(WORK_FACTOR).min(self.shares[room].caller);
        account.wait(room, bytes, Instant::now() + self.room_wait).await
    }
}

impl Account {
    /// A number that no other caller has.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A place for a request, if there is one.
    pub(crate) fn place(self: &Arc<Self>, kind: Kind) -> Option<Permit> {
        self.take(kind as usize, 1).then(|| Permit { account: Arc::clone(self), room: kind as usize, held: 1 })
    }

    /// A place to have a token looked up, once there is one; none if that takes too long, or too many wait for one already.
    pub(crate) async fn place_within(self: &Arc<Self>, wait: Duration) -> Option<Permit> {
        if let Some(place) = self.place(Kind::Stranger) {
            return Some(place);
        }
        let _waiting = self.place(Kind::Waiting)?;
        self.wait(Kind::Stranger as usize, 1, Instant::now() + wait).await
    }

    /// Room for an answer that is there already, if there is some.
    pub(crate) fn answer(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        self.take(ANSWERS, bytes).then(|| Permit { account: Arc::clone(self), room: ANSWERS, held: bytes })
    }

    async fn wait(self: &Arc<Self>, room: usize, count: usize, deadline: Instant) -> Option<Permit> {
        loop {
            let released = self.told(room).notified();
            if self.take(room, count) {
                return Some(Permit { account: Arc::clone(self), room, held: count });
            }
            if Instant::now() >= deadline {
                return None;
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), released).await;
        }
    }

    fn take(&self, room: usize, count: usize) -> bool {
        let share = self.shares[room];
        let Some(own) = add(&self.held[room], count, share.caller) else { return false };
        let within = own <= share.always;
        if add(&self.group[room], count, if within { usize::MAX } else { share.group }).is_some() {
            if add(&self.all[room], count, if within { usize::MAX } else { share.all }).is_some() {
                return true;
            }
            self.group[room].fetch_sub(count, Ordering::AcqRel);
        }
        self.held[room].fetch_sub(count, Ordering::AcqRel);
        false
    }

    fn release(&self, room: usize, count: usize) {
        if count == 0 {
            return;
        }
        for held in [&self.held, &*self.group, &*self.all] {
            held[room].fetch_sub(count, Ordering::AcqRel);
        }
        if room == Kind::Stranger as usize {
            self.freed.notify_one();
        } else if room >= BODIES {
            self.released.notify_waiters();
        }
    }

    /// Who waits for this room is told here.
    fn told(&self, room: usize) -> &Notify {
        if room == Kind::Stranger as usize { &self.freed } else { &self.released }
    }
}

/// Adds as long as the sum stays within `most`; answers the sum.
fn add(held: &AtomicUsize, count: usize, most: usize) -> Option<usize> {
    let sum = |held: usize| held.checked_add(count).filter(|sum| *sum <= most);
    held.fetch_update(Ordering::AcqRel, Ordering::Acquire, sum).ok().map(|before| before + count)
}

/// What is held for a caller, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    account: Arc<Account>,
    room: usize,
    held: usize,
}

impl Permit {
    /// How much of it there is.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Makes it what it turned out to be: that is there, whether there was room for all of it or not.
    pub(crate) fn set(&mut self, held: usize) {
        match held.checked_sub(self.held) {
            Some(more) => {
                for held in [&self.account.held, &*self.account.group, &*self.account.all] {
                    held[self.room].fetch_add(more, Ordering::AcqRel);
                }
            }
            None => self.account.release(self.room, self.held - held),
        }
        self.held = held;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.account.release(self.room, self.held);
    }
}

/// Room for one body, which grows with it.
#[derive(Debug)]
pub(crate) struct BodyRoom {
    shared: Permit,
    /// What it took as its caller's eldest.
    beyond: Permit,
    kind: Kind,
    wait: Duration,
    eldest: Option<OwnedSemaphorePermit>,
}

impl BodyRoom {
    /// Makes it so large, waiting for room if it has to. Where a caller's bodies take all that they may, its eldest goes on beyond that:
    /// or many that have come half way would wait for each other. False: there was none for too long.
    pub(crate) async fn grow(&mut self, to: usize) -> bool {
        let deadline = Instant::now() + self.wait;
        let account = Arc::clone(&self.shared.account);
        loop {
            let released = account.released.notified();
            if self.grow_now(to) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), released).await;
        }
    }

    /// The same if there is room now.
    pub(crate) fn grow_now(&mut self, to: usize) -> bool {
        let more = to.saturating_sub(self.shared.held + self.beyond.held);
        if more == 0 {
            return true;
        }
        let account = &self.shared.account;
        if account.take(self.shared.room, more) {
            self.shared.held += more;
            return true;
        }
        if self.eldest.is_none() {
            self.eldest = Arc::clone(&account.eldest[self.kind as usize]).try_acquire_owned().ok();
        }
        let is_taken = self.eldest.is_some() && account.take(self.beyond.room, more);
        self.beyond.held += if is_taken { more } else { 0 };
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn callers(share: Share) -> Callers {
        let bounds = Bounds {
            users: share,
            bodies: share,
            answers: share,
            eldest_bodies: Share { caller: 10, group: 10, all: 10, always: 0 },
            room_wait: Duration::from_millis(100),
            ..Bounds::default()
        };
        Callers::new(&bounds)
    }

    const SHARE: Share = Share { caller: 4, group: 6, all: 8, always: 1 };

    fn fill(account: &Arc<Account>) -> Vec<Permit> {
        std::iter::from_fn(|| account.place(Kind::User)).collect()
    }

    #[test]
    fn neither_one_caller_nor_one_organisation_takes_all() {
        let callers = callers(SHARE);
        let first = fill(&callers.of_token("a", 1));
        assert_eq!(first.len(), 4);
        assert_eq!(fill(&callers.of_token("b", 1)).len(), 2, "its organisation has six");
        let second: Vec<_> = ["b", "c"].iter().flat_map(|token| fill(&callers.of_token(token, 1))).collect();
        assert_eq!(second.len(), 3, "and each of its tokens one in any case");
        assert_eq!(fill(&callers.of_token("d", 2)).len(), 1, "where all is taken, as well");
        drop(first);
        assert_eq!(fill(&callers.of_token("d", 2)).len(), 4);
        drop(second);
        assert_eq!(fill(&callers.of_token("a", 1)).len(), 4);
    }

    #[test]
    fn kinds_have_room_of_their_own() {
        let callers = callers(SHARE);
        let account = callers.of_token("a", 1);
        let _held = fill(&account);
        assert!(account.place(Kind::Report).is_some());
        assert!(account.answer(4).is_some());
        assert!(account.answer(5).is_none());
    }

    #[tokio::test]
    async fn bodies_that_fill_all_the_room_do_not_wait_for_each_other() {
        let callers = callers(SHARE);
        let account = callers.of_token("a", 1);
        let (mut one, mut other) = (callers.body(&account, Kind::User), callers.body(&account, Kind::User));
        assert!(one.grow(2).await && other.grow(2).await);
        assert!(one.grow(12).await, "the eldest goes on");
        assert!(!other.grow(3).await, "the other waits in vain");
        drop(one);
        assert!(other.grow(12).await, "until it is the eldest");
        drop(other);
        assert!(account.held.iter().all(|held| held.load(Ordering::Relaxed) == 0));
    }

    #[tokio::test]
    async fn so_many_wait_to_be_looked_up_and_one_goes_on_when_a_place_is_free() {
        let share = Share { always: 0, ..SHARE };
        let callers = Callers::new(&Bounds { strangers: share, ..Bounds::default() });
        let account = callers.of_address(Ipv4Addr::LOCALHOST.into());
        let mut places = Vec::new();
        for _ in 0..share.caller {
            places.push(account.place_within(Duration::ZERO).await.unwrap());
        }
        let ask = || {
            tokio::spawn({
                let account = Arc::clone(&account);
                async move { account.place_within(Duration::from_secs(20)).await }
            })
        };
        let mut waiting: Vec<_> = (0..share.caller).map(|_| ask()).collect();
        while account.held[Kind::Waiting as usize].load(Ordering::Relaxed) < share.caller {
            tokio::task::yield_now().await;
        }
        assert!(ask().await.unwrap().is_none(), "one more is refused at once");
        places.pop();
        let (_place, index, _) = futures::future::select_all(&mut waiting).await;
        assert!(waiting.iter().enumerate().all(|(other, waits)| other == index || !waits.is_finished()));
    }

    #[tokio::test]
    async fn one_callers_large_bodies_leave_others_their_turns() {
        let share = Share { caller: 4 << 20, group: 6 << 20, all: 8 << 20, always: 1 << 20 };
        let bounds = Bounds { worked_on: share, room_wait: Duration::from_millis(100), ..Bounds::default() };
        let callers = Callers::new(&bounds);
        let (one, colleague) = (callers.of_token("a", 1), callers.of_token("b", 1));
        let other = callers.of_token("c", 2);
        let _turn = callers.work(&one, Kind::User, 16 << 20).await.expect("the largest has its turn");
        assert!(callers.work(&one, Kind::User, 256 << 10).await.is_none());
        assert!(callers.work(&one, Kind::Result, 16 << 20).await.is_some(), "processors have turns of their own");
        assert!(callers.work(&colleague, Kind::User, 1 << 20).await.is_none());
        assert!(callers.work(&colleague, Kind::User, 256 << 10).await.is_some());
        assert!(callers.work(&other, Kind::User, 1 << 20).await.is_some());
    }

    #[test]
    fn one_network_is_one_stranger() {
        let callers = callers(SHARE);
        let of = |text: &str| callers.of_address(text.parse().unwrap()).number();
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }
}
