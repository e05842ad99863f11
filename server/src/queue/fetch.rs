//! Results that their uploader could not fetch or check when it read their events: kept, and given again.

use std::collections::HashMap;

use filemill_api::limits::{MAX_FETCHED, MAX_UNFETCHED};
use filemill_api::{ErrorBody, FetchRequest, Outcome, ResultKey};

use super::events::sealed;
use super::handle::Queue;
use super::types::{Fetched, FoundResult, Position};
use crate::accounts::Caller;
use crate::refusal::{from_store, is_hex, not_found, shown, too_many};
use crate::store::StoreError;
use crate::store::queue::ResultRow;

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
            let (want, fetched) = (keys(&request.want), keys(&request.fetched));
            if !want.is_empty() || !fetched.is_empty() {
                let _turn = self.core().members_writing.pass(caller.member).await;
                let mut tx = self.core().store.begin().await?;
                if !fetched.is_empty() {
                    tx.forget_unfetched(caller.member, &fetched).await?;
                }
                if !want.is_empty() {
                    tx.keep_unfetched(caller.member, &want, MAX_UNFETCHED as i64).await?;
                }
                tx.commit().await?;
            }
            if want.is_empty() {
                return Ok(Some(Vec::new()));
            }
            self.core().store.results(caller.member, &want).await.map(Some)
        };
        let found = found.await.map_err(|error: StoreError| from_store("find results", &error))?;
        let Some(found) = found else {
            return Ok(Fetched { reset: true, ..Fetched::default() });
        };
        let mut found: HashMap<_, _> = found.into_iter().map(|row| ((row.upload.clone(), row.idx), row)).collect();
        let results = request.want.iter().map(|key| {
            let gone = || {
                not_found(
                    format!("there is no result of file {} of upload `{}`", key.index, shown(&key.upload)),
                    "results are kept for a time only: send the file again",
                )
            };
            let row = found.remove(&(key.upload.clone(), i64::from(key.index))).ok_or_else(gone)?;
            give(row, key.index).map_err(|error| from_store("read results", &error))
        });
        Ok(Fetched { results: results.collect(), reset: false })
    }
}

/// Those that can be names of results; the same one once.
fn keys(keys: &[ResultKey]) -> Vec<(&str, u32)> {
    let mut keys: Vec<_> =
        keys.iter().filter(|key| is_hex(&key.upload, 32)).map(|key| (key.upload.as_str(), key.index)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn give(row: ResultRow, index: u32) -> Result<FoundResult, StoreError> {
    let object = (row.object_length, row.object_sha256);
    Ok(FoundResult {
        outcome: Outcome::from_code(&row.kind),
        sealed: sealed(&row.upload, index, row.fence, row.body, object)?,
        kept: row.kept,
    })
}
