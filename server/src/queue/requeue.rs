//! Requeueing: how leases end without blame, and what a run waits for that nobody holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use filemill_api::{MissingRequest, Outcome, ReturnReason, SpanKey};

use super::core::Core;
use super::masks;
use super::outcomes::CHUNKS_MISSING;
use super::record::{Happening, record};
use super::waking::Waking;
use crate::store::queue::{MAX_PAUSE_MS, Requeued, RunRow, RunState, UploadRow, upload_of};
use crate::store::{StoreError, Tx};

/// Behind how many uploads a run goes that a node could not run for a fault of its own: at the head of its member's work the same
/// node would be given it again at once, and nothing else of it.
const BEHIND: i64 = 64;

/// How long a run rests at least that was missing for the second time; each time more doubles it.
const PAUSE_MS: i64 = 1000;

/// A run that was leased so often and is handed back for a node's fault again is not run any more: if the nodes were at fault,
/// they would have come to themselves meanwhile.
const ATTEMPTS: i64 = 16;

/// The state of a run that nobody holds, from how much of its upload is stored. A patient one waits for all of it; so must
/// one that is to run alone, or a node would stand still beside it while it comes in.
pub(crate) fn unheld_state(
    header_stored: bool,
    prefix: i64,
    first_chunk: i64,
    last_chunk: i64,
    patient: bool,
) -> RunState {
    match () {
        () if header_stored && last_chunk < prefix => RunState::READY,
        () if header_stored && first_chunk < prefix && !patient => RunState::PARTIAL,
        () => RunState::WAITING,
    }
}

/// The runs of some leases and their uploads, all locked.
pub(crate) struct Locked {
    pub(crate) uploads: HashMap<i64, UploadRow>,
    pub(crate) runs: BTreeMap<i64, RunRow>,
}

impl Locked {
    /// Locks uploads, then runs. What is not there is not in it.
    pub(crate) async fn take(tx: &mut Tx, runs: impl Iterator<Item = i64>) -> Result<Self, StoreError> {
        let ids: BTreeSet<i64> = runs.collect();
        let numbers: BTreeSet<i64> = ids.iter().map(|&id| upload_of(id)).collect();
        let uploads = tx.lock_uploads(&numbers.into_iter().map(|number| (number,)).collect::<Vec<_>>()).await?;
        let runs = tx.lock_runs(&ids.into_iter().map(|id| (id,)).collect::<Vec<_>>()).await?;
        Ok(Self {
            uploads: uploads.into_iter().map(|row| (row.number, row)).collect(),
            runs: runs.into_iter().map(|run| (run.id, run)).collect(),
        })
    }

    /// The run, if this lease of the pool's holds it, with its upload.
    pub(crate) fn held(&self, pool: &str, lease: SpanKey) -> Option<(&RunRow, &UploadRow)> {
        let run = self.runs.get(&lease.span).filter(|run| run.held_by(lease.fence) && run.pool == pool)?;
        Some((run, self.uploads.get(&run.upload)?))
    }
}

/// Locks every run of uploads that are locked, without those that are leased and cancelled.
///
/// Leasing does not lock uploads: while this waits for a run, its rest may be cut off into a row that the waiting
/// statement does not see. It looks again until there is nothing new.
async fn lock_all_runs(tx: &mut Tx, uploads: &[(i64,)]) -> Result<Vec<RunRow>, StoreError> {
    let mut known = 0;
    loop {
        let runs = tx.lock_runs_of(uploads, i64::MAX).await?;
        if runs.len() <= known {
            return Ok(runs);
        }
        known = runs.len();
    }
}

/// What ends some leases: runs that rest, and jobs that were cancelled meanwhile or that no node could run.
#[derive(Default)]
struct Ended<'a> {
    requeued: Vec<Requeued>,
    delete: Vec<(i64,)>,
    happenings: Vec<Happening<'a>>,
    waking: Waking,
}

/// Why a lease ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Returned(ReturnReason),
    /// Its node was never told of it.
    Untold,
    /// What it needs was not where it was said to be.
    Missing,
}

