//! Who is next of those who ask: start-time fair queueing by what is asked, between organisations and between the members of one.
//!
//! A turn is taken by what was done, not by what was taken up: a transaction may do the first parts of a batch only, and whoever
//! is put off for that keeps its place.

use std::collections::{BTreeSet, HashMap, VecDeque};

use filemill_api::{ErrorBody, ErrorCode};
use tokio::sync::oneshot;

use crate::queue::fair_share::{Owner, PoolShares, length};
use crate::refusal;

/// Where the answers to all parts of an ask go.
type Answers<R> = oneshot::Sender<Result<Vec<R>, ErrorBody>>;

/// Parts of asks that are done in one transaction, and what is known of each.
pub(super) struct Batch<A> {
    pub(super) asks: Vec<A>,
    pub(super) taken: Vec<Taken>,
}

/// A part of an ask that was taken up.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    /// The number of the ask that it is of.
    number: u64,
    /// Whose turn it takes, though the ask may be given up meanwhile.
    owner: Owner,
    weight: usize,
}

/// What was asked and is not answered.
pub(super) struct Backlog<A, R> {
    shares: PoolShares,
    /// The asks of which something is still to be taken up, in the order in which each member asked.
    waiting: HashMap<i64, HashMap<i64, BTreeSet<u64>>>,
    asks: HashMap<u64, Ask<A, R>>,
    /// How much each organisation's asks weigh, where that is bounded.
    queued: HashMap<i64, usize>,
    /// What parts took beyond their weight; their owners pay for it when the batch is over.
    beyond: Vec<(Owner, usize)>,
    next: u64,
    closed: bool,
}

/// A caller's, of however many parts.
pub(super) struct Ask<A, R> {
    owner: Owner,
    /// Of all parts, where what may be queued is bounded.
    weight: usize,
    /// How many parts there are.
    count: usize,
    /// Those that are still to be taken up.
    parts: VecDeque<A>,
    answers: Vec<R>,
    answer: Answers<R>,
}

impl<A, R> Default for Backlog<A, R> {
    fn default() -> Self {
        Self {
            shares: PoolShares::default(),
            waiting: HashMap::new(),
            asks: HashMap::new(),
            queued: HashMap::new(),
            beyond: Vec::new(),
            next: 0,
            closed: false,
        }
    }
}

impl<A, R> Backlog<A, R> {
    /// Adds what a caller asks, and answers its number. What it weighs counts towards `most`, which an organisation may have queued;
    /// 0: it does not count.
    ///
    /// # Errors
    /// `unavailable`: it is closed, or what the organisation has in it would weigh more than that. One ask alone is never too much.
    pub(super) fn add(
        &mut self,
        owner: Owner,
        asks: Vec<A>,
        weight: usize,
        most: usize,
        answer: Answers<R>,
    ) -> Result<u64, ErrorBody> {
        if self.closed {
            return Err(refusal::unavailable());
        }
        if weight > 0 {
            let queued = self.queued.entry(owner.organisation).or_default();
            if *queued > 0 && queued.saturating_add(weight) > most {
                return Err(too_much());
            }
            *queued += weight;
        }
        let number = self.next;
        self.next += 1;
        let count = asks.len();
        let ask = Ask { owner, weight, count, parts: asks.into(), answers: Vec::with_capacity(count), answer };
        self.asks.insert(number, ask);
        self.of(owner).insert(number);
        Ok(number)
    }

    /// Whether something is to be taken up.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes up what is next, up to this weight, or one part that weighs more.
    pub(super) fn take(&mut self, full: usize, weigh: impl Fn(&A) -> usize) -> Batch<A> {
        for (owner, weight) in self.beyond.drain(..) {
            self.shares.charge_more(owner, 1, cost(weight));
        }
        self.shares.compact(|organisation| self.waiting.contains_key(&organisation));
        let mut batch = Batch { asks: Vec::new(), taken: Vec::new() };
        // Where everybody would start next if all of it were done.
        let mut organisations: BTreeSet<_> =
            self.waiting.keys().map(|&id| (self.shares.organisation(id), id)).collect();
        // Of the organisations that fair share puts first.
        let mut members: HashMap<i64, BTreeSet<(i64, i64)>> = HashMap::new();
        let mut whole = 0;
        while let Some(&(start, organisation)) = organisations.first() {
            let members = members.entry(organisation).or_insert_with(|| {
                let waiting = self.waiting.get(&organisation).into_iter().flat_map(HashMap::keys);
                waiting.map(|&member| (self.shares.member(Owner { organisation, member }), member)).collect()
            });
            let Some((within, member)) = members.pop_first() else {
                organisations.pop_first();
                continue;
            };
            let owner = Owner { organisation, member };
            let Some((number, ask)) = self.first_of(owner) else { continue };
            let Some(weight) = ask.parts.front().map(&weigh) else { continue };
            if whole + weight > full && !batch.asks.is_empty() {
                break;
            }
            batch.asks.extend(ask.parts.pop_front());
            batch.taken.push(Taken { number, owner, weight });
            whole += weight;
            if ask.parts.is_empty() {
                self.not_waiting(owner, number);
            }
            let length = length(cost(weight), 1);
            members.insert((within.saturating_add(length), member));
            organisations.pop_first();
            organisations.insert((start.saturating_add(length), organisation));
        }
        batch
    }

