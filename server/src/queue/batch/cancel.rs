//! Cancelling in steps, a transaction each, between which others have their turns: each job that ends is an event of its own, which a
//! few bytes of a request can ask for millions of. Whoever gives up leaves the rest as it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use filemill_api::Outcome;

use crate::queue::coalesce::Coalesced;
use crate::queue::core::Core;
use crate::queue::masks;
use crate::queue::record::{Happening, record};
use crate::retry::retried;
use crate::store::queue::{RunState, UploadRow};
use crate::store::{StoreError, Tx};

/// Jobs after which a step ends, and runs that it reads at once.
const STEP_JOBS: u32 = 2048;
const STEP_RUNS: i64 = 1024;
/// What an upload adds to a step beside its jobs, in jobs.
const UPLOAD_COST: usize = 16;

/// One of a caller's uploads.
pub(in crate::queue) struct CancelAsk {
    upload: i64,
    /// Without a result, when it was asked for.
    jobs: usize,
    /// Jobs that ended in the steps so far.
    ended: AtomicU32,
}

impl CancelAsk {
    pub(in crate::queue) fn of(row: &UploadRow) -> Self {
        let jobs = usize::try_from(row.files - row.done).unwrap_or(0);
        Self { upload: row.number, jobs, ended: AtomicU32::new(0) }
    }
}

/// Cancels what many callers ask; answers each upload's number and how many of its jobs ended.
pub(in crate::queue) struct Cancelling(pub(in crate::queue) Arc<Core>);

impl Coalesced for Cancelling {
    type Ask = CancelAsk;
    type Answer = (i64, u32);
    type Begun = Tx;
    const NAME: &'static str = "cancel uploads";
    const FULL: usize = STEP_JOBS as usize;

    fn weight(ask: &CancelAsk) -> usize {
        UPLOAD_COST + ask.jobs.min(Self::FULL)
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, tx: Tx, asks: &[CancelAsk]) -> Result<Vec<(i64, u32)>, StoreError> {
        let mut step = self.0.cancel_some(tx, &asks.iter().map(|ask| (ask.upload,)).collect::<Vec<_>>()).await?;
        for ask in asks {
            // Of two requests for one upload, the first tells of them.
            ask.ended.fetch_add(step.ended.remove(&ask.upload).unwrap_or(0), Ordering::Relaxed);
        }
        let whole = asks.iter().take_while(|ask| step.is_whole(ask.upload));
        Ok(whole.map(|ask| (ask.upload, ask.ended.load(Ordering::Relaxed))).collect())
    }
}

/// What one step did.
struct Step {
    /// Jobs of each upload that ended.
    ended: HashMap<i64, u32>,
    /// The first upload of which something is left.
    goes_on_at: Option<i64>,
}

impl Step {
    fn is_whole(&self, upload: i64) -> bool {
        self.goes_on_at.is_none_or(|first| upload < first)
    }
}

impl Core {
    /// One step of cancelling an upload, a transaction. True: something is left of it.
    pub(crate) async fn cancel_step(&self, upload: i64) -> Result<bool, StoreError> {
        let uploads = [(upload,)];
        Ok(retried(|| async { self.cancel_some(self.store.begin().await?, &uploads).await })
            .await?
            .goes_on_at
            .is_some())
    }

    /// The same for several uploads at once.
    async fn cancel_some(&self, mut tx: Tx, uploads: &[(i64,)]) -> Result<Step, StoreError> {
        let rows = tx.lock_uploads(uploads).await?;
        let rows: HashMap<_, _> =
            rows.iter().filter(|row| row.finished_at.is_none()).map(|row| (row.number, row)).collect();
        let mut numbers: Vec<_> = rows.keys().map(|&number| (number,)).collect();
        let mut step = Step { ended: HashMap::new(), goes_on_at: None };
        if numbers.is_empty() {
            return Ok(step);
        }
        let mut happenings = Vec::new();
        let mut jobs = 0;
        // Leasing does not lock uploads: while this waits for a run, its rest may be cut off into a row that the waiting
        // statement does not see. It looks again until there is nothing left.
        loop {
            let left = tx.lock_runs_of(&numbers, STEP_RUNS).await?;
            if jobs >= STEP_JOBS {
                step.goes_on_at = left.first().map(|run| run.upload);
            }
            if left.is_empty() || step.goes_on_at.is_some() {
                break;
            }
            let (mut delete, mut tell) = (Vec::new(), Vec::new());
            for run in left {
                let Some(upload) = rows.get(&run.upload).filter(|_| jobs < STEP_JOBS) else { break };
                if run.state() == RunState::LEASED {
                    tell.push((run.id,));
                    continue;
                }
                delete.push((run.id,));
                let left = masks::left(run.lo(), run.hi(), run.gone());
                jobs += left.count_ones();
                *step.ended.entry(run.upload).or_default() += left.count_ones();
                let ends = masks::indexes(run.lo(), left);
                happenings.extend(ends.map(|index| Happening::verdict(upload, index, Outcome::Cancelled, run.fence)));
            }
            if !delete.is_empty() {
                tx.delete_runs(&delete).await?;
            }
            if !tell.is_empty() {
                tx.cancel_runs(&tell).await?;
            }
        }
        // Not before: what is marked is not taken up again if this ends half-way.
        numbers.retain(|&(number,)| step.is_whole(number));
        if !numbers.is_empty() {
            tx.mark_cancelled(&numbers).await?;
        }
        let told = record(&mut tx, &happenings).await?;
        tx.commit().await?;
        self.events.ring(told);
        Ok(step)
    }
}
