//! Results that their uploader could not fetch or check when it read their events: kept, and given again.

use std::collections::{BTreeSet, HashMap, HashSet};

use filemill_api::limits::{MAX_FETCHED, MAX_SPAN_JOBS, MAX_UNFETCHED};
use filemill_api::{ErrorBody, FetchRequest, ResultKey};

use super::batched;
use super::events::sealed;
use super::handle::Queue;
use super::outcomes::RESULTS;
use super::types::{Fetched, FoundResult, Position};
use crate::accounts::Caller;
use crate::refusal::{from_store, is_hex, not_found, shown, too_many};
use crate::store::StoreError;
use crate::store::queue::{ResultAt, ResultRow};

impl Queue {
    /// Gives the caller results of its own again, each by itself, and keeps them until it says that it has fetched them, though it has
    /// read on. Those that are said to be fetched are kept no longer than others. Marks no event as taken in.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many. For one: `not_found`: there is no such result of the caller's, or none any more.
    pub async fn fetch(
        &self,
        caller: &Caller,
        position: Position,
        request: &FetchRequest,
    ) -> Result<Fetched, ErrorBody> {
        for (what, count) in [("results", request.want.len()), ("fetched results", request.fetched.len())] {
            if count > MAX_FETCHED {
                return Err(too_many(what, MAX_FETCHED));
            }
        }
        let found = async {
            if !self.knows(caller, position).await? {
                return Ok(None);
            }
            let (want, fetched) =
                (self.places(caller, &request.want).await?, self.places(caller, &request.fetched).await?);
            let rows =
                |places: &Places| places.values().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
            let (keep, forget) = (rows(&want), rows(&fetched));
            if !keep.is_empty() || !forget.is_empty() {
                let _turn = self.core().members_writing.pass(caller.member).await;
                let mut tx = self.core().store.begin().await?;
                if !forget.is_empty() {
                    tx.forget_unfetched(caller.member, &forget).await?;
                }
                if !keep.is_empty() {
                    tx.keep_unfetched(caller.member, &keep, MAX_UNFETCHED as i64).await?;
                }
                tx.commit().await?;
            }
            let rows =
                if keep.is_empty() { Vec::new() } else { self.core().store.results(caller.member, &keep).await? };
            Ok(Some((want, rows)))
        };
        let found = found.await.map_err(|error: StoreError| from_store("find results", &error))?;
        let Some((places, rows)) = found else {
            return Ok(Fetched { reset: true, ..Fetched::default() });
        };
        let rows: HashMap<_, _> = rows.into_iter().map(|row| ((row.number, row.idx), row)).collect();
        let mut given = HashSet::new();
        let results = request.want.iter().map(|key| {
            let gone = || {
                not_found(
                    format!("there is no result of job {} of upload `{}`", key.job, shown(&key.upload)),
                    "results are kept for a time only: send the file again",
                )
            };
            // The same one twice is answered once.
            let place = places.get(key).filter(|_| given.insert(key));
            let row = place.and_then(|place| rows.get(place)).ok_or_else(gone)?;
            give(row.clone()).map_err(|error| from_store("read results", &error))
        });
        Ok(Fetched { results: results.collect(), reset: false })
    }

    /// Where these results are, as far as they are there and the caller's.
    async fn places(&self, caller: &Caller, wanted: &[ResultKey]) -> Result<Places, StoreError> {
        let names: BTreeSet<_> =
            wanted.iter().filter(|key| is_hex(&key.upload, 32)).map(|key| (key.upload.as_str(), key.job)).collect();
        if names.is_empty() {
            return Ok(Places::new());
        }
        let names: Vec<_> = names.into_iter().collect();
        let rows = self.core().store.results_at(caller.member, &names, MAX_SPAN_JOBS).await?;
        Ok(rows.into_iter().filter_map(place).collect())
    }
}

/// Which row has a job's result: number of the upload, and first job.
type Places = HashMap<ResultKey, (i64, i64)>;

/// The place, if the row has the job's result.
fn place(row: ResultAt) -> Option<(ResultKey, (i64, i64))> {
    let (job, first) = (u32::try_from(row.job).ok()?, u32::try_from(row.idx).ok()?);
    let has = match row.jobs.as_deref() {
        None => job == first,
        jobs => batched::read(first, RESULTS, jobs)?.iter().any(|one| one.job == job),
    };
    has.then_some((ResultKey { upload: row.upload, job }, (row.number, row.idx)))
}

fn give(row: ResultRow) -> Result<FoundResult, StoreError> {
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::from(sqlx::Error::Decode(error));
    let first = u32::try_from(row.idx).map_err(|error| fault(error.into()))?;
    let jobs = batched::read(first, &row.kind, row.jobs.as_deref());
    Ok(FoundResult {
        jobs: jobs.ok_or_else(|| fault("a result's jobs are not written as this server writes them".into()))?,
        sealed: sealed(&row.upload, first, row.fence, row.body, (row.object_length, row.object_sha256))?,
        kept: row.kept,
    })
}
