//! Completing jobs, many in one transaction: one visible result for each, under the fence that holds it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use filemill_api::{Complete, Completed, Completion, ErrorBody, SealedBody};

use crate::queue::coalesce::Coalesced;
use crate::queue::core::Core;
use crate::queue::masks;
use crate::queue::record::{Happening, record};
use crate::queue::requeue::Locked;
use crate::refusal::fenced;
use crate::store::queue::{UploadRow, lo_of, upload_of};
use crate::store::{StoreError, Tx};

/// What a node did of one lease.
pub(in crate::queue) struct CompleteAsk {
    pub(in crate::queue) pool: Arc<str>,
    pub(in crate::queue) complete: Complete,
}

/// Completes what many nodes did.
pub(in crate::queue) struct Completing(pub(in crate::queue) Arc<Core>);

impl Coalesced for Completing {
    type Ask = CompleteAsk;
    type Answer = Result<Completed, ErrorBody>;
    type Begun = Tx;
    const NAME: &'static str = "complete jobs";
    /// KiB: of sealed results, and a flat part for each job and each lease.
    const FULL: usize = 8 << 10;
    const MOST_QUEUED: Option<usize> = Some(64 << 10);

    fn weight(ask: &CompleteAsk) -> usize {
        let weigh = |sealed: &Option<SealedBody>| match sealed {
            Some(SealedBody::Inline(body)) => 1024 + body.0.len(),
            _ => 1024,
        };
        ask.complete.jobs.iter().map(|job| weigh(&job.sealed)).sum::<usize>() / 1024 + 1
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, mut tx: Tx, asks: &[CompleteAsk]) -> Result<Vec<Self::Answer>, StoreError> {
        let core = &self.0;
        let locked = Locked::take(&mut tx, asks.iter().map(|ask| ask.complete.lease.run)).await?;

        // What each lease completes now, and which of its jobs must have been recorded before.
        let mut gone: HashMap<i64, u64> = locked.runs.values().map(|run| (run.id, run.gone())).collect();
        let mut happenings = Vec::new();
        let mut before = Vec::new();
        for CompleteAsk { pool, complete } in asks {
            let held = locked.held(pool, complete.lease);
            for job in &complete.jobs {
                let bit = masks::bit(lo_of(complete.lease.run), job.index).unwrap_or(0);
                let left = held.and_then(|(run, upload)| {
                    let gone = gone.get_mut(&run.id)?;
                    (masks::left(run.lo(), run.hi(), *gone) & bit != 0).then_some((gone, upload))
                });
                match left {
                    Some((gone, upload)) => {
                        *gone |= bit;
                        happenings.push(happening(complete, job, upload));
                    }
                    None => before.push((upload_of(complete.lease.run), job.index)),
                }
            }
        }
        let recorded: HashMap<(i64, i64), i64> = if before.is_empty() {
            HashMap::new()
        } else {
            tx.result_fences(&before)
                .await?
                .into_iter()
                .map(|(upload, index, fence)| ((upload, index), fence))
                .collect()
        };

        let (mut ended, mut shrunk) = (Vec::new(), Vec::new());
        for run in locked.runs.values() {
            let now = gone.get(&run.id).copied().unwrap_or_default();
            if now != run.gone() {
                match masks::left(run.lo(), run.hi(), now) {
                    0 => ended.push((run.id,)),
                    _ => shrunk.push((run.id, now.cast_signed())),
                }
            }
        }
        if !ended.is_empty() {
            tx.delete_runs(&ended).await?;
        }
        if !shrunk.is_empty() {
            tx.shrink_runs(&shrunk).await?;
        }
        let told = record(&mut tx, &happenings).await?;
        tx.commit().await?;
        core.events.ring(told);

        let now: BTreeSet<_> =
            happenings.iter().map(|one| (one.upload.number, one.index.unwrap_or_default(), one.fence)).collect();
        let answer = |CompleteAsk { pool, complete }: &CompleteAsk| {
            let (run, fence) = (complete.lease.run, complete.lease.fence);
            let upload = upload_of(run);
            let all = complete.jobs.iter().all(|job| {
                now.contains(&(upload, job.index, fence))
                    || recorded.get(&(upload, i64::from(job.index))) == Some(&fence)
            });
            let held = locked.held(pool, complete.lease);
            // What another pool's node completed is nothing to this one.
            let own = locked.uploads.get(&upload).is_some_and(|upload| *upload.pool == **pool);
            if !own || !all || (complete.jobs.is_empty() && held.is_none()) {
                return Err(fenced(run, fence));
            }
            let ended = held.is_none_or(|(run, _)| {
                masks::left(run.lo(), run.hi(), gone.get(&run.id).copied().unwrap_or_default()) == 0
            });
            // Bounded by the check of the request.
            Ok(Completed { recorded: u32::try_from(complete.jobs.len()).unwrap_or(u32::MAX), ended })
        };
        Ok(asks.iter().map(answer).collect())
    }
}

fn happening<'a>(complete: &'a Complete, job: &'a Completion, upload: &'a UploadRow) -> Happening<'a> {
    let (body, object) = match &job.sealed {
        Some(SealedBody::Inline(body)) => (Some(body.0.as_slice()), None),
        Some(SealedBody::Object { length, sha256 }) => (None, Some((*length, sha256.as_str()))),
        None => (None, None),
    };
    Happening { upload, index: Some(job.index), kind: job.outcome.code(), fence: complete.lease.fence, body, object }
}
