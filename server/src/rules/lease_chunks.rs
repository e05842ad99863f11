//! Chunks under a lease, as they arrive.

use std::time::Duration;

use filemill_api::limits::{MAX_WAIT_MS, MAX_WANTED_CHUNKS};
use filemill_api::{ChunksRequest, ErrorBody};
use tokio::time::{Instant, timeout_at};

use super::refusal::{bad_request, fenced, from_store};
use super::{Object, Rules};
use crate::storage::ObjectKey;
use crate::store::upload_of;

/// How often a waiting request looks for what came through another server.
const BACKSTOP: Duration = Duration::from_secs(1);

impl Rules {
    /// The stored chunks from the one asked for on, without a gap. Waits for the first of them; none came in time:
    /// empty.
    ///
    /// # Errors
    /// `fenced`: the lease is not held in the caller's `own` pool; `bad_request`: the chunk lies beyond it.
    pub async fn lease_chunks(&self, own: &str, request: ChunksRequest) -> Result<Vec<(u32, Object)>, ErrorBody> {
        let core = self.core();
        let deadline = Instant::now() + Duration::from_millis(u64::from(request.wait_ms.min(MAX_WAIT_MS)));
        let (run, fence) = (request.lease.run, request.lease.fence);
        let count = i64::from(request.count).clamp(1, MAX_WANTED_CHUNKS as i64);
        let from = i64::from(request.from);
        // Only for a lease that is held: anybody may name a run.
        let mut arrived = None;
        loop {
            let rows = core
                .store
                .lease_chunks(own, run, fence, from, from + count)
                .await
                .map_err(|error| from_store("lease chunks", &error))?;
            let Some((upload, last_chunk, ..)) = rows.first() else {
                return Err(fenced(run, fence));
            };
            if from > *last_chunk {
                return Err(bad_request(format!("chunk {from} lies beyond the lease, which ends with {last_chunk}")));
            }
            let mut chunks = Vec::new();
            for (place, row) in (request.from..).zip(&rows) {
                let (_, _, Some(sequence), Some(length), Some(sha256)) = row else {
                    break;
                };
                if *sequence != i64::from(place) {
                    break;
                }
                let key = super::open::key(ObjectKey::chunk(upload, place, sha256))?;
                let length = u64::try_from(*length).unwrap_or(0);
                chunks.push((place, Object { key, length, sha256: sha256.clone() }));
            }
            if !chunks.is_empty() || Instant::now() >= deadline {
                return Ok(chunks);
            }
            let Some(arrived) = &mut arrived else {
                // What comes before this is seen by looking again.
                arrived = Some(core.chunks.listen(upload_of(run)));
                continue;
            };
            let _woken = timeout_at(deadline.min(Instant::now() + BACKSTOP), arrived.changed()).await;
        }
    }
}