    /// Puts back what was taken up and not done, as it was.
    pub(super) fn put_back(&mut self, asks: Vec<A>, taken: &[Taken]) {
        for (part, taken) in asks.into_iter().zip(taken).rev() {
            if let Some(ask) = self.asks.get_mut(&taken.number) {
                ask.parts.push_front(part);
                self.of(taken.owner).insert(taken.number);
            }
        }
    }

    /// Answers the next part of an ask, unless that was given up. It has taken its owner's turn, and so much more than its weight.
    pub(super) fn answer(&mut self, taken: Taken, beyond_weight: usize, answer: R) {
        self.worked_on(taken);
        if beyond_weight > 0 {
            self.beyond.push((taken.owner, beyond_weight));
        }
        let Some(ask) = self.asks.get_mut(&taken.number) else { return };
        ask.answers.push(answer);
        if ask.answers.len() == ask.count
            && let Some(ask) = self.remove(taken.number)
        {
            let _gone = ask.answer.send(Ok(ask.answers));
        }
    }

    /// A part has taken its owner's turn, whatever came of it.
    pub(super) fn worked_on(&mut self, taken: Taken) {
        self.shares.charge(taken.owner, 1, cost(taken.weight));
    }

    /// Refuses an ask for what came of one of its parts; what is not done of it is forgotten.
    pub(super) fn refuse(&mut self, taken: Taken, refusal: ErrorBody) {
        self.worked_on(taken);
        if let Some(ask) = self.give_up(taken.number) {
            let _gone = ask.answer.send(Err(refusal));
        }
    }

    /// Forgets an ask that is not answered, and hands over what there was of it. However much else waits, that takes no longer.
    pub(super) fn give_up(&mut self, number: u64) -> Option<Ask<A, R>> {
        let ask = self.remove(number)?;
        self.not_waiting(ask.owner, number);
        Some(ask)
    }

    /// How often something was asked.
    #[cfg(test)]
    pub(super) fn asked(&self) -> u64 {
        self.next
    }

    /// Takes nothing more, and forgets what there is.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.asks.clear();
        self.waiting.clear();
        self.queued.clear();
    }

    fn of(&mut self, owner: Owner) -> &mut BTreeSet<u64> {
        self.waiting.entry(owner.organisation).or_default().entry(owner.member).or_default()
    }

    /// The first of its asks of which something is to be taken up.
    fn first_of(&mut self, owner: Owner) -> Option<(u64, &mut Ask<A, R>)> {
        let number = *self.waiting.get(&owner.organisation)?.get(&owner.member)?.first()?;
        Some((number, self.asks.get_mut(&number)?))
    }

    /// Nothing of this ask is to be taken up.
    fn not_waiting(&mut self, owner: Owner, number: u64) {
        let Some(members) = self.waiting.get_mut(&owner.organisation) else { return };
        let Some(asks) = members.get_mut(&owner.member) else { return };
        asks.remove(&number);
        if asks.is_empty() {
            members.remove(&owner.member);
        }
        if members.is_empty() {
            self.waiting.remove(&owner.organisation);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Ask<A, R>> {
        let ask = self.asks.remove(&number)?;
        if let Some(queued) = self.queued.get_mut(&ask.owner.organisation) {
            *queued -= ask.weight;
            if *queued == 0 {
                self.queued.remove(&ask.owner.organisation);
            }
        }
        Some(ask)
    }
}

fn cost(weight: usize) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}

fn too_much() -> ErrorBody {
    ErrorBody {
        code: ErrorCode::Unavailable,
        message: "as much of this pool waits to be written as may".to_owned(),
        hint: Some("wait for the answers that are under way, then ask again".to_owned()),
    }
}
