//! Taking: one transaction that leases for all wishes of a class.

use std::collections::{HashMap, HashSet};

use super::allot::{Grant, Wish, allot};
use super::order::{Next, Order};
use super::remainder::Remainder;
use super::waiting::Class;
use super::{allot, jobs_of, narrow};
use crate::queue::announce::cost;
use crate::queue::core::Core;
use crate::queue::fair_share::{Owner, PoolShares};
use crate::queue::types::Leased;
use crate::retry::ms;
use crate::store::queue::{Candidate, NewRun, RunState, lo_of};
use crate::store::{StoreError, Tx};

/// Runs looked at in one statement.
const LOOK: std::ops::RangeInclusive<i64> = 16..=512;

/// What one look brought.
pub(super) struct Look {
    /// For each wish, in order.
    pub(super) leased: Vec<Leased>,
    /// What it cost whom, by fair share.
    pub(super) charges: Vec<(Owner, i64)>,
    /// How each queue of ready runs goes on that was looked at.
    pub(super) ready: Vec<Remainder>,
    /// How each queue of partial runs goes on that was looked at.
    pub(super) partial: Vec<Remainder>,
    /// A run was cut: the rest of it is there for who still waits.
    pub(super) cut: bool,
}

impl Core {
    /// Leases for all wishes in this transaction, by the pool's fair shares.
    pub(super) async fn take(
        &self,
        mut tx: Tx,
        pool: &str,
        wishes: &[Wish],
        shares: Option<&PoolShares>,
        class: &Class,
    ) -> Result<Look, StoreError> {
        let wanted = wishes.iter().map(|wish| i64::from(wish.jobs)).sum();
        let mut ready = Order::new(class.ready(), shares, class.weights());
        let stored = candidates(&mut tx, pool, &mut ready, RunState::READY, wanted).await?;
        let mut grants = allot(wishes, &stored, RunState::READY);
        let idle = idle_left(wishes, &grants);
        let mut partial = Order::new(class.partial(), shares, class.weights());
        let begun = candidates(&mut tx, pool, &mut partial, RunState::PARTIAL, idle).await?;
        grants = allot::more(wishes, grants, &begun, RunState::PARTIAL);
        let (ready, partial) = (rests(&ready, &stored, &grants), rests(&partial, &begun, &grants));
        if grants.is_empty() {
            let leased = wishes.iter().map(|_| self.nothing()).collect();
            return Ok(Look { leased, charges: Vec::new(), ready, partial, cut: false });
        }
        let leases: Vec<_> =
            grants.iter().map(|grant| (grant.run.id, grant.hi, wishes[grant.wish].node.as_str())).collect();
        tx.lease_runs(&leases, ms(self.config.lease)).await?;
        let parts: Vec<_> = grants.iter().filter_map(|grant| rest_of(grant, pool)).collect();
        if !parts.is_empty() {
            tx.insert_runs(&parts).await?;
        }
        let leased = self.describe(&mut tx, wishes, &grants, class.met()).await?;
        tx.commit().await?;
        let charges = grants.iter().map(|grant| charge(grant, wishes)).collect();
        Ok(Look { leased, charges, ready, partial, cut: !parts.is_empty() })
    }

    pub(in crate::queue) fn nothing(&self) -> Leased {
        Leased { uploads: Vec::new(), lease_ms: self.lease_ms(), describe: Vec::new(), lacks: Vec::new() }
    }
}

/// Runs with so many jobs, as far as there are, by fair share.
async fn candidates(
    tx: &mut Tx,
    pool: &str,
    order: &mut Order<'_>,
    state: RunState,
    wanted: i64,
) -> Result<Vec<Candidate>, StoreError> {
    let mut missing = wanted;
    let mut found = Vec::new();
    while missing > 0 {
        match order.next() {
            Next::Run(run) => {
                missing -= i64::from(jobs_of(&run));
                found.push(run);
            }
            Next::Unread => read_on(tx, pool, order, state, look(missing, wanted - missing, found.len())).await?,
            Next::Nothing => break,
        }
    }
    Ok(found)
}

