//! Runs: up to 64 neighbouring jobs a row.

use serde::Serialize;

use super::leases::LeaseMark;
use super::run_state::RunState;
use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// Bits of a run's id that name its first job; the others are its upload's number.
const LO_BITS: u32 = 16;

/// Longest that a run rests. One that is to rest for longer by the database's clock saw that clock jump, and rests no more.
pub(crate) const MAX_PAUSE_MS: i64 = 60_000;

/// The id of the run that is named after job `lo` of an upload.
pub(crate) fn run_id(upload: i64, lo: u32) -> i64 {
    (upload << LO_BITS) | i64::from(lo)
}

/// The upload a run belongs to. Takes any number: a run's id comes from outside.
pub(crate) fn upload_of(run: i64) -> i64 {
    run >> LO_BITS
}

/// The number of the job a run is named after.
pub(crate) fn lo_of(run: i64) -> u32 {
    u32::from(run as u16)
}

/// A run to insert. It travels as a JSON array, in this order of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRun<'a> {
    pub(crate) upload: i64,
    pub(crate) organisation: i64,
    pub(crate) member: i64,
    pub(crate) pool: &'a str,
    pub(crate) needs: i64,
    pub(crate) lo: u32,
    pub(crate) hi: u32,
    pub(crate) gone: u64,
    pub(crate) first_chunk: i64,
    pub(crate) last_chunk: i64,
    pub(crate) state: RunState,
    pub(crate) patient: bool,
    pub(crate) alone: bool,
    pub(crate) deaths: i64,
    pub(crate) missed: i64,
    pub(crate) vstart: i64,
    pub(crate) fence: i64,
    pub(crate) attempt: i64,
}

impl Serialize for NewRun<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            (run_id(self.upload, self.lo), self.upload, self.organisation, self.pool, self.needs),
            (self.hi, self.gone.cast_signed(), self.first_chunk, self.last_chunk, self.state.0),
            (self.patient, self.alone, self.deaths, self.vstart, self.fence, self.attempt, self.member, self.missed),
        )
            .serialize(serializer)
    }
}

/// A run, locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) id: i64,
    pub(crate) upload: i64,
    pub(crate) organisation: i64,
    pub(crate) pool: String,
    pub(crate) needs: i64,
    hi: i64,
    gone: i64,
    started: i64,
    pub(crate) first_chunk: i64,
    pub(crate) last_chunk: i64,
    state: i64,
    pub(crate) patient: bool,
    pub(crate) alone: bool,
    pub(crate) deaths: i64,
    pub(crate) cancelled: bool,
    /// How often its chunks, or the header, were not where they were said to be.
    pub(crate) missed: i64,
    /// It rests, whatever is stored.
    pub(crate) paused: bool,
    pub(crate) vstart: i64,
    pub(crate) fence: i64,
    pub(crate) attempt: i64,
    lease_until: Option<i64>,
}

crate::store::from_row!(RunRow {
    id,
    upload,
    organisation,
    pool,
    needs,
    hi,
    gone,
    started,
    first_chunk,
    last_chunk,
    state,
    patient,
    alone,
    deaths,
    cancelled,
    missed,
    paused,
    vstart,
    fence,
    attempt,
    lease_until
});

impl RunRow {
    /// Number of the job the run is named after.
    pub(crate) fn lo(&self) -> u32 {
        lo_of(self.id)
    }

    /// Number after its last job.
    pub(crate) fn hi(&self) -> u32 {
        u32::try_from(self.hi).unwrap_or(0)
    }

    /// Bits of the jobs that are not in it any more.
    pub(crate) fn gone(&self) -> u64 {
        self.gone.cast_unsigned()
    }

    /// Bits of the jobs that its holder reported as started.
    pub(crate) fn started(&self) -> u64 {
        self.started.cast_unsigned()
    }

    pub(crate) fn state(&self) -> RunState {
        RunState(self.state)
    }

    /// Whether the lease stands as it was seen: it is held, and nobody has reported since.
    pub(crate) fn stands_at(&self, mark: &LeaseMark) -> bool {
        self.held_by(mark.fence) && self.lease_until == Some(mark.lease_until)
    }

    /// Whether this claim holds it.
    pub(crate) fn held_by(&self, fence: i64) -> bool {
        self.state() == RunState::LEASED && self.fence == fence
    }
}

