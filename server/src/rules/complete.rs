//! Completing jobs, many in one transaction: one visible result for each, under the fence that holds it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use filemill_api::limits::{
    MAX_COMPLETIONS, MAX_INLINE_RESULT_BYTES, MAX_LEASES_PER_REQUEST, MAX_RESULT_BYTES, MAX_RUN_FILES,
    MAX_WANTED_CHUNKS,
};
use filemill_api::{
    Complete, CompleteAnswer, CompleteRequest, Completed, ErrorBody, Item, Outcome, ResultUrlRequest, SealedBody,
};

use super::combine::{self, Combined};
use super::record::{Happening, record};
use super::refusal::{bad_request, fenced, from_store, is_hex, shown, too_many};
use super::rest::{Locked, check_node};
use super::{Core, Object, Rules, masks, outcomes};
use crate::storage::ObjectKey;
use crate::store::{StoreError, Tx, lo_of, upload_of};

impl Rules {
    /// Records results under their leases, each lease by itself. One that was recorded under the same lease before is
    /// recorded.
    ///
    /// # Errors
    /// For the whole `bad_request`: too many; `unavailable`: too many results of the pool wait to be written. For a lease: `bad_request`,
    /// and then nothing of it is recorded; `fenced`: it is not held in the caller's `own` pool.
    pub async fn complete(&self, own: &str, request: CompleteRequest) -> Result<CompleteAnswer, ErrorBody> {
        check_node(&request.node)?;
        if request.leases.len() > MAX_LEASES_PER_REQUEST {
            return Err(too_many("leases", MAX_LEASES_PER_REQUEST));
        }
        let jobs: usize = request.leases.iter().map(|lease| lease.jobs.len()).sum();
        if jobs > MAX_COMPLETIONS {
            return Err(too_many("completed jobs", MAX_COMPLETIONS));
        }
        if request.leases.is_empty() {
            return Ok(CompleteAnswer { leases: Vec::new() });
        }
        self.hear(own, &request.node);
        let refusals: Vec<_> = request.leases.iter().map(|lease| check(lease).err()).collect();
        let pool: Arc<str> = own.into();
        let accepted = request.leases.into_iter().zip(&refusals).filter(|(_, no)| no.is_none());
        let asks = accepted.map(|(complete, _)| CompleteAsk { pool: Arc::clone(&pool), complete }).collect();
        let owner = combine::owner_of_node(own, &request.node);
        let mut done = self.inner.completing.ask(owner, asks).await?.into_iter();
        let leases = refusals
            .into_iter()
            .map(|refusal| match refusal {
                Some(refusal) => Item::Error(refusal),
                None => done.next().unwrap_or_else(|| Err(super::refusal::unavailable())).into(),
            })
            .collect();
        Ok(CompleteAnswer { leases })
    }

    /// Where large results go, each by itself.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many. For one: `bad_request`; `fenced`: its lease is not held in the caller's `own` pool.
    pub async fn result_urls(
        &self,
        own: &str,
        request: ResultUrlRequest,
    ) -> Result<Vec<Result<Object, ErrorBody>>, ErrorBody> {
        if request.results.len() > MAX_WANTED_CHUNKS {
            return Err(too_many("results", MAX_WANTED_CHUNKS));
        }
        let leases: BTreeSet<_> = request.results.iter().map(|want| (want.lease.run, want.lease.fence)).collect();
        let held: HashMap<_, _> = self
            .core()
            .store
            .held(own, &leases.into_iter().collect::<Vec<_>>())
            .await
            .map_err(|error| from_store("result urls", &error))?
            .into_iter()
            .map(|(run, fence, upload)| ((run, fence), upload))
            .collect();
        Ok(request
            .results
            .into_iter()
            .map(|want| {
                check_result(want.index, want.length, &want.sha256)?;
                let upload = held
                    .get(&(want.lease.run, want.lease.fence))
                    .ok_or_else(|| fenced(want.lease.run, want.lease.fence))?;
                check_index(want.lease.run, want.index)?;
                Ok(Object {
                    key: super::open::key(ObjectKey::result(upload, want.index, want.lease.fence, &want.sha256))?,
                    length: want.length,
                    sha256: want.sha256,
                })
            })
            .collect())
    }
}

fn check(lease: &Complete) -> Result<(), ErrorBody> {
    let mut seen = BTreeSet::new();
    for job in &lease.jobs {
        check_index(lease.lease.run, job.index)?;
        if !seen.insert(job.index) {
            return Err(bad_request(format!("job {} is completed twice in one request", job.index)));
        }
        if outcomes::code(job.outcome).is_none() || job.outcome == Outcome::Quarantined {
            return Err(bad_request(format!("job {} has an outcome that no processor may give", job.index)));
        }
        match &job.sealed {
            Some(SealedBody::Inline(body)) if body.0.len() > MAX_INLINE_RESULT_BYTES => {
                return Err(ErrorBody {
                    hint: Some("ask for a URL and store it".to_owned()),
                    ..bad_request(format!(
                        "the result of job {} is {} bytes long, inline it may be {MAX_INLINE_RESULT_BYTES}",
                        job.index,
                        body.0.len()
                    ))
                });
            }
            Some(SealedBody::Object { length, sha256 }) => check_result(job.index, *length, sha256)?,
            Some(SealedBody::Inline(_)) | None => {}
        }
    }
    Ok(())
}

fn check_index(run: i64, index: u32) -> Result<(), ErrorBody> {
    if masks::bit(lo_of(run), index).is_some() {
        return Ok(());
    }
    Err(bad_request(format!("job {index} is not one of the {MAX_RUN_FILES} that run `{run}` may hold")))
}

fn check_result(index: u32, length: u64, sha256: &str) -> Result<(), ErrorBody> {
    if length == 0 || length > MAX_RESULT_BYTES {
        return Err(bad_request(format!(
            "the result of job {index} is {length} bytes long, it has to be 1 to {MAX_RESULT_BYTES}"
        )));
    }
    if !is_hex(sha256, 64) {
        return Err(bad_request(format!(
            "sha256 `{}` of the result of job {index} is not 64 lower-case hex characters",
            shown(sha256)
        )));
    }
    Ok(())
}

/// What a node did of one lease.
pub(super) struct CompleteAsk {
    pool: Arc<str>,
    complete: Complete,
}

/// Completes what many nodes did.
pub(super) struct Completing(pub(super) Arc<Core>);

impl Combined for Completing {
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

fn happening<'a>(
    complete: &'a Complete,
    job: &'a filemill_api::Completion,
    upload: &'a crate::store::UploadRow,
) -> Happening<'a> {
    let (body, object) = match &job.sealed {
        Some(SealedBody::Inline(body)) => (Some(body.0.as_slice()), None),
        Some(SealedBody::Object { length, sha256 }) => (None, Some((*length, sha256.as_str()))),
        None => (None, None),
    };
    Happening {
        upload,
        index: Some(job.index),
        // The check let no other through.
        kind: outcomes::code(job.outcome).unwrap_or("host_failed"),
        fence: complete.lease.fence,
        body,
        object,
    }
}
