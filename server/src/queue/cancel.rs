//! Cancelling: what nobody runs ends at once, and who runs the rest is told.
//!
//! Each job that ends is an event of its own, which a few bytes of a request can ask for millions of. So it goes in steps, a
//! transaction each, between which others have their turns; whoever gives up leaves the rest as it is.

use std::collections::{HashMap, HashSet};

use filemill_api::limits::MAX_UPLOADS_PER_REQUEST;
use filemill_api::{CancelRequest, Cancelled, ErrorBody};

use super::batch::CancelAsk;
use super::coalesce;
use super::handle::Queue;
use crate::accounts::Caller;
use crate::refusal::{from_store, is_hex, no_upload, too_many};

impl Queue {
    /// Cancels the jobs of the caller's uploads that have no result yet, and answers for each upload how many ended
    /// now. Leased jobs end when their node hears of it, or its lease ends. An upload counts as cancelled once all of its jobs
    /// have ended or are to: the future may be dropped between.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many. For one: `not_found`.
    pub async fn cancel(&self, caller: &Caller, request: CancelRequest) -> Result<Cancelled, ErrorBody> {
        if request.uploads.len() > MAX_UPLOADS_PER_REQUEST {
            return Err(too_many("uploads", MAX_UPLOADS_PER_REQUEST));
        }
        let core = self.core();
        let ids: HashSet<_> = request.uploads.iter().map(String::as_str).filter(|id| is_hex(id, 32)).collect();
        let mut mine = HashMap::new();
        for id in ids {
            let row = core.store.upload(caller.member, id).await.map_err(|error| from_store("cancel", &error))?;
            if let Some(row) = row {
                mine.insert(row.id.clone(), row);
            }
        }
        let asks = mine.values().map(CancelAsk::of).collect();
        let ended = self.inner.cancelling.ask(coalesce::owner(caller), asks).await?;
        let counts: HashMap<_, _> = ended.into_iter().collect();
        let answer = |id: &String| {
            let row = mine.get(id).ok_or_else(|| no_upload(id))?;
            Ok(counts.get(&row.number).copied().unwrap_or(0))
        };
        Ok(Cancelled { uploads: request.uploads.iter().map(|id| answer(id).into()).collect() })
    }
}
