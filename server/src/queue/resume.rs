//! Runs that rested because what they need was missing again and again.

use super::core::Core;
use super::requeue::{Locked, unheld_state};
use super::waking::Waking;
use crate::retry::retried;
use crate::store::StoreError;
use crate::store::queue::RunState;

/// Runs that go on in one transaction.
const BATCH: i64 = 256;

impl Core {
    /// Lets runs go on that have rested long enough. True: there may be more.
    pub(crate) async fn resume(&self) -> Result<bool, StoreError> {
        let due = self.store.due_runs(BATCH).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let (waking, resumed) = retried(|| self.resume_runs(&due)).await?;
        self.wake_leasing(waking);
        Ok(resumed as i64 == BATCH)
    }

    async fn resume_runs(&self, due: &[(i64,)]) -> Result<(Waking, usize), StoreError> {
        let mut tx = self.store.begin().await?;
        let locked = Locked::take(&mut tx, due.iter().map(|&(id,)| id)).await?;
        let mut waking = Waking::default();
        let mut announced = Vec::new();
        for run in locked.runs.values().filter(|run| run.state() == RunState::WAITING && !run.paused) {
            let Some(upload) = locked.uploads.get(&run.upload) else { continue };
            let patient = run.patient || run.alone;
            let state = unheld_state(upload.header_stored, upload.prefix, run.first_chunk, run.last_chunk, patient);
            if state != RunState::WAITING {
                waking.add(upload, run.needs, run.vstart);
            }
            // One whose chunks are not there waits for them as any other.
            announced.push((run.id, state.0, run.vstart));
        }
        if !announced.is_empty() {
            tx.announce_runs(&announced).await?;
        }
        tx.commit().await?;
        Ok((waking, announced.len()))
    }
}
