//! Who gets which run.

use super::{jobs_of, narrow};
use crate::queue::masks;
use crate::store::queue::{Candidate, RunState, lo_of};

/// What one node would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Wish {
    pub(in crate::queue) node: String,
    /// Jobs in all.
    pub(in crate::queue) jobs: u32,
    /// Of these, jobs of incomplete uploads.
    pub(in crate::queue) idle: u32,
}

/// A run, or its first part, for a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant<'a> {
    /// Place of the wish.
    pub(super) wish: usize,
    pub(super) run: &'a Candidate,
    /// Where the granted part ends.
    pub(super) hi: u32,
    /// Where the part that stays begins.
    pub(super) rest: Option<u32>,
    pub(super) jobs: u32,
}

/// Gives candidates to wishes in order, and cuts the last one for each wish where it is full.
pub(super) fn allot<'a>(wishes: &[Wish], candidates: &'a [Candidate], state: RunState) -> Vec<Grant<'a>> {
    more(wishes, Vec::new(), candidates, state)
}

/// The same, beside what was granted before.
///
/// A run is given to one wish only: what is cut off waits for the next look. A run that must be alone goes to a wish
/// that got nothing, which then gets nothing else.
pub(super) fn more<'a>(
    wishes: &[Wish],
    mut grants: Vec<Grant<'a>>,
    candidates: &'a [Candidate],
    state: RunState,
) -> Vec<Grant<'a>> {
    let mut left = left(wishes, &grants);
    if state == RunState::PARTIAL {
        left.iter_mut().zip(wishes).for_each(|(left, wish)| *left = wish.idle.min(*left));
    }
    for run in candidates {
        let untouched = |wish: usize| !grants.iter().any(|grant| grant.wish == wish);
        let Some(wish) = (0..wishes.len()).find(|&wish| left[wish] > 0 && (!run.alone || untouched(wish))) else {
            continue;
        };
        let lo = lo_of(run.id);
        let jobs = jobs_of(run).min(left[wish]);
        let (hi, rest) = masks::cut_after(lo, narrow(run.hi), run.gone.cast_unsigned(), jobs);
        left[wish] = if run.alone { 0 } else { left[wish] - jobs };
        grants.push(Grant { wish, run, hi, rest, jobs });
    }
    grants
}

/// How many jobs more each wish can take.
pub(super) fn left(wishes: &[Wish], grants: &[Grant<'_>]) -> Vec<u32> {
    let mut left: Vec<_> = wishes.iter().map(|wish| wish.jobs).collect();
    for grant in grants {
        left[grant.wish] = if grant.run.alone { 0 } else { left[grant.wish].saturating_sub(grant.jobs) };
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::queue::run_id;

    fn wish(jobs: u32, idle: u32) -> Wish {
        Wish { node: "n".to_owned(), jobs, idle }
    }

    fn run(lo: u32, hi: u32, alone: bool) -> Candidate {
        Candidate {
            id: run_id(1, lo),
            upload: 1,
            organisation: 1,
            member: 1,
            needs: 1,
            hi: i64::from(hi),
            gone: 0,
            first_chunk: 0,
            last_chunk: 0,
            state: 2,
            patient: false,
            alone,
            deaths: 0,
            missed: 0,
            vstart: 1,
            fence: 0,
            attempt: 0,
        }
    }

    fn shape(grants: &[Grant<'_>]) -> Vec<(usize, u32, u32, Option<u32>)> {
        grants.iter().map(|grant| (grant.wish, lo_of(grant.run.id), grant.hi, grant.rest)).collect()
    }

    #[test]
    fn a_run_is_cut_where_its_wish_is_full() {
        let runs = [run(0, 64, false), run(64, 128, false)];
        let grants = allot(&[wish(70, 0)], &runs, RunState::READY);
        assert_eq!(shape(&grants), [(0, 0, 64, None), (0, 64, 70, Some(70))]);
    }

    #[test]
    fn a_suspect_shares_its_wish_with_nothing() {
        let runs = [run(0, 1, false), run(1, 2, true), run(2, 3, false)];
        let grants = allot(&[wish(4, 0)], &runs, RunState::READY);
        assert_eq!(
            shape(&grants),
            [(0, 0, 1, None), (0, 2, 3, None)],
            "the suspect waits for a node with nothing else"
        );
        let grants = allot(&[wish(4, 0)], &runs[1..], RunState::READY);
        assert_eq!(shape(&grants), [(0, 1, 2, None)]);
        let grants = allot(&[wish(4, 0), wish(4, 0)], &runs, RunState::READY);
        assert_eq!(shape(&grants), [(0, 0, 1, None), (1, 1, 2, None), (0, 2, 3, None)]);
    }

    #[test]
    fn incomplete_uploads_get_idle_slots_only() {
        let (ready, partial) = ([run(0, 2, false)], [run(2, 3, false), run(3, 4, false)]);
        let wishes = [wish(4, 1), wish(1, 0)];
        let grants = allot(&wishes, &ready, RunState::READY);
        let grants = more(&wishes, grants, &partial, RunState::PARTIAL);
        assert_eq!(shape(&grants), [(0, 0, 2, None), (0, 2, 3, None)]);
    }
}
