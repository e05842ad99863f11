//! Claims on runs: who may run what.

use super::run_state::RunState;
use crate::store::dialect::{read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// A run that could be leased; locked. One that another transaction locks is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: i64,
    pub(crate) upload: i64,
    pub(crate) organisation: i64,
    pub(crate) member: i64,
    pub(crate) needs: i64,
    pub(crate) hi: i64,
    pub(crate) gone: i64,
    pub(crate) first_chunk: i64,
    pub(crate) last_chunk: i64,
    pub(crate) state: i64,
    pub(crate) patient: bool,
    pub(crate) alone: bool,
    pub(crate) deaths: i64,
    pub(crate) missed: i64,
    pub(crate) vstart: i64,
    pub(crate) fence: i64,
    pub(crate) attempt: i64,
}

crate::store::from_row!(Candidate {
    id,
    upload,
    organisation,
    member,
    needs,
    hi,
    gone,
    first_chunk,
    last_chunk,
    state,
    patient,
    alone,
    deaths,
    missed,
    vstart,
    fence,
    attempt
});

/// A lease as it stands: `lease_until` is another one after each report, and means nothing else to whoever compares two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseMark {
    pub(crate) id: i64,
    pub(crate) fence: i64,
    pub(crate) lease_until: i64,
}

crate::store::from_row!(LeaseMark { id, fence, lease_until });

/// Where to read on of what a member has waiting: needs, member, and the place (`vstart`, `id`) after which.
pub(crate) type ReadOn = (i64, i64, i64, i64);

/// A member that has something waiting: needs, member, its organisation and the organisation's weight.
pub(crate) type WaitingMember = (i64, i64, i64, i64);

/// A claim to write: run, end of what is taken, holder.
pub(crate) type LeasedRow<'a> = (i64, u32, &'a str);

/// A report to write: run, fence, started jobs, progress, pool of who reports.
pub(crate) type ReportRow<'a> = (i64, i64, i64, i64, &'a str);

/// The state stands in the statement, and is no parameter of it, because both databases find a partial index only so.
macro_rules! waiting_runs {
    ($tx:expr, $state:literal, $pool:expr, $members:expr, $limit:expr) => {
        // The place keeps the scan off what is dead but not yet vacuumed at the head of the index.
        rows!(
            $tx,
            Candidate,
            concat!(
                "select r.id, r.upload, r.organisation, r.member, r.needs, r.hi, r.gone, r.first_chunk, r.last_chunk,
                     r.state, r.patient, r.alone, r.deaths, r.missed, r.vstart, r.fence, r.attempt
                 from {rows $1} {each}
                     from runs x
                     where x.state = ",
                $state,
                " and x.pool = $2 and x.needs = cast(e.value ->> 0 as bigint)
                         and x.member = cast(e.value ->> 1 as bigint)
                         and (x.vstart, x.id) > (cast(e.value ->> 2 as bigint), cast(e.value ->> 3 as bigint))
                     order by x.vstart, x.id limit $3 {skip}{end}"
            ),
            $members,
            $pool,
            $limit
        )
    };
}

/// As with [`waiting_runs`].
macro_rules! waiting_members {
    ($store:expr, $state:literal, $pool:expr, $needs:expr) => {
        read!(
            $store,
            WaitingMember,
            concat!(
                "with recursive found (needs, member) as (
                     select cast(e.value ->> 0 as bigint),
                         (select r.member from runs r
                          where r.state = ",
                $state,
                " and r.pool = $1 and r.needs = cast(e.value ->> 0 as bigint)
                          order by r.member limit 1)
                     from {rows $2}
                     union all
                     select f.needs,
                         (select r.member from runs r
                          where r.state = ",
                $state,
                " and r.pool = $1 and r.needs = f.needs and r.member > f.member
                          order by r.member limit 1)
                     from found f where f.member is not null)
                 select f.needs, f.member, coalesce(m.organisation, 0), coalesce(s.weight, 1)
                 from found f left join members m on m.id = f.member left join shares s on s.organisation = m.organisation
                 where f.member is not null"
            ),
            $pool,
            $needs
        )
    };
}

