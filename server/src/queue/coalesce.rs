//! What many callers ask in the same few milliseconds goes into one transaction.
//!
//! Nobody waits for company: a batch is what queued up while the one before it was written. Under load that makes
//! batches as large as commits are slow, and without load a batch of one. It is taken up when its transaction has begun: what is
//! asked while other transactions are written goes along. But a batch ends where it would hold others up: what
//! does not fit waits for the next one, in an order in which organisations and members take turns ([`backlog`]).

mod backlog;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use filemill_api::ErrorBody;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backlog::{Backlog, Batch};
use super::fair_share::Owner;
use crate::accounts::Caller;
use crate::refusal;
use crate::store::StoreError;

/// How often a batch that met a conflict between transactions is tried in all.
const ATTEMPTS: u32 = 3;

/// What can be done for many callers at once.
pub(super) trait Coalesced: Send + Sync + 'static {
    /// One part of what a caller asks, which is never divided between transactions unless [`Coalesced::run`] does.
    type Ask: Send + Sync + 'static;
    /// What it gets.
    type Answer: Send + 'static;
    /// A transaction that has begun.
    type Begun: Send;
    /// For the log.
    const NAME: &'static str;
    /// A batch weighs no more, unless it is a single part.
    const FULL: usize;
    /// How much may weigh what one organisation has queued, where that is not bounded by how many requests it may have under way.
    const MOST_QUEUED: Option<usize> = None;

    /// How much one adds to a batch, and takes of its owner's turn when it is done.
    fn weight(ask: &Self::Ask) -> usize;

    /// What more it took of its owner's turn than its weight, as it turned out.
    fn beyond_weight(_answer: &Self::Answer) -> usize {
        0
    }

    /// Begins a transaction, for which it may have to wait.
    fn begin(&self) -> impl Future<Output = Result<Self::Begun, StoreError>> + Send;

    /// Does it for all, in the one transaction, and answers each in order. It may answer the first ones only: the others, of which it has
    /// done nothing, are asked again when it is their owners' turn. It answers none where it has worked on the first one and not
    /// finished it, which takes a turn. On an error nothing may have happened.
    fn run(
        &self,
        begun: Self::Begun,
        asks: &[Self::Ask],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, StoreError>> + Send;
}

/// Who takes turns with others for what a user asks.
pub(super) fn owner(caller: &Caller) -> Owner {
    Owner { organisation: caller.organisation, member: caller.member }
}

/// Who takes turns with others for what a node asks: a pool is its organisation.
pub(super) fn owner_of_node(pool: &str, node: &str) -> Owner {
    static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let number = |name: &str| HASHES.hash_one(name).cast_signed();
    Owner { organisation: number(pool), member: number(node) }
}

/// The way into one queue.
pub(super) struct Coalescer<C: Coalesced> {
    shared: Arc<Shared<C>>,
}

struct Shared<C: Coalesced> {
    backlog: Mutex<Backlog<C::Ask, C::Answer>>,
    /// Something was asked.
    asked: Notify,
}

impl<C: Coalesced> Shared<C> {
    fn backlog(&self) -> MutexGuard<'_, Backlog<C::Ask, C::Answer>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Coalesced> Coalescer<C> {
    /// Starts the task that works for it, until `stop`; what is queued by then is still done.
    pub(super) fn start(work: C, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let shared = Arc::new(Shared { backlog: Mutex::default(), asked: Notify::new() });
        tracker.spawn(serve(work, Arc::clone(&shared), stop));
        Self { shared }
    }

    /// Asks, and waits for the answers, one for each part. Who drops the future gives up what was not begun: it is forgotten at once,
    /// with all the memory that it took. So there is never more in the queue than what requests ask that are under way.
    ///
    /// # Errors
    /// `unavailable`: the server stops, or the owner's organisation has as much in the queue as it may; and what came of it.
    pub(super) async fn ask(&self, owner: Owner, asks: Vec<C::Ask>) -> Result<Vec<C::Answer>, ErrorBody> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let (weight, most) = match C::MOST_QUEUED {
            Some(most) => (asks.iter().map(C::weight).sum(), most),
            None => (0, usize::MAX),
        };
        let number = self.shared.backlog().add(owner, asks, weight, most, answer)?;
        self.shared.asked.notify_one();
        let _waits = Waits { shared: &self.shared, number };
        answered.await.map_err(|_| refusal::unavailable())?
    }
}

