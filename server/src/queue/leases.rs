//! What nodes ask of the leasing task, and the chunks under a lease, as they arrive.

use std::time::Duration;

use filemill_api::limits::{MAX_LEASED_JOBS, MAX_WAIT_MS, MAX_WANTED_CHUNKS};
use filemill_api::{ChunksRequest, ErrorBody, LeaseRequest};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::handle::Queue;
use super::lease::{LeaseAsk, NodeClass, Wish};
use super::types::Leased;
use super::upload::key;
use crate::catalog::{Abilities, shorten};
use crate::refusal::{bad_request, check_node, check_pool, fenced, from_store, own_pool, too_many_nodes, unavailable};
use crate::storage::{Object, ObjectKey};
use crate::store::queue::upload_of;

/// How often a waiting request looks for what came through another server.
const BACKSTOP: Duration = Duration::from_secs(1);

impl Queue {
    /// Leases work for a node, and waits for some up to `wait_ms`. None came in time: no uploads. Complete uploads go
    /// first; incomplete ones only into idle slots. A node that told something once that the database does not have is told so at once. Dropping the future hands back what comes for it later.
    ///
    /// # Errors
    /// `bad_request`; `forbidden`: another pool than the caller's `own`; `over_quota`: the pool has too many nodes; those of the
    /// database.
    pub async fn lease(&self, own: &str, request: LeaseRequest) -> Result<Leased, ErrorBody> {
        check_node(&request.node)?;
        check_pool(Some(&request.pool))?;
        own_pool(own, &request.pool)?;
        let nodes = NodeClass { pool: request.pool, abilities: Abilities::of(&request.abilities)? };
        // Many may wait here for long.
        drop(request.abilities);
        let told = request.told.map(shorten);
        let catalog = &self.core().catalog;
        if !catalog
            .see(&nodes.pool, &request.node, &nodes.abilities)
            .await
            .map_err(|error| from_store("lease", &error))?
        {
            return Err(too_many_nodes(&nodes.pool));
        }
        if let Some(told) = &told {
            let lacks = catalog.lacks(&nodes.pool, &request.node, told).await;
            if let Some(lacks) = lacks.map_err(|error| from_store("look what nodes told", &error))? {
                return Ok(Leased { describe: lacks.describe, lacks: lacks.told, ..self.core().nothing() });
            }
        }
        let jobs = request.max_jobs.min(MAX_LEASED_JOBS);
        let (answer, answered) = oneshot::channel();
        let ask = LeaseAsk {
            nodes,
            wish: Wish { node: request.node, jobs, idle: request.idle_slots.min(jobs) },
            deadline: Instant::now() + Duration::from_millis(u64::from(request.wait_ms.min(MAX_WAIT_MS))),
            answer,
        };
        self.inner.leasing.send(ask).await.map_err(|_| unavailable())?;
        answered.await.map_err(|_| unavailable())?
    }

    /// Hands back what a node of the pool was leased and cannot be told of: nobody has tried to run it.
    pub async fn take_back(&self, pool: &str, leased: &Leased) {
        self.core().take_back(pool, leased).await;
    }

    /// The stored chunks from the one asked for on, without a gap. Waits for the first of them; none came in time:
    /// empty.
    ///
    /// # Errors
    /// `fenced`: the lease is not held in the caller's `own` pool; `bad_request`: the chunk lies beyond it.
    pub async fn lease_chunks(&self, own: &str, request: ChunksRequest) -> Result<Vec<(u32, Object)>, ErrorBody> {
        let core = self.core();
        let deadline = Instant::now() + Duration::from_millis(u64::from(request.wait_ms.min(MAX_WAIT_MS)));
        let (run, fence) = (request.lease.span, request.lease.fence);
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
                let key = key(ObjectKey::chunk(upload, place, sha256))?;
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
