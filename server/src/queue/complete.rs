//! Completing jobs, many in one transaction: one visible result for each, under the fence that holds it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use filemill_api::limits::{
    MAX_COMPLETIONS, MAX_INLINE_RESULT_BYTES, MAX_LEASES_PER_REQUEST, MAX_RESULT_BYTES, MAX_SPAN_JOBS,
    MAX_WANTED_CHUNKS,
};
use filemill_api::{
    Complete, CompleteAnswer, CompleteRequest, ErrorBody, Item, JobOutcome, ResultUrlRequest, SealedBody,
};

use super::batch::CompleteAsk;
use super::handle::Queue;
use super::upload::key;
use super::{coalesce, masks};
use crate::refusal::{bad_request, check_node, fenced, from_store, is_hex, shown, too_many, unavailable};
use crate::storage::{Object, ObjectKey};
use crate::store::queue::lo_of;

impl Queue {
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
        let jobs: usize = request.leases.iter().flat_map(|lease| &lease.results).map(|result| result.jobs.len()).sum();
        if jobs > MAX_COMPLETIONS {
            return Err(too_many("completed jobs", MAX_COMPLETIONS));
        }
        if request.leases.is_empty() {
            return Ok(CompleteAnswer { leases: Vec::new() });
        }
        self.core().catalog.spoke(own, &request.node);
        let refusals: Vec<_> = request.leases.iter().map(|lease| check(lease).err()).collect();
        let pool: Arc<str> = own.into();
        let accepted = request.leases.into_iter().zip(&refusals).filter(|(_, no)| no.is_none());
        let asks = accepted.map(|(complete, _)| CompleteAsk { pool: Arc::clone(&pool), complete }).collect();
        let owner = coalesce::owner_of_node(own, &request.node);
        let mut done = self.inner.completing.ask(owner, asks).await?.into_iter();
        let leases = refusals
            .into_iter()
            .map(|refusal| match refusal {
                Some(refusal) => Item::Error(refusal),
                None => done.next().unwrap_or_else(|| Err(unavailable())).into(),
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
        let leases: BTreeSet<_> = request.results.iter().map(|want| (want.lease.span, want.lease.fence)).collect();
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
                check_result(want.job, want.length, &want.sha256)?;
                let upload = held
                    .get(&(want.lease.span, want.lease.fence))
                    .ok_or_else(|| fenced(want.lease.span, want.lease.fence))?;
                check_job(want.lease.span, want.job)?;
                Ok(Object {
                    key: key(ObjectKey::result(upload, want.job, want.lease.fence, &want.sha256))?,
                    length: want.length,
                    sha256: want.sha256,
                })
            })
            .collect())
    }
}

fn check(lease: &Complete) -> Result<(), ErrorBody> {
    let mut seen = BTreeSet::new();
    for result in &lease.results {
        let Some(first) = result.jobs.first() else {
            return Err(bad_request("a result answers no job"));
        };
        if !result.jobs.is_sorted_by_key(|one| one.job) {
            return Err(bad_request(format!(
                "the jobs of the result that begins with job {} do not ascend",
                first.job
            )));
        }
        for JobOutcome { job, outcome } in &result.jobs {
            check_job(lease.lease.span, *job)?;
            if !seen.insert(*job) {
                return Err(bad_request(format!("job {job} is completed twice in one request")));
            }
            if !outcome.by_processor() {
                return Err(bad_request(format!("job {job} has an outcome that no processor may give")));
            }
        }
        match &result.sealed {
            None if result.jobs.len() > 1 => {
                return Err(bad_request(format!("the result of job {} and others brings nothing sealed", first.job)));
            }
            Some(SealedBody::Inline(body)) if body.0.len() > MAX_INLINE_RESULT_BYTES => {
                return Err(ErrorBody {
                    hint: Some("ask for a URL and store it".to_owned()),
                    ..bad_request(format!(
                        "the result of job {} is {} bytes long, inline it may be {MAX_INLINE_RESULT_BYTES}",
                        first.job,
                        body.0.len()
                    ))
                });
            }
            Some(SealedBody::Object { length, sha256 }) => check_result(first.job, *length, sha256)?,
            Some(SealedBody::Inline(_)) | None => {}
        }
    }
    Ok(())
}

fn check_job(span: i64, job: u32) -> Result<(), ErrorBody> {
    if masks::bit(lo_of(span), job).is_some() {
        return Ok(());
    }
    Err(bad_request(format!("job {job} is not one of the {MAX_SPAN_JOBS} that span `{span}` may hold")))
}

fn check_result(job: u32, length: u64, sha256: &str) -> Result<(), ErrorBody> {
    if length == 0 || length > MAX_RESULT_BYTES {
        return Err(bad_request(format!(
            "the result of job {job} is {length} bytes long, it has to be 1 to {MAX_RESULT_BYTES}"
        )));
    }
    if !is_hex(sha256, 64) {
        return Err(bad_request(format!(
            "sha256 `{}` of the result of job {job} is not 64 lower-case hex characters",
            shown(sha256)
        )));
    }
    Ok(())
}