/// How long a run rests that was missing so often. The first time may be an accident; whoever says again and again that something
/// is stored which is not has it tried ever more seldom.
fn pause_ms(missed: i64) -> i64 {
    match missed {
        ..=1 => 0,
        // Shifted by no more than the bound needs.
        _ => (PAUSE_MS << (missed - 2).min(16)).min(MAX_PAUSE_MS),
    }
}

impl<'a> Ended<'a> {
    /// Ends one lease without blame, as the upload stands with this prefix.
    fn add(&mut self, run: &RunRow, upload: &'a UploadRow, prefix: i64, why: Why) {
        if run.cancelled {
            let left = masks::left(run.lo(), run.hi(), run.gone());
            let cancelled = masks::indexes(run.lo(), left)
                .map(|index| Happening::verdict(upload, index, Outcome::Cancelled, run.fence));
            self.happenings.extend(cancelled);
            self.delete.push((run.id,));
            return;
        }
        let at_fault = why == Why::Returned(ReturnReason::NodeFault);
        if at_fault && run.attempt >= ATTEMPTS {
            let left = masks::left(run.lo(), run.hi(), run.gone());
            let failed = masks::indexes(run.lo(), left);
            self.happenings
                .extend(failed.map(|index| Happening::verdict(upload, index, Outcome::HostFailed, run.fence)));
            self.delete.push((run.id,));
            return;
        }
        let patient = run.patient || why == Why::Returned(ReturnReason::Stalled);
        let missed = run.missed + i64::from(why == Why::Missing);
        let pause_ms = if why == Why::Missing { pause_ms(missed) } else { 0 };
        let state = match pause_ms {
            0 => unheld_state(upload.header_stored, prefix, run.first_chunk, run.last_chunk, patient || run.alone),
            _ => RunState::WAITING,
        };
        let vstart = run.vstart + if at_fault { BEHIND } else { 0 };
        if state != RunState::WAITING {
            self.waking.add(upload, run.needs, vstart);
        }
        // Nobody tried what stalled.
        let untried = matches!(why, Why::Untold | Why::Returned(ReturnReason::Stalled));
        let attempt = run.attempt - i64::from(untried);
        self.requeued.push((run.id, state.0, vstart, patient, missed, pause_ms, attempt));
    }

    async fn write(&self, tx: &mut Tx) -> Result<Vec<i64>, StoreError> {
        if !self.requeued.is_empty() {
            tx.requeue_runs(&self.requeued).await?;
        }
        if !self.delete.is_empty() {
            tx.delete_runs(&self.delete).await?;
        }
        record(tx, &self.happenings).await
    }
}

impl Core {
    /// Ends leases of the pool's without blame; answers those that were not held.
    pub(super) async fn requeue(&self, pool: &str, leases: &[(SpanKey, Why)]) -> Result<Vec<SpanKey>, StoreError> {
        // What nobody holds any more keeps nobody else from writing.
        let keys: Vec<_> = leases.iter().map(|(lease, _)| (lease.span, lease.fence)).collect();
        let held = self.store.held(pool, &keys).await?;
        if held.is_empty() {
            return Ok(leases.iter().map(|&(lease, _)| lease).collect());
        }
        let mut tx = self.store.begin().await?;
        let locked = Locked::take(&mut tx, held.into_iter().map(|(run, ..)| run)).await?;
        let mut ended = Ended::default();
        let mut lost = Vec::new();
        let mut seen = BTreeSet::new();
        for &(lease, why) in leases {
            match locked.held(pool, lease) {
                Some((run, upload)) => {
                    if seen.insert(run.id) {
                        ended.add(run, upload, upload.prefix, why);
                    }
                }
                None => lost.push(lease),
            }
        }
        let told = ended.write(&mut tx).await?;
        tx.commit().await?;
        self.after(ended, told);
        Ok(lost)
    }

    fn after(&self, ended: Ended<'_>, told: Vec<i64>) {
        self.events.ring(told);
        self.wake_leasing(ended.waking);
    }

