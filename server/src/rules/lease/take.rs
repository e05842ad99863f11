//! Taking: one transaction that leases for all wishes of a class.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::allot::{self, Grant, Wish, allot};
use super::{jobs_of, narrow};
use crate::rules::{Core, Leased, ms};
use crate::store::{Candidate, Needs, NewRun, RunState, StoreError, Tx, lo_of};

/// Runs looked at in one statement.
const LOOK: std::ops::RangeInclusive<i64> = 16..=512;

/// What one look brought.
pub(super) struct Look {
    /// For each wish, in order.
    pub(super) leased: Vec<Leased>,
    /// The place before which nothing is ready.
    pub(super) mark: i64,
    /// A run was cut: the rest of it is there for who still waits.
    pub(super) cut: bool,
}

impl Core {
    /// Leases for all wishes in one transaction.
    pub(super) async fn lease(&self, needs: &Needs, wishes: &[Wish], mark: i64) -> Result<Look, StoreError> {
        let mut tx = self.store.begin().await?;
        let (candidates, mark) = candidates(&mut tx, needs, wishes, mark).await?;
        let mut grants = allot(wishes, &candidates, RunState::READY);
        let missed = left_over(&candidates, &grants);
        let wanted = idle_left(wishes, &grants);
        let partial = if wanted > 0 { tx.partial_runs(needs, wanted).await? } else { Vec::new() };
        grants = allot::more(wishes, grants, &partial, RunState::PARTIAL);
        let mark = missed.map_or(mark, |missed| mark.min(missed));
        if grants.is_empty() {
            let leased = wishes.iter().map(|_| self.nothing()).collect();
            return Ok(Look { leased, mark, cut: false });
        }
        let leases: Vec<_> =
            grants.iter().map(|grant| (grant.run.id, grant.hi, wishes[grant.wish].node.as_str())).collect();
        tx.lease_runs(&leases, ms(self.config.lease)).await?;
        let rests: Vec<_> = grants.iter().filter_map(|grant| rest_of(grant, needs)).collect();
        if !rests.is_empty() {
            tx.insert_runs(&rests).await?;
        }
        let leased = self.describe(&mut tx, wishes, &grants).await?;
        tx.commit().await?;
        let reached = grants.iter().filter(|grant| grant.run.state == RunState::READY.0).map(|grant| grant.run.vstart);
        self.served.fetch_max(reached.max().unwrap_or(0), Ordering::Relaxed);
        Ok(Look { leased, mark, cut: !rests.is_empty() })
    }

    pub(super) fn nothing(&self) -> Leased {
        Leased { uploads: Vec::new(), lease_ms: self.lease_ms(), describe: Vec::new(), lacks: Vec::new() }
    }
}

/// Ready runs enough for all wishes, as far as there are; and the place before which nothing else is ready.
async fn candidates(
    tx: &mut Tx,
    needs: &Needs,
    wishes: &[Wish],
    mark: i64,
) -> Result<(Vec<Candidate>, i64), StoreError> {
    let mut missing: i64 = wishes.iter().map(|wish| i64::from(wish.jobs)).sum();
    let mut found = Vec::new();
    let mut after = (mark, -1);
    while missing > 0 {
        // Runs hold up to 64 jobs, though those of small uploads hold one: look at few, and again if they were small.
        let look = (missing / 16).clamp(*LOOK.start(), *LOOK.end()).min(missing);
        let more = tx.ready_runs(needs, after, look).await?;
        let exhausted = (more.len() as i64) < look;
        missing -= more.iter().map(|run| i64::from(jobs_of(run))).sum::<i64>();
        if let Some(last) = more.last() {
            after = (last.vstart, last.id);
        }
        found.extend(more);
        if exhausted {
            break;
        }
    }
    Ok((found, after.0))
}

/// The first place of a candidate that nobody was given whole.
fn left_over(candidates: &[Candidate], grants: &[Grant<'_>]) -> Option<i64> {
    let whole: HashSet<_> = grants.iter().filter(|grant| grant.rest.is_none()).map(|grant| grant.run.id).collect();
    candidates.iter().filter(|run| !whole.contains(&run.id)).map(|run| run.vstart).min()
}

/// How many jobs of incomplete uploads are still wished for.
fn idle_left(wishes: &[Wish], grants: &[Grant<'_>]) -> i64 {
    let left = allot::left(wishes, grants);
    wishes.iter().zip(left).map(|(wish, left)| i64::from(wish.idle.min(left))).sum()
}

/// The part of a granted run that stays.
fn rest_of<'a>(grant: &Grant<'_>, needs: &'a Needs) -> Option<NewRun<'a>> {
    let (run, lo) = (grant.run, grant.rest?);
    Some(NewRun {
        upload: run.upload,
        organisation: run.organisation,
        pool: &needs.pool,
        needs: run.needs,
        lo,
        hi: narrow(run.hi),
        gone: run.gone.cast_unsigned() >> (lo - lo_of(run.id)),
        first_chunk: run.first_chunk,
        last_chunk: run.last_chunk,
        state: RunState(run.state),
        patient: run.patient,
        alone: run.alone,
        deaths: run.deaths,
        vstart: run.vstart,
        // Not reset: each job's fences go on from where they were.
        fence: run.fence,
        attempt: run.attempt,
    })
}
