//! What people read about their uploads, and the reason of every wait.

use std::collections::{BTreeSet, HashMap};

use filemill_api::{ErrorBody, JobStates, StateRange, UploadSummary, Uploads, WaitReason};

use super::handle::Queue;
use super::masks;
use super::upload::state_of;
use crate::accounts::Caller;
use crate::refusal::{from_store, is_hex, no_upload};
use crate::store::StoreError;
use crate::store::queue::{RunState, RunView, UploadRow, lo_of};

/// Uploads listed at once.
const LISTED: i64 = 1000;

impl Queue {
    /// The caller's uploads that are not finished, oldest first, at most 1,000, and only those opened after the one named; that may
    /// have finished meanwhile.
    ///
    /// # Errors
    /// `not_found`: there is no upload to read on after; those of the database.
    pub async fn uploads(&self, caller: &Caller, after: Option<&str>) -> Result<Uploads, ErrorBody> {
        let store = &self.core().store;
        let number = match after {
            None => 0,
            Some(id) => {
                let row = if is_hex(id, 32) { store.upload(caller.member, id).await } else { Ok(None) };
                let row = row.map_err(|error| from_store("uploads", &error))?;
                row.ok_or_else(|| no_upload(id))?.number
            }
        };
        let rows = store.unfinished(caller.member, number, LISTED).await;
        let rows = rows.map_err(|error| from_store("uploads", &error))?;
        let next = rows.last().filter(|_| rows.len() as i64 == LISTED).map(|last| last.id.clone());
        Ok(Uploads { uploads: rows.iter().map(summary).collect(), next })
    }

    /// Each job of the caller's upload that has no result, and why.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn jobs(&self, caller: &Caller, upload: &str) -> Result<JobStates, ErrorBody> {
        if !is_hex(upload, 32) {
            return Err(no_upload(upload));
        }
        let store = &self.core().store;
        let row = store.upload(caller.member, upload).await.map_err(|error| from_store("jobs", &error))?;
        let Some(row) = row else { return Err(no_upload(upload)) };
        let mut runs = store.runs_of(row.number).await.map_err(|error| from_store("jobs", &error))?;
        let lacking = self.lacking(&row.pool, &runs).await.map_err(|error| from_store("jobs", &error))?;
        runs.sort_unstable_by_key(|run| run.id);
        let mut jobs: Vec<_> = runs
            .iter()
            .flat_map(|run| {
                let hi = u32::try_from(run.hi).unwrap_or(0);
                let left = masks::left(lo_of(run.id), hi, run.gone.cast_unsigned());
                let reason = reason(run, &row, &lacking);
                masks::indexes(lo_of(run.id), left).map(move |job| (job, reason.clone()))
            })
            .collect();
        // A suspect that was cut out of its run lies between the jobs of what is left.
        jobs.sort_unstable_by_key(|(job, _)| *job);
        Ok(JobStates { upload: summary(&row), waiting: ranges(jobs) })
    }

    /// By the needs of ready runs, the names that nodes of the pool lack which are there; none, where one of them has all.
    async fn lacking(&self, pool: &str, runs: &[RunView]) -> Result<HashMap<i64, Option<Vec<String>>>, StoreError> {
        let catalog = &self.core().catalog;
        let ready = runs.iter().filter(|run| RunState(run.state) == RunState::READY);
        let needs: BTreeSet<_> = ready.map(|run| run.needs).collect();
        let mut lacking = HashMap::new();
        if needs.is_empty() {
            return Ok(lacking);
        }
        let nodes = catalog.abilities_in(pool).await?;
        for needs in needs {
            let set = catalog.set_of(needs).await?;
            let lacks = match set {
                Some(set) if nodes.iter().any(|node| set.met_by(node)) => None,
                // Where nobody is there it is no matter of names.
                Some(set) if !nodes.is_empty() => Some(set.lacks(&nodes)),
                _ => Some(Vec::new()),
            };
            lacking.insert(needs, lacks);
        }
        Ok(lacking)
    }
}

fn ranges(jobs: Vec<(u32, WaitReason)>) -> Vec<StateRange> {
    let mut ranges: Vec<StateRange> = Vec::new();
    for (job, reason) in jobs {
        match ranges.last_mut() {
            Some(last) if last.first_job + last.count == job && last.reason == reason => last.count += 1,
            _ => ranges.push(StateRange { first_job: job, count: 1, reason }),
        }
    }
    ranges
}

fn summary(row: &UploadRow) -> UploadSummary {
    let narrow = |number: i64| u32::try_from(number).unwrap_or(0);
    UploadSummary {
        id: row.id.clone(),
        state: state_of(row),
        files: narrow(row.files_of_task()),
        tasks: narrow(row.tasks),
        done: narrow(row.done),
        chunks: narrow(row.chunks),
        stored: narrow(row.stored),
    }
}

fn reason(run: &RunView, upload: &UploadRow, lacking: &HashMap<i64, Option<Vec<String>>>) -> WaitReason {
    match RunState(run.state) {
        RunState::LEASED => WaitReason::Running {
            per_mille: u32::try_from(run.per_mille).unwrap_or(0),
            attempt: u32::try_from(run.attempt).unwrap_or(0),
        },
        RunState::READY => match lacking.get(&run.needs) {
            Some(Some(lacks)) => WaitReason::NoProcessor { lacks: lacks.clone() },
            _ => WaitReason::Turn,
        },
        _ if run.paused && upload.header_stored && run.last_chunk < upload.prefix => WaitReason::Turn,
        _ if run.last_chunk >= upload.prefix && upload.prefix < upload.missing_below => WaitReason::ChunksMissing,
        _ => WaitReason::Uploading,
    }
}