    /// Forgets what is missing, and ends the lease that found it so. False: it was not held.
    pub(super) async fn missing(&self, pool: &str, request: &MissingRequest) -> Result<bool, StoreError> {
        let MissingRequest { lease, chunks, header, .. } = request;
        let lease = *lease;
        if self.store.held(pool, &[(lease.span, lease.fence)]).await?.is_empty() {
            return Ok(false);
        }
        let mut tx = self.store.begin().await?;
        let mut locked = Locked::take(&mut tx, std::iter::once(lease.span)).await?;
        let Some((run, upload)) = locked.held(pool, lease) else {
            return Ok(false);
        };
        let (run, number) = (run.clone(), upload.number);
        // A lease speaks for its own chunks only.
        let range = run.first_chunk..=run.last_chunk;
        let named: Vec<_> = chunks
            .iter()
            .map(|(sequence, sha256)| (i64::from(*sequence), sha256.as_str()))
            .filter(|(sequence, _)| range.contains(sequence))
            .collect();
        let mut gone: Vec<i64> =
            tx.withdraw_chunks(number, &named).await?.into_iter().map(|(sequence,)| sequence).collect();
        gone.sort_unstable();
        let prefix = gone.first().map_or(upload.prefix, |first| upload.prefix.min(*first));
        let header_stored = upload.header_stored && !header;
        let something = !gone.is_empty() || header_stored != upload.header_stored;
        let mut waiting = Vec::new();
        if something {
            tx.withdraw(number, header_stored, prefix, gone.len() as i64).await?;
            // Runs that nobody holds wait for the chunks again, those whose own chunks are all there included: they
            // become ready with the prefix, and the chunk that is missing is on its way.
            for other in lock_all_runs(&mut tx, &[(number,)]).await? {
                let state = unheld_state(
                    header_stored,
                    prefix,
                    other.first_chunk,
                    other.last_chunk,
                    other.patient || other.alone,
                );
                if other.id != run.id && other.state() != RunState::LEASED && other.state() != state && !other.paused {
                    waiting.push((other.id, state.0, other.vstart));
                }
            }
        }
        if !waiting.is_empty() {
            tx.announce_runs(&waiting).await?;
        }
        let Some(mut upload) = locked.uploads.remove(&number) else {
            return Ok(false);
        };
        upload.header_stored = header_stored;
        // An event without sequences is about the header.
        let mut bodies = Vec::new();
        if something {
            let missing = still_missing(&mut tx, number, &gone).await?;
            let tell = (!header_stored).then(BTreeSet::new).into_iter().chain((!missing.is_empty()).then_some(missing));
            for sequences in tell {
                let body = serde_json::to_vec(&sequences).map_err(|error| sqlx::Error::Encode(error.into()))?;
                bodies.push(body);
            }
        }
        let mut ended = Ended::default();
        ended.happenings.extend(bodies.iter().map(|body| Happening {
            upload: &upload,
            job: None,
            ends: 0,
            jobs: None,
            kind: CHUNKS_MISSING,
            fence: lease.fence,
            body: Some(body),
            object: None,
        }));
        ended.add(&run, &upload, prefix, Why::Missing);
        let told = ended.write(&mut tx).await?;
        tx.commit().await?;
        self.after(ended, told);
        Ok(true)
    }
}

/// Which chunks of an upload are missing, with those that were told before and are still missing: the event that told of them is
/// taken back for the one that will tell of all. The upload is locked.
async fn still_missing(tx: &mut Tx, upload: i64, gone: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
    let mut missing: BTreeSet<i64> = gone.iter().copied().collect();
    let mut before = BTreeSet::new();
    for (body,) in tx.withdraw_events(upload, CHUNKS_MISSING).await? {
        let sequences: Vec<i64> = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        before.extend(sequences);
    }
    if !before.is_empty() {
        let places: Vec<_> = before.iter().map(|&sequence| (upload, sequence)).collect();
        for chunk in tx.chunks(&places).await? {
            before.remove(&chunk.sequence);
        }
    }
    missing.append(&mut before);
    Ok(missing)
}
