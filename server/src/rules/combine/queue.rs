//! Who is next of those who ask: start-time fair queueing by what is asked, between organisations and between the members of one.

use std::collections::{BTreeSet, HashMap, VecDeque};

use filemill_api::ErrorBody;
use tokio::sync::oneshot;

use crate::rules::turns::{Owner, PoolTurns};

/// Where the answers to all parts of an ask go.
type Answers<R> = oneshot::Sender<Result<Vec<R>, ErrorBody>>;

/// An ask that is not done: where its answers would have gone, and its parts with its number.
type GivenUp<A, R> = (Answers<R>, VecDeque<(u64, A)>);

/// Parts of asks that are done in one transaction, and the number of the ask that each is of.
pub(super) struct Batch<A> {
    pub(super) asks: Vec<A>,
    pub(super) numbers: Vec<u64>,
}

/// What was asked and is not answered.
pub(super) struct Queue<A, R> {
    turns: PoolTurns,
    /// What is to be done, in the order in which each member asked for it.
    waiting: HashMap<i64, HashMap<i64, VecDeque<(u64, A)>>>,
    asks: HashMap<u64, Ask<R>>,
    next: u64,
    closed: bool,
}

/// A caller's, of however many parts.
struct Ask<R> {
    owner: Owner,
    parts: usize,
    answers: Vec<R>,
    answer: Answers<R>,
}

impl<A, R> Default for Queue<A, R> {
    fn default() -> Self {
        Self { turns: PoolTurns::default(), waiting: HashMap::new(), asks: HashMap::new(), next: 0, closed: false }
    }
}

impl<A, R> Queue<A, R> {
    /// Adds what a caller asks, and answers its number; none once it is closed.
    pub(super) fn add(&mut self, owner: Owner, asks: Vec<A>, answer: Answers<R>) -> Option<u64> {
        if self.closed {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let parts = asks.len();
        self.asks.insert(number, Ask { owner, parts, answers: Vec::with_capacity(parts), answer });
        self.of(owner).extend(asks.into_iter().map(|ask| (number, ask)));
        Some(number)
    }

    /// Takes what is next, up to this weight, or one part that weighs more.
    pub(super) fn take(&mut self, full: usize, weigh: impl Fn(&A) -> usize) -> Batch<A> {
        let (mut asks, mut numbers) = (Vec::new(), Vec::new());
        self.turns.compact(|organisation| self.waiting.contains_key(&organisation));
        let mut organisations: BTreeSet<_> = self.waiting.keys().map(|&id| (self.turns.organisation(id), id)).collect();
        // Of the organisations whose turn has come.
        let mut members: HashMap<i64, BTreeSet<(i64, i64)>> = HashMap::new();
        let mut weight = 0;
        while let Some(&(_, organisation)) = organisations.first() {
            let members = members.entry(organisation).or_insert_with(|| {
                let waiting = self.waiting.get(&organisation).into_iter().flat_map(HashMap::keys);
                waiting.map(|&member| (self.turns.member(Owner { organisation, member }), member)).collect()
            });
            let Some((_, member)) = members.pop_first() else {
                organisations.pop_first();
                continue;
            };
            let owner = Owner { organisation, member };
            let waiting = self.of(owner);
            let Some(more) = waiting.front().map(|(_, ask)| weigh(ask)) else { continue };
            if weight + more > full && !asks.is_empty() {
                break;
            }
            if let Some((number, ask)) = waiting.pop_front() {
                asks.push(ask);
                numbers.push(number);
            }
            weight += more;
            self.charge(owner, more);
            members.insert((self.turns.member(owner), member));
            organisations.pop_first();
            organisations.insert((self.turns.organisation(organisation), organisation));
        }
        self.waiting.retain(|_, members| {
            members.retain(|_, waiting| !waiting.is_empty());
            !members.is_empty()
        });
        Batch { asks, numbers }
    }

    /// Puts back what was taken and not done, as it was.
    pub(super) fn put_back(&mut self, asks: Vec<A>, numbers: &[u64]) {
        for (ask, &number) in asks.into_iter().zip(numbers).rev() {
            if let Some(owner) = self.asks.get(&number).map(|ask| ask.owner) {
                self.of(owner).push_front((number, ask));
            }
        }
    }

    /// Answers the next part of an ask, unless it was given up; it took so much more than its weight.
    pub(super) fn answer(&mut self, number: u64, beyond_weight: usize, answer: R) {
        let Some(ask) = self.asks.get_mut(&number) else { return };
        ask.answers.push(answer);
        let (owner, whole) = (ask.owner, ask.answers.len() == ask.parts);
        if beyond_weight > 0 {
            self.charge(owner, beyond_weight);
        }
        if whole && let Some(ask) = self.asks.remove(&number) {
            let _gone = ask.answer.send(Ok(ask.answers));
        }
    }

    /// Refuses an ask; what is not done of it is forgotten.
    pub(super) fn refuse(&mut self, number: u64, refusal: ErrorBody) {
        if let Some((ask, _)) = self.give_up(number) {
            let _gone = ask.send(Err(refusal));
        }
    }

    /// Forgets an ask that is not answered, and hands over what there was of it.
    pub(super) fn give_up(&mut self, number: u64) -> Option<GivenUp<A, R>> {
        let ask = self.asks.remove(&number)?;
        let waiting = self.of(ask.owner);
        let (parts, others) = std::mem::take(waiting).into_iter().partition(|(of, _)| *of == number);
        *waiting = others;
        Some((ask.answer, parts))
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
    }

    fn of(&mut self, owner: Owner) -> &mut VecDeque<(u64, A)> {
        self.waiting.entry(owner.organisation).or_default().entry(owner.member).or_default()
    }

    fn charge(&mut self, owner: Owner, weight: usize) {
        self.turns.charge(owner, 1, i64::try_from(weight).unwrap_or(i64::MAX));
    }
}
