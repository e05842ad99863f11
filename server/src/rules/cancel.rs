//! Cancelling: what nobody runs ends at once, and who runs the rest is told.

use std::collections::{HashMap, HashSet};

use filemill_api::limits::MAX_UPLOADS_PER_REQUEST;
use filemill_api::{CancelRequest, Cancelled, ErrorBody};

use super::record::{Happening, record};
use super::refusal::{from_store, is_hex, no_upload, too_many};
use super::rest::lock_all_runs;
use super::{Caller, Core, Rules, masks, retried};
use crate::store::{RunState, StoreError, Tx, UploadRow};

/// Jobs that one transaction may end, unless a single upload has more: an organisation's events wait for it.
const BATCH_JOBS: i64 = 8192;

impl Rules {
    /// Cancels the jobs of the caller's uploads that have no result yet, and answers for each upload how many ended
    /// now. Leased jobs end when their node hears of it, or its lease ends.
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
        let mut counts = HashMap::new();
        for batch in batches(mine.values()) {
            let ended = retried(|| core.cancel(&batch)).await.map_err(|error| from_store("cancel", &error))?;
            counts.extend(ended);
        }
        let answer = |id: &String| {
            let row = mine.get(id).ok_or_else(|| no_upload(id))?;
            Ok(counts.get(&row.number).copied().unwrap_or(0))
        };
        Ok(Cancelled { uploads: request.uploads.iter().map(|id| answer(id).into()).collect() })
    }
}

/// Uploads in groups that one transaction can end.
fn batches<'a>(uploads: impl Iterator<Item = &'a UploadRow>) -> Vec<Vec<(i64,)>> {
    let mut batches: Vec<Vec<(i64,)>> = Vec::new();
    let mut jobs = BATCH_JOBS;
    for upload in uploads {
        jobs += upload.files - upload.done;
        match batches.last_mut() {
            Some(batch) if jobs <= BATCH_JOBS => batch.push((upload.number,)),
            _ => {
                batches.push(vec![(upload.number,)]);
                jobs = upload.files - upload.done;
            }
        }
    }
    batches
}

impl Core {
    /// Cancels uploads in one transaction; answers how many jobs of each ended now.
    pub(super) async fn cancel(&self, numbers: &[(i64,)]) -> Result<HashMap<i64, u32>, StoreError> {
        let mut tx = self.store.begin().await?;
        let uploads: Vec<_> =
            tx.lock_uploads(numbers).await?.into_iter().filter(|row| row.finished_at.is_none()).collect();
        let numbers: Vec<_> = uploads.iter().map(|row| (row.number,)).collect();
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        tx.mark_cancelled(&numbers).await?;
        let rows: HashMap<_, _> = uploads.iter().map(|row| (row.number, row)).collect();
        let (mut delete, mut tell) = (Vec::new(), Vec::new());
        let mut happenings = Vec::new();
        let mut counts = HashMap::new();
        for run in lock_all_runs(&mut tx, &numbers).await? {
            let Some(upload) = rows.get(&run.upload) else { continue };
            if run.state() == RunState::LEASED {
                tell.push((run.id,));
                continue;
            }
            delete.push((run.id,));
            let left = masks::left(run.lo(), run.hi(), run.gone());
            *counts.entry(run.upload).or_default() += left.count_ones();
            let ends = masks::indexes(run.lo(), left);
            happenings.extend(ends.map(|index| Happening::verdict(upload, index, "cancelled", run.fence)));
        }
        let told = end(&mut tx, &delete, &tell, &happenings).await?;
        tx.commit().await?;
        self.events.ring(told);
        Ok(counts)
    }
}

async fn end(
    tx: &mut Tx,
    delete: &[(i64,)],
    tell: &[(i64,)],
    happenings: &[Happening<'_>],
) -> Result<Vec<i64>, StoreError> {
    if !delete.is_empty() {
        tx.delete_runs(delete).await?;
    }
    if !tell.is_empty() {
        tx.cancel_runs(tell).await?;
    }
    record(tx, happenings).await
}