/// A run that may become ready or partial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingRun {
    pub(crate) id: i64,
    pub(crate) upload: i64,
    pub(crate) needs: i64,
    pub(crate) first_chunk: i64,
    pub(crate) last_chunk: i64,
    state: i64,
    pub(crate) patient: bool,
    pub(crate) alone: bool,
    pub(crate) vstart: i64,
}

crate::store::from_row!(WaitingRun { id, upload, needs, first_chunk, last_chunk, state, patient, alone, vstart });

impl WaitingRun {
    pub(crate) fn state(&self) -> RunState {
        RunState(self.state)
    }
}

/// A run that rests again after a lease: id, state, vstart, patient, how often it was missed, for how long it rests at
/// least, in milliseconds (0: not at all), and how often it was tried.
pub(crate) type Requeued = (i64, i64, i64, bool, i64, i64, i64);

/// A run of which another part was cut off: id, end, gone, state, vstart, alone, deaths.
pub(crate) type Cut = (i64, u32, i64, i64, i64, bool, i64);

impl Tx {
    pub(crate) async fn insert_runs(&mut self, runs: &[NewRun<'_>]) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into runs (id, upload, organisation, pool, needs, hi, gone, first_chunk, last_chunk, state, patient,
                 alone, deaths, vstart, fence, attempt, member, missed)
             select cast(e.value -> 0 ->> 0 as bigint), cast(e.value -> 0 ->> 1 as bigint),
                 cast(e.value -> 0 ->> 2 as bigint), e.value -> 0 ->> 3, cast(e.value -> 0 ->> 4 as bigint),
                 cast(e.value -> 1 ->> 0 as bigint), cast(e.value -> 1 ->> 1 as bigint),
                 cast(e.value -> 1 ->> 2 as bigint), cast(e.value -> 1 ->> 3 as bigint),
                 cast(e.value -> 1 ->> 4 as bigint), cast(e.value -> 2 ->> 0 as boolean),
                 cast(e.value -> 2 ->> 1 as boolean), cast(e.value -> 2 ->> 2 as bigint),
                 cast(e.value -> 2 ->> 3 as bigint), cast(e.value -> 2 ->> 4 as bigint),
                 cast(e.value -> 2 ->> 5 as bigint), cast(e.value -> 2 ->> 6 as bigint),
                 cast(e.value -> 2 ->> 7 as bigint)
             from {rows $1}",
            json(runs)?
        )?;
        Ok(())
    }

    /// Locks runs by id. Their uploads are locked already.
    pub(crate) async fn lock_runs(&mut self, ids: &[(i64,)]) -> Result<Vec<RunRow>, StoreError> {
        Ok(rows!(
            self,
            RunRow,
            "select id, upload, organisation, pool, needs, hi, gone, started, first_chunk, last_chunk, state, patient,
                 alone, deaths, cancelled, missed,
                 coalesce(due_at > {now} and due_at <= {now} + $2, false) as paused, vstart, fence, attempt, lease_until
             from runs where id in (select cast(e.value ->> 0 as bigint) from {rows $1}) order by id {lock}",
            json(ids)?,
            MAX_PAUSE_MS
        )?)
    }

    /// Locks the runs of these uploads, which are locked already, in order of their ids: at most so many, and none that is leased
    /// and cancelled.
    pub(crate) async fn lock_runs_of(&mut self, uploads: &[(i64,)], limit: i64) -> Result<Vec<RunRow>, StoreError> {
        let ranges: Vec<(i64, i64)> = uploads.iter().map(|&(n,)| (run_id(n, 0), run_id(n + 1, 0))).collect();
        Ok(rows!(
            self,
            RunRow,
            "select r.id, r.upload, r.organisation, r.pool, r.needs, r.hi, r.gone, r.started, r.first_chunk,
                 r.last_chunk, r.state, r.patient, r.alone, r.deaths, r.cancelled, r.missed,
                 coalesce(r.due_at > {now} and r.due_at <= {now} + $2, false) as paused, r.vstart, r.fence, r.attempt,
                 r.lease_until
             from {rows $1} join runs r
                 on r.id >= cast(e.value ->> 0 as bigint) and r.id < cast(e.value ->> 1 as bigint)
             where r.state < 3 or not r.cancelled
             order by r.id limit $3 {lock}",
            json(&ranges)?,
            MAX_PAUSE_MS,
            limit
        )?)
    }

    /// Locks the unleased, not yet ready runs that begin before a chunk: (upload, chunk) each. Not those that rest.
    pub(crate) async fn lock_waiting(&mut self, prefixes: &[(i64, i64)]) -> Result<Vec<WaitingRun>, StoreError> {
        Ok(rows!(
            self,
            WaitingRun,
            "select r.id, r.upload, r.needs, r.first_chunk, r.last_chunk, r.state, r.patient, r.alone, r.vstart
             from {rows $1} join runs r
                 on r.upload = cast(e.value ->> 0 as bigint) and r.first_chunk < cast(e.value ->> 1 as bigint)
             where r.state < 2 and (r.due_at is null or r.due_at <= {now} or r.due_at > {now} + $2)
             order by r.id {lock}",
            json(prefixes)?,
            MAX_PAUSE_MS
        )?)
    }

    /// Gives unleased runs their state and their place: (id, state, vstart) each. They rest no more.
    pub(crate) async fn announce_runs(&mut self, runs: &[(i64, i64, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update runs set state = cast(e.value ->> 1 as bigint), vstart = cast(e.value ->> 2 as bigint), due_at = null
             from {rows $1} where runs.id = cast(e.value ->> 0 as bigint)",
            json(runs)?
        )?;
        Ok(())
    }

    /// Ends leases without blame.
    pub(crate) async fn requeue_runs(&mut self, runs: &[Requeued]) -> Result<(), StoreError> {
        execute!(
            self,
            "update runs set state = cast(e.value ->> 1 as bigint), vstart = cast(e.value ->> 2 as bigint),
                 patient = cast(e.value ->> 3 as boolean), missed = cast(e.value ->> 4 as bigint),
                 due_at = case when cast(e.value ->> 5 as bigint) > 0 then {now} + cast(e.value ->> 5 as bigint) end,
                 attempt = cast(e.value ->> 6 as bigint),
                 started = 0, per_mille = 0, lease_until = null, holder = null
             from {rows $1} where runs.id = cast(e.value ->> 0 as bigint)",
            json(runs)?
        )?;
        Ok(())
    }

    /// Ends the leases of runs that are split or blamed.
    pub(crate) async fn cut_runs(&mut self, runs: &[Cut]) -> Result<(), StoreError> {
        execute!(
            self,
            "update runs set hi = cast(e.value ->> 1 as bigint), gone = cast(e.value ->> 2 as bigint),
                 state = cast(e.value ->> 3 as bigint), vstart = cast(e.value ->> 4 as bigint),
                 alone = cast(e.value ->> 5 as boolean), deaths = cast(e.value ->> 6 as bigint),
                 started = 0, per_mille = 0, lease_until = null, holder = null
             from {rows $1} where runs.id = cast(e.value ->> 0 as bigint)",
            json(runs)?
        )?;
        Ok(())
    }

    /// Takes completed jobs out of runs that go on: (id, gone) each.
    pub(crate) async fn shrink_runs(&mut self, runs: &[(i64, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update runs set gone = cast(e.value ->> 1 as bigint)
             from {rows $1} where runs.id = cast(e.value ->> 0 as bigint)",
            json(runs)?
        )?;
        Ok(())
    }

    /// Marks leased runs as cancelled; their holder is told at its next report.
    pub(crate) async fn cancel_runs(&mut self, ids: &[(i64,)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update runs set cancelled = true where id in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(ids)?
        )?;
        Ok(())
    }

    pub(crate) async fn delete_runs(&mut self, ids: &[(i64,)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from runs where id in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(ids)?
        )?;
        Ok(())
    }
}

impl Store {
    /// Runs that have rested long enough: id.
    pub(crate) async fn due_runs(&self, limit: i64) -> Result<Vec<(i64,)>, StoreError> {
        Ok(read!(
            self,
            (i64,),
            "select id from runs
             where state = 0 and due_at is not null and (due_at <= {now} or due_at > {now} + $1)
             order by due_at limit $2",
            MAX_PAUSE_MS,
            limit
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_its_upload_and_its_first_job() {
        let id = run_id(7, 65_535);
        assert_eq!((upload_of(id), lo_of(id)), (7, 65_535));
        assert_eq!(upload_of(-1), -1, "a number from outside names no upload");
    }
}
