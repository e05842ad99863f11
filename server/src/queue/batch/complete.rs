//! Completing jobs, many in one transaction: one visible result for each, under the fence that holds it.

use std::collections::HashMap;
use std::sync::Arc;

use filemill_api::{Complete, Completed, ErrorBody, JobOutcome, SealedBody, SpanResult};

use crate::queue::batched;
use crate::queue::coalesce::Coalesced;
use crate::queue::core::Core;
use crate::queue::masks;
use crate::queue::outcomes::RESULTS;
use crate::queue::record::{Happening, record};
use crate::queue::requeue::Locked;
use crate::refusal::{bad_request, fenced};
use crate::store::queue::{RunRow, UploadRow, lo_of, upload_of};
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
        let weigh = |result: &SpanResult| match &result.sealed {
            Some(SealedBody::Inline(body)) => 1024 + body.0.len(),
            _ => 1024,
        };
        ask.complete.results.iter().map(weigh).sum::<usize>() / 1024 + 1
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, mut tx: Tx, asks: &[CompleteAsk]) -> Result<Vec<Self::Answer>, StoreError> {
        let core = &self.0;
        let locked = Locked::take(&mut tx, asks.iter().map(|ask| ask.complete.lease.span)).await?;

        // What each lease completes now, and which of its jobs must have been recorded before.
        let mut gone: HashMap<i64, u64> = locked.runs.values().map(|run| (run.id, run.gone())).collect();
        let mut happenings = Vec::new();
        let mut before = Vec::new();
        for CompleteAsk { pool, complete } in asks {
            let held = locked.held(pool, complete.lease);
            for result in &complete.results {
                let Some(first) = result.jobs.first() else { continue };
                if held.is_some_and(|(run, _)| is_wrong(core, run, result)) {
                    continue;
                }
                let bits = bits(complete.lease.span, result);
                let left = held.and_then(|(run, upload)| {
                    let gone = gone.get_mut(&run.id)?;
                    (bits != 0 && masks::left(run.lo(), run.hi(), *gone) & bits == bits).then_some((gone, upload))
                });
                match left {
                    Some((gone, upload)) => {
                        *gone |= bits;
                        happenings.push(happening(complete, first, result, upload));
                    }
                    None => before.push((upload_of(complete.lease.span), first.job)),
                }
            }
        }
        // By upload and first job, under which fence, and which others came with it.
        let recorded: HashMap<(i64, i64), (i64, Option<String>)> = if before.is_empty() {
            HashMap::new()
        } else {
            tx.result_fences(&before)
                .await?
                .into_iter()
                .map(|(upload, first, fence, jobs)| ((upload, first), (fence, jobs)))
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

        let now: HashMap<_, _> = happenings
            .iter()
            .map(|one| ((one.upload.number, i64::from(one.job.unwrap_or_default())), (one.fence, one.jobs.clone())))
            .collect();
        let answer = |CompleteAsk { pool, complete }: &CompleteAsk| {
            let (run, fence) = (complete.lease.span, complete.lease.fence);
            let upload = upload_of(run);
            let all = complete.results.iter().all(|result| {
                let first = result.jobs.first().map_or(0, |one| one.job);
                let place = (upload, i64::from(first));
                let same = (fence, batched::written(&result.jobs));
                now.get(&place) == Some(&same) || recorded.get(&place) == Some(&same)
            });
            let held = locked.held(pool, complete.lease);
            if held.is_some_and(|(run, _)| complete.results.iter().any(|result| is_wrong(core, run, result))) {
                return Err(bad_request("the upload's header is of format 1: each job of it has a result of its own"));
            }
            // What another pool's node completed is nothing to this one.
            let own = locked.uploads.get(&upload).is_some_and(|upload| *upload.pool == **pool);
            if !own || !all || (complete.results.is_empty() && held.is_none()) {
                let refused = fenced(run, fence);
                return Err(match held {
                    Some(_) if own => ErrorBody {
                        message: format!(
                            "lease `{run}/{fence}` goes on, but one of these jobs was completed before, and otherwise"
                        ),
                        hint: Some("go on with those of its jobs that are left".to_owned()),
                        ..refused
                    },
                    _ => refused,
                });
            }
            let ended = held.is_none_or(|(run, _)| {
                masks::left(run.lo(), run.hi(), gone.get(&run.id).copied().unwrap_or_default()) == 0
            });
            let jobs: usize = complete.results.iter().map(|result| result.jobs.len()).sum();
            // Bounded by the check of the request.
            Ok(Completed { recorded: u32::try_from(jobs).unwrap_or(u32::MAX), ended })
        };
        Ok(asks.iter().map(answer).collect())
    }
}

/// Whether a result is of several jobs whose results the reader of the header does not expect together.
fn is_wrong(core: &Core, run: &RunRow, result: &SpanResult) -> bool {
    result.jobs.len() > 1 && !core.catalog.is_of_format_2(run.needs)
}

/// The jobs of a result as bits of its span; 0 where one of them is none of the span's.
fn bits(span: i64, result: &SpanResult) -> u64 {
    let add = |mask, one: &JobOutcome| Some(mask | masks::bit(lo_of(span), one.job)?);
    result.jobs.iter().try_fold(0, add).unwrap_or(0)
}

fn happening<'a>(
    complete: &Complete,
    first: &JobOutcome,
    result: &'a SpanResult,
    upload: &'a UploadRow,
) -> Happening<'a> {
    let (body, object) = match &result.sealed {
        Some(SealedBody::Inline(body)) => (Some(body.0.as_slice()), None),
        Some(SealedBody::Object { length, sha256 }) => (None, Some((*length, sha256.as_str()))),
        None => (None, None),
    };
    Happening {
        upload,
        job: Some(first.job),
        // Bounded by the check of the request.
        ends: u32::try_from(result.jobs.len()).unwrap_or(u32::MAX),
        jobs: batched::written(&result.jobs),
        kind: if result.jobs.len() > 1 { RESULTS } else { first.outcome.code() },
        fence: complete.lease.fence,
        body,
        object,
    }
}