/// How many runs to read for so many jobs that are missing. Runs hold up to 64 jobs, and those of small uploads one: at first few are
/// read, then as many as those that were found hold.
fn look(missing: i64, jobs: i64, runs: usize) -> i64 {
    let runs = i64::try_from(runs).unwrap_or(i64::MAX);
    let wanted = if jobs > 0 { missing.saturating_mul(runs) / jobs } else { missing / 16 };
    wanted.clamp(*LOOK.start(), *LOOK.end()).min(missing)
}

/// Reads more of those who come next, about so many runs.
async fn read_on(tx: &mut Tx, pool: &str, order: &mut Order<'_>, state: RunState, look: i64) -> Result<(), StoreError> {
    let places = order.unread(usize::try_from(look).unwrap_or(1));
    let read = places.iter().map(|&place| order.queues[place].read).max().unwrap_or(0) as i64;
    let each = (look / places.len().max(1) as i64).max(read).clamp(1, *LOOK.end());
    let members: Vec<_> = places
        .iter()
        .map(|&place| {
            let queue = &order.queues[place];
            (queue.needs, queue.owner.member, queue.after.0, queue.after.1)
        })
        .collect();
    let runs = tx.waiting_runs(state, pool, &members, each).await?;
    let mut runs_of = HashMap::<(i64, i64), Vec<Candidate>>::new();
    for run in runs {
        runs_of.entry((run.needs, run.member)).or_default().push(run);
    }
    for place in places {
        let queue = &mut order.queues[place];
        let mut runs = runs_of.remove(&(queue.needs, queue.owner.member)).unwrap_or_default();
        runs.sort_unstable_by_key(|run| (run.vstart, run.id));
        queue.fill(runs, usize::try_from(each).unwrap_or(1));
    }
    Ok(())
}

/// What a grant costs: whoever runs alone takes all that the node could have run.
fn charge(grant: &Grant<'_>, wishes: &[Wish]) -> (Owner, i64) {
    let run = grant.run;
    let jobs = if run.alone { wishes[grant.wish].jobs } else { grant.jobs };
    // What an older server has cut is nobody's.
    let organisation = if run.member == 0 { 0 } else { run.organisation };
    (Owner { organisation, member: run.member }, cost(jobs, run.first_chunk, run.last_chunk))
}

/// How the queues go on: each after the last of its runs before which nothing was left.
fn rests(order: &Order<'_>, candidates: &[Candidate], grants: &[Grant<'_>]) -> Vec<Remainder> {
    let whole: HashSet<_> = grants.iter().filter(|grant| grant.rest.is_none()).map(|grant| grant.run.id).collect();
    let mut left = HashMap::<(i64, i64), (i64, i64)>::new();
    for run in candidates.iter().filter(|run| !whole.contains(&run.id)).chain(order.left()) {
        let place = (run.vstart, run.id - 1);
        left.entry((run.needs, run.member)).and_modify(|first| *first = place.min(*first)).or_insert(place);
    }
    order
        .queues
        .iter()
        .map(|queue| {
            let (needs, owner) = (queue.needs, queue.owner);
            let first = left.get(&(needs, owner.member)).copied();
            Remainder { needs, owner, after: first.or(queue.more.then_some(queue.after)) }
        })
        .collect()
}

/// How many jobs of incomplete uploads are still wished for.
fn idle_left(wishes: &[Wish], grants: &[Grant<'_>]) -> i64 {
    let left = allot::left(wishes, grants);
    wishes.iter().zip(left).map(|(wish, left)| i64::from(wish.idle.min(left))).sum()
}

/// The part of a granted run that stays.
fn rest_of<'a>(grant: &Grant<'_>, pool: &'a str) -> Option<NewRun<'a>> {
    let (run, lo) = (grant.run, grant.rest?);
    Some(NewRun {
        upload: run.upload,
        organisation: run.organisation,
        member: run.member,
        pool,
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
        missed: run.missed,
        vstart: run.vstart,
        // Not reset: each job's fences go on from where they were.
        fence: run.fence,
        attempt: run.attempt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_runs_are_read_as_the_jobs_in_those_that_were_found_suggest() {
        assert_eq!(look(512, 0, 0), 32, "nothing was found yet");
        assert_eq!(look(480, 32, 32), 480, "of one file each");
        assert_eq!(look(448, 64, 1), 16, "of 64 files");
        assert_eq!((look(10, 0, 0), look(100_000, 64, 64)), (10, 512));
    }
}