/// A caller that waits for its answers.
struct Waits<'a, C: Coalesced> {
    shared: &'a Shared<C>,
    number: u64,
}

impl<C: Coalesced> Drop for Waits<'_, C> {
    fn drop(&mut self) {
        // Outside of the lock: it may be much.
        let given_up = self.shared.backlog().give_up(self.number);
        drop(given_up);
    }
}

/// However the task ends, nobody waits for it any more.
struct Closes<'a, C: Coalesced>(&'a Shared<C>);

impl<C: Coalesced> Drop for Closes<'_, C> {
    fn drop(&mut self) {
        self.0.backlog().close();
    }
}

async fn serve<C: Coalesced>(work: C, shared: Arc<Shared<C>>, stop: CancellationToken) {
    let _closes = Closes(&shared);
    loop {
        let something = {
            let mut queue = shared.backlog();
            let something = queue.is_waiting();
            if !something && stop.is_cancelled() {
                queue.close();
                return;
            }
            something
        };
        if something {
            let begun = work.begin().await;
            let batch = shared.backlog().take(C::FULL, C::weight);
            // Whoever asked may have given up meanwhile.
            if !batch.asks.is_empty() {
                answer_all(&work, &shared, begun, batch).await;
            }
        } else {
            tokio::select! {
                () = shared.asked.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

async fn answer_all<C: Coalesced>(
    work: &C,
    shared: &Shared<C>,
    begun: Result<C::Begun, StoreError>,
    mut batch: Batch<C::Ask>,
) {
    let mut begun = Some(begun);
    // Where the transactions end, the next one last.
    let (mut begin, mut ends) = (0, vec![batch.asks.len()]);
    while let Some(&end) = ends.last() {
        match attempt(work, begun.take(), &batch.asks[begin..end]).await {
            Ok(done) => {
                let answered = done.len();
                let mut queue = shared.backlog();
                for (&taken, done) in batch.taken[begin..].iter().zip(done) {
                    queue.answer(taken, C::beyond_weight(&done), done);
                }
                if answered == 0 {
                    queue.worked_on(batch.taken[begin]);
                }
                begin += answered;
                if begin < end {
                    break;
                }
                ends.pop();
            }
            Err(error) if end - begin == 1 || error.is_unavailable() => {
                let refusal = refusal::from_store(C::NAME, &error);
                let mut queue = shared.backlog();
                for &taken in &batch.taken[begin..end] {
                    queue.refuse(taken, refusal.clone());
                }
                begin = end;
                ends.pop();
            }
            Err(error) => {
                // One of them breaks the others: it is found by halving, so that many who ask beside it do not wait for a
                // transaction each.
                tracing::warn!(
                    what = C::NAME,
                    asks = end - begin,
                    error = filemill_text::chain(&error),
                    "a batch failed"
                );
                ends.push(begin + (end - begin) / 2);
            }
        }
    }
    shared.backlog().put_back(batch.asks.split_off(begin), &batch.taken[begin..]);
}

/// Does it in the transaction that has begun, if there is one, and in others where that met a conflict.
async fn attempt<C: Coalesced>(
    work: &C,
    mut begun: Option<Result<C::Begun, StoreError>>,
    asks: &[C::Ask],
) -> Result<Vec<C::Answer>, StoreError> {
    let mut attempts = 1;
    loop {
        let begun = match begun.take() {
            Some(begun) => begun,
            None => work.begin().await,
        };
        let done = match begun {
            Ok(begun) => work.run(begun, asks).await,
            Err(error) => Err(error),
        };
        match done {
            Err(error) if error.is_transient() && attempts < ATTEMPTS => attempts += 1,
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
