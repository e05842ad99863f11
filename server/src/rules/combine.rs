//! What many callers ask in the same few milliseconds goes into one transaction.
//!
//! Nobody waits for company: a batch is what queued up while the one before it was written. Under load that makes
//! batches as large as commits are slow, and without load a batch of one.

use std::future::Future;
use std::sync::Arc;

use filemill_api::ErrorBody;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::refusal;
use crate::store::StoreError;

/// Callers that wait in a queue before the next one waits outside.
const QUEUE: usize = 1024;
/// How often a batch that met a conflict between transactions is tried in all.
const ATTEMPTS: u32 = 3;

/// What can be done for many callers at once.
pub(super) trait Combined: Send + Sync + 'static {
    /// What one caller asks.
    type Ask: Send + Sync + 'static;
    /// What it gets.
    type Answer: Send + 'static;
    /// For the log.
    const NAME: &'static str;
    /// A batch ends once it weighs this much.
    const FULL: usize;

    /// How much one adds to a batch.
    fn weight(ask: &Self::Ask) -> usize;

    /// Does it for all, in one transaction, and answers each in order. On an error nothing may have happened.
    fn run(&self, asks: &[Self::Ask]) -> impl Future<Output = Result<Vec<Self::Answer>, StoreError>> + Send;
}

type Waiting<C> = (<C as Combined>::Ask, oneshot::Sender<Result<<C as Combined>::Answer, ErrorBody>>);

/// The way into one queue.
pub(super) struct Combiner<C: Combined> {
    queue: mpsc::Sender<Waiting<C>>,
}

impl<C: Combined> Combiner<C> {
    /// Starts the task that works for it, until `stop`; what is queued by then is still done.
    pub(super) fn start(work: C, tracker: &TaskTracker, stop: CancellationToken) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        tracker.spawn(serve(Arc::new(work), asked, stop));
        Self { queue }
    }

    /// Asks, and waits for the answer. Dropping the future does not undo what was asked.
    pub(super) async fn ask(&self, ask: C::Ask) -> Result<C::Answer, ErrorBody> {
        let (answer, answered) = oneshot::channel();
        self.queue.send((ask, answer)).await.map_err(|_| refusal::unavailable())?;
        answered.await.map_err(|_| refusal::unavailable())?
    }
}

async fn serve<C: Combined>(work: Arc<C>, mut asked: mpsc::Receiver<Waiting<C>>, stop: CancellationToken) {
    loop {
        let first = tokio::select! {
            biased;
            first = asked.recv() => first,
            () = stop.cancelled(), if !asked.is_closed() => {
                asked.close();
                continue;
            }
        };
        let Some((ask, answer)) = first else { return };
        let mut weight = C::weight(&ask);
        let (mut asks, mut answers) = (vec![ask], vec![answer]);
        while weight < C::FULL {
            let Ok((ask, answer)) = asked.try_recv() else { break };
            weight += C::weight(&ask);
            asks.push(ask);
            answers.push(answer);
        }
        answer_all(&*work, &asks, answers).await;
    }
}

async fn answer_all<C: Combined>(
    work: &C,
    asks: &[C::Ask],
    answers: Vec<oneshot::Sender<Result<C::Answer, ErrorBody>>>,
) {
    // A caller that has gone is not told; what it asked is done all the same, and its repetition finds it so.
    match attempt(work, asks).await {
        Ok(done) => {
            for (answer, done) in answers.into_iter().zip(done) {
                let _gone = answer.send(Ok(done));
            }
        }
        Err(error) if asks.len() == 1 || error.is_unavailable() => {
            for answer in answers {
                let _gone = answer.send(Err(refusal::from_store(C::NAME, &error)));
            }
        }
        Err(error) => {
            // One of them breaks the others: each by itself.
            tracing::warn!(what = C::NAME, asks = asks.len(), error = filemill_text::chain(&error), "a batch failed");
            for (ask, answer) in asks.iter().zip(answers) {
                let done = attempt(work, std::slice::from_ref(ask)).await;
                let done = match done {
                    Ok(mut done) => done.pop().ok_or_else(refusal::unavailable),
                    Err(error) => Err(refusal::from_store(C::NAME, &error)),
                };
                let _gone = answer.send(done);
            }
        }
    }
}

async fn attempt<C: Combined>(work: &C, asks: &[C::Ask]) -> Result<Vec<C::Answer>, StoreError> {
    let mut attempts = 1;
    loop {
        match work.run(asks).await {
            Err(error) if error.is_transient() && attempts < ATTEMPTS => attempts += 1,
            done => return done,
        }
    }
}