impl Tx {
    /// The next ready or partial runs of each of these members in a pool, at most so many of each.
    pub(crate) async fn waiting_runs(
        &mut self,
        state: RunState,
        pool: &str,
        members: &[ReadOn],
        limit: i64,
    ) -> Result<Vec<Candidate>, StoreError> {
        let members = json(members)?;
        Ok(match state {
            RunState::PARTIAL => waiting_runs!(self, 1, pool, members, limit),
            _ => waiting_runs!(self, 2, pool, members, limit),
        }?)
    }

    /// Claims runs that this transaction has locked as candidates.
    pub(crate) async fn lease_runs(&mut self, leases: &[LeasedRow<'_>], lease_ms: i64) -> Result<u64, StoreError> {
        Ok(crate::store::dialect::execute!(
            self,
            "update runs set state = 3, hi = cast(e.value ->> 1 as bigint), holder = e.value ->> 2, fence = fence + 1,
                 attempt = attempt + 1, started = 0, per_mille = 0, lease_until = {now} + $2
             from {rows $1} where runs.id = cast(e.value ->> 0 as bigint)",
            json(leases)?,
            lease_ms
        )?)
    }

    /// Records reports and prolongs the leases they hold; answers those as (run, fence, pool, cancelled). Nobody holds a run of another
    /// pool.
    pub(crate) async fn report(
        &mut self,
        reports: &[ReportRow<'_>],
        lease_ms: i64,
    ) -> Result<Vec<(i64, i64, String, bool)>, StoreError> {
        // Locked in the order of ids first: an update by itself locks in any order. `state + 0` keeps PostgreSQL off
        // the index of leased runs, which looks small to it whenever it was analysed in a quiet moment.
        Ok(rows!(
            self,
            (i64, i64, String, bool),
            "with held as materialized (
                 select id from runs where id in (select cast(e.value ->> 0 as bigint) from {rows $1})
                 order by id {lock})
             update runs set started = (started | cast(e.value ->> 2 as bigint)) & ~gone,
                 per_mille = cast(e.value ->> 3 as bigint), lease_until = {now} + $2
             from {rows $1}
             where runs.id = cast(e.value ->> 0 as bigint) and runs.fence = cast(e.value ->> 1 as bigint)
                 and runs.pool = e.value ->> 4 and runs.state + 0 = 3 and runs.id in (select id from held)
             returning runs.id, runs.fence, runs.pool, runs.cancelled",
            json(reports)?,
            lease_ms
        )?)
    }
}

impl Store {
    /// Who has ready or partial runs in a pool that need one of these. One step through the index for each, whatever they have.
    pub(crate) async fn waiting_members(
        &self,
        state: RunState,
        pool: &str,
        needs: &[(i64,)],
    ) -> Result<Vec<WaitingMember>, StoreError> {
        let needs = json(needs)?;
        Ok(match state {
            RunState::PARTIAL => waiting_members!(self, 1, pool, needs),
            _ => waiting_members!(self, 2, pool, needs),
        }?)
    }

    /// Weights of organisations.
    pub(crate) async fn weights(&self, organisations: &[(i64,)]) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(read!(
            self,
            (i64, i64),
            "select organisation, weight from shares
             where organisation in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(organisations)?
        )?)
    }

    /// Leases in the order of their marks, after one (`lease_until`, id).
    pub(crate) async fn leases(&self, after: (i64, i64), limit: i64) -> Result<Vec<LeaseMark>, StoreError> {
        Ok(read!(
            self,
            LeaseMark,
            "select id, fence, lease_until from runs
             where state = 3 and lease_until >= $1 and (lease_until, id) > ($1, $2)
             order by lease_until, id limit $3",
            after.0,
            after.1,
            limit
        )?)
    }

    /// Which of these leases (run, fence) are held in the pool, each with the id of its upload.
    pub(crate) async fn held(&self, pool: &str, leases: &[(i64, i64)]) -> Result<Vec<(i64, i64, String)>, StoreError> {
        Ok(read!(
            self,
            (i64, i64, String),
            "select distinct r.id, r.fence, u.id
             from {rows $1} join runs r
                 on r.id = cast(e.value ->> 0 as bigint) and r.fence = cast(e.value ->> 1 as bigint)
             join uploads u on u.number = r.upload
             where r.state + 0 = 3 and r.pool = $2",
            json(leases)?,
            pool
        )?)
    }
}
