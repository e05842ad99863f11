//! Leases that end by themselves: who is suspected, and who is not.
//!
//! A job that its node had reported as started may have killed it. Which one did is found by leasing each suspect again
//! by itself: only a death while a job ran alone counts, and three end it.

use filemill_api::Outcome;

use super::handle::Maintenance;
use crate::queue::{Happening, Locked, Waking, masks, record, unheld_state};
use crate::store::StoreError;
use crate::store::queue::{Cut, LeaseMark, NewRun, RunRow, UploadRow, run_id};

/// Deaths alone after which a job is not run again.
const DEATHS: i64 = 3;

/// What becomes of one lease.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends<'a> {
    /// The row goes on like this.
    kept: Option<Cut>,
    /// These are cut out of it.
    cut: Vec<NewRun<'a>>,
    /// These jobs get a verdict.
    verdicts: Vec<(u32, Outcome)>,
}

impl Maintenance {
    /// Ends leases that nobody prolonged for too long, if they still stand as they were seen.
    pub(super) async fn expire(&self, over: &[LeaseMark]) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let locked = Locked::take(&mut tx, over.iter().map(|mark| mark.id)).await?;
        let (mut kept, mut cut, mut delete, mut happenings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut waking = Waking::default();
        let mut count = 0;
        for mark in over {
            let Some(run) = locked.runs.get(&mark.id).filter(|run| run.stands_at(mark)) else {
                continue;
            };
            let Some(upload) = locked.uploads.get(&run.upload) else {
                continue;
            };
            count += 1;
            let ends = end(run, upload);
            for vstart in ends.kept.iter().map(|row| row.4).chain(ends.cut.iter().map(|part| part.vstart)) {
                waking.add(upload, run.needs, vstart);
            }
            happenings.extend(
                ends.verdicts.iter().map(|&(index, outcome)| Happening::verdict(upload, index, outcome, run.fence)),
            );
            match ends.kept {
                Some(row) => kept.push(row),
                None => delete.push((run.id,)),
            }
            cut.extend(ends.cut);
        }
        if !kept.is_empty() {
            tx.cut_runs(&kept).await?;
        }
        if !cut.is_empty() {
            tx.insert_runs(&cut).await?;
        }
        if !delete.is_empty() {
            tx.delete_runs(&delete).await?;
        }
        let told = record(&mut tx, &happenings).await?;
        tx.commit().await?;
        if count > 0 {
            tracing::info!(leases = count, "leases ended by themselves");
        }
        self.queue.core().events.ring(told);
        self.queue.core().wake_leasing(waking);
        Ok(())
    }
}

/// Decides what becomes of the jobs of one dead lease.
fn end<'a>(run: &'a RunRow, upload: &UploadRow) -> Ends<'a> {
    let left = masks::left(run.lo(), run.hi(), run.gone());
    let suspects = run.started() & left;
    if run.cancelled {
        return Ends {
            verdicts: masks::indexes(run.lo(), left).map(|i| (i, Outcome::Cancelled)).collect(),
            ..Ends::default()
        };
    }
    let vstart = run.vstart;
    let state = |alone: bool| {
        unheld_state(upload.header_stored, upload.prefix, run.first_chunk, run.last_chunk, run.patient || alone)
    };
    if run.alone {
        let deaths = run.deaths + i64::from(suspects != 0);
        if deaths >= DEATHS {
            let verdicts = masks::indexes(run.lo(), left).map(|index| (index, Outcome::Quarantined)).collect();
            return Ends { verdicts, ..Ends::default() };
        }
        let kept = Some((run.id, run.hi(), run.gone().cast_signed(), state(true).0, vstart, true, deaths));
        return Ends { kept, ..Ends::default() };
    }
    // The row stays with the job it is named after, if that is left; every other part is named after its first job.
    let named_is_suspect = suspects & 1 == 1;
    let innocent = left & !suspects;
    let part = |lo: u32, hi: u32, gone: u64, alone: bool| NewRun {
        upload: run.upload,
        organisation: run.organisation,
        member: upload.member,
        pool: &run.pool,
        needs: run.needs,
        lo,
        hi,
        gone,
        first_chunk: run.first_chunk,
        last_chunk: run.last_chunk,
        state: state(alone),
        patient: run.patient,
        alone,
        deaths: 0,
        missed: run.missed,
        vstart,
        fence: run.fence,
        attempt: run.attempt,
    };
    let mut ends = Ends::default();
    for index in masks::indexes(run.lo(), suspects) {
        if index != run.lo() {
            ends.cut.push(part(index, index + 1, 0, true));
        }
    }
    if named_is_suspect {
        ends.kept = Some((run.id, run.lo() + 1, 0, state(true).0, vstart, true, 0));
        if let Some(lo) = masks::indexes(run.lo(), innocent).next() {
            // Bits count from the part's own first job.
            let gone = !innocent >> (lo - run.lo());
            ends.cut.push(part(lo, run.hi(), gone & masks::span(lo, run.hi()), false));
        }
    } else if innocent != 0 {
        let gone = run.gone() | suspects;
        ends.kept = Some((run.id, run.hi(), gone.cast_signed(), state(false).0, vstart, false, 0));
    }
    debug_assert!(left != 0, "a run without jobs is deleted, not leased");
    debug_assert!(ends.cut.iter().all(|part| run_id(part.upload, part.lo) != run.id));
    ends
}
