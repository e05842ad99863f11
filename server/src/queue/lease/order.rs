//! In which order runs are leased: next is the first run of the member, and of the organisation, that come next by fair share. What
//! they have is read as it comes up.

use std::collections::{BTreeSet, HashMap, VecDeque, btree_set};
use std::iter::Peekable;

use super::jobs_of;
use super::waiting::{Waiting, Weights};
use crate::queue::announce::cost;
use crate::queue::fair_share::{Owner, PoolShares, length};
use crate::store::queue::Candidate;

/// How many jobs a run is taken for that was not read yet.
const UNREAD_RUN: i64 = 64;

/// What one member has waiting, of one need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) owner: Owner,
    pub(super) needs: i64,
    /// The place after which to read on.
    pub(super) after: (i64, i64),
    /// There may be more in the database.
    pub(super) more: bool,
    /// How many runs were read.
    pub(super) read: usize,
    runs: VecDeque<Candidate>,
}

impl Queue {
    fn is_unread(&self) -> bool {
        self.runs.is_empty() && self.more
    }

    /// Takes what was read, of at most so many.
    pub(super) fn fill(&mut self, runs: Vec<Candidate>, asked: usize) {
        self.more = runs.len() >= asked;
        self.read += runs.len();
        if let Some(last) = runs.last() {
            self.after = (last.vstart, last.id);
        }
        self.runs.extend(runs);
    }
}

/// What is next.
pub(super) enum Next {
    /// This run.
    Run(Candidate),
    /// Some queues have to be read first: [`Order::unread`].
    Unread,
    /// There is nothing more.
    Nothing,
}

/// Who waits for one class of nodes, by fair share, as far as a look goes: nobody is touched who comes much later.
pub(super) struct Order<'a> {
    waiting: &'a Waiting,
    shares: PoolSharesOrNew<'a>,
    weights: &'a Weights,
    /// Those that are touched.
    pub(super) queues: Vec<Queue>,
    /// Organisations that are not touched yet.
    coming: Peekable<btree_set::Iter<'a, (i64, i64)>>,
    /// Each touched organisation's next start.
    starts: BTreeSet<(i64, i64)>,
    touched: HashMap<i64, Touched<'a>>,
}

struct Touched<'a> {
    weight: i64,
    /// Members that are not touched yet.
    coming: Peekable<btree_set::Iter<'a, (i64, i64)>>,
    /// Each touched member's next start.
    starts: BTreeSet<(i64, i64)>,
    /// Places of each touched member's queues.
    places: HashMap<i64, Vec<usize>>,
}

/// A pool of which nothing was leased has no shares yet.
#[derive(Clone, Copy)]
struct PoolSharesOrNew<'a>(Option<&'a PoolShares>);

impl PoolSharesOrNew<'_> {
    fn organisation(self, id: i64) -> i64 {
        self.0.map_or(0, |shares| shares.organisation(id))
    }

    fn member(self, owner: Owner) -> i64 {
        self.0.map_or(0, |shares| shares.member(owner))
    }
}

impl<'a> Order<'a> {
    /// Begins where the pool's shares are.
    pub(super) fn new(waiting: &'a Waiting, shares: Option<&'a PoolShares>, weights: &'a Weights) -> Self {
        Self {
            waiting,
            shares: PoolSharesOrNew(shares),
            weights,
            queues: Vec::new(),
            coming: waiting.organisations().peekable(),
            starts: BTreeSet::new(),
            touched: HashMap::new(),
        }
    }

    /// Takes the next run, and moves its owner on.
    pub(super) fn next(&mut self) -> Next {
        loop {
            while self.touch_before(self.starts.first().copied()).is_some() {}
            let Some(&(start, id)) = self.starts.first() else { return Next::Nothing };
            while self.touch_member_before(id, |touched| touched.starts.first().copied()).is_some() {}
            let Some(touched) = self.touched.get_mut(&id) else {
                self.starts.pop_first();
                continue;
            };
            let Some(&(within, member)) = touched.starts.first() else {
                self.starts.pop_first();
                continue;
            };
            let places = touched.places.get(&member).map(Vec::as_slice).unwrap_or_default();
            if places.iter().any(|&place| self.queues[place].is_unread()) {
                return Next::Unread;
            }
            let first = places
                .iter()
                .filter_map(|&place| Some((self.queues[place].runs.front().map(|run| (run.vstart, run.id))?, place)))
                .min();
            touched.starts.pop_first();
            let Some(run) = first.and_then(|(_, place)| self.queues[place].runs.pop_front()) else {
                continue;
            };
            let cost = cost(jobs_of(&run), run.first_chunk, run.last_chunk);
            touched.starts.insert((within.saturating_add(length(cost, 1)), member));
            self.starts.pop_first();
            self.starts.insert((start.saturating_add(length(cost, touched.weight)), id));
            return Next::Run(run);
        }
    }

    /// Places of the queues to read next, at most so many: of those who come first.
    pub(super) fn unread(&mut self, most: usize) -> Vec<usize> {
        let mut unread = Vec::new();
        let mut starts = self.starts.clone();
        let mut members = HashMap::<i64, BTreeSet<(i64, i64)>>::new();
        while unread.len() < most {
            while let Some(touched) = self.touch_before(starts.first().copied()) {
                starts.insert(touched);
            }
            let Some((start, id)) = starts.pop_first() else { break };
            let Some(touched) = self.touched.get(&id) else { continue };
            let within = members.entry(id).or_insert_with(|| touched.starts.clone());
            while let Some(touched) = self.touch_member_before(id, |_| within.first().copied()) {
                within.insert(touched);
            }
            let Some((_, member)) = within.pop_first() else { continue };
            let places = self.touched.get(&id).and_then(|touched| touched.places.get(&member));
            unread.extend(places.into_iter().flatten().copied().filter(|&place| self.queues[place].is_unread()));
            let weight = self.touched.get(&id).map_or(1, |touched| touched.weight);
            starts.insert((start.saturating_add(length(UNREAD_RUN, weight)), id));
        }
        unread
    }

    /// What was read and is not taken.
    pub(super) fn left(&self) -> impl Iterator<Item = &Candidate> {
        self.queues.iter().flat_map(|queue| &queue.runs)
    }

    /// Touches the next organisation, if it may come before this one; answers where it starts.
    fn touch_before(&mut self, first: Option<(i64, i64)>) -> Option<(i64, i64)> {
        let &(kept, id) = self.coming.next_if(|&&coming| first.is_none_or(|first| coming < first))?;
        // What is kept may be older than other classes' leases.
        let start = (self.shares.organisation(id).max(kept), id);
        let weight = self.weights.of(id);
        let coming = self.waiting.members(id).peekable();
        self.touched.insert(id, Touched { weight, coming, starts: BTreeSet::new(), places: HashMap::new() });
        self.starts.insert(start);
        Some(start)
    }

    /// The same with the members of a touched organisation.
    fn touch_member_before(
        &mut self,
        id: i64,
        first: impl FnOnce(&Touched<'_>) -> Option<(i64, i64)>,
    ) -> Option<(i64, i64)> {
        let touched = self.touched.get_mut(&id)?;
        let first = first(touched);
        let &(kept, member) = touched.coming.next_if(|&&coming| first.is_none_or(|first| coming < first))?;
        let owner = Owner { organisation: id, member };
        let start = (self.shares.member(owner).max(kept), member);
        for (needs, after) in self.waiting.queues(owner) {
            touched.places.entry(member).or_default().push(self.queues.len());
            self.queues.push(Queue { owner, needs, after, more: true, read: 0, runs: VecDeque::new() });
        }
        touched.starts.insert(start);
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::fair_share::FairShares;
    use crate::store::queue::run_id;

    fn run(owner: Owner, number: i64, jobs: u32) -> Candidate {
        Candidate {
            id: run_id(number, 0),
            upload: number,
            organisation: owner.organisation,
            member: owner.member,
            needs: 1,
            hi: i64::from(jobs),
            gone: 0,
            first_chunk: 0,
            last_chunk: 0,
            state: 2,
            patient: false,
            alone: false,
            deaths: 0,
            missed: 0,
            vstart: number,
            fence: 0,
            attempt: 0,
        }
    }

    /// Leases so many jobs of members that have runs of these sizes without end; answers what each got.
    fn lease(shares: &mut FairShares, members: &[(Owner, u32)], jobs: u32) -> HashMap<Owner, u32> {
        let mut waiting = Waiting::default();
        for (owner, _) in members {
            waiting.wake(1, *owner, 1, shares.of("p"));
        }
        let weights = Weights::default();
        let mut order = Order::new(&waiting, shares.of("p"), &weights);
        let (mut got, mut leased, mut charges) = (HashMap::new(), 0, Vec::new());
        while leased < jobs {
            match order.next() {
                Next::Run(run) => {
                    let owner = Owner { organisation: run.organisation, member: run.member };
                    *got.entry(owner).or_default() += jobs_of(&run);
                    leased += jobs_of(&run);
                    charges.push((owner, i64::from(jobs_of(&run))));
                }
                Next::Unread => {
                    for place in order.unread(4) {
                        let queue = &mut order.queues[place];
                        let (first, owner) = (queue.after.0, queue.owner);
                        let jobs = members.iter().find(|(one, _)| *one == owner).map_or(0, |(_, jobs)| *jobs);
                        queue.fill((1..=3).map(|n| run(owner, first + n, jobs)).collect(), 3);
                    }
                }
                Next::Nothing => break,
            }
        }
        for (owner, cost) in charges {
            shares.charge("p", owner, 1, cost);
        }
        got
    }

    #[test]
    fn nobody_is_touched_whose_turn_is_far() {
        let mut waiting = Waiting::default();
        for member in 0..1000 {
            waiting.wake(1, owner(member, member), 1, None);
        }
        let weights = Weights::default();
        let mut order = Order::new(&waiting, None, &weights);
        assert!(matches!(order.next(), Next::Unread));
        assert_eq!(order.unread(16).len(), 16);
        assert!(order.queues.len() <= 17, "{}", order.queues.len());
    }

    fn owner(organisation: i64, member: i64) -> Owner {
        Owner { organisation, member }
    }

    #[test]
    fn ten_members_of_one_organisation_get_as_much_as_the_one_of_another() {
        let many: Vec<_> = (0..10).map(|member| (owner(1, member), 64)).collect();
        let members: Vec<_> = many.into_iter().chain([(owner(2, 77), 64)]).collect();
        let mut shares = FairShares::default();
        // In looks of any size.
        let (mut ten, mut one) = (0, 0);
        for look in [64, 640, 6400, 1, 2048, 64_000] {
            let got = lease(&mut shares, &members, look);
            ten += got.iter().filter(|(owner, _)| owner.organisation == 1).map(|(_, jobs)| jobs).sum::<u32>();
            one += got.get(&owner(2, 77)).copied().unwrap_or(0);
        }
        assert!(ten.abs_diff(one) <= 64, "{ten} {one}");
    }

    #[test]
    fn members_share_by_work_and_not_by_runs() {
        let mut shares = FairShares::default();
        let got = lease(&mut shares, &[(owner(1, 1), 64), (owner(1, 2), 1), (owner(2, 3), 7)], 10_000);
        let got = [owner(1, 1), owner(1, 2), owner(2, 3)].map(|owner| got[&owner]);
        assert!(got[0].abs_diff(got[1]) <= 64 && got[2].abs_diff(got[0] + got[1]) <= 64, "{got:?}");
    }

    #[test]
    fn who_comes_new_is_among_the_next() {
        let mut shares = FairShares::default();
        let flood: Vec<_> = (0..5).map(|member| (owner(1, member), 64)).collect();
        lease(&mut shares, &flood, 100_000);
        let with: Vec<_> = flood.iter().copied().chain([(owner(1, 99), 3), (owner(2, 100), 3)]).collect();
        let got = lease(&mut shares, &with, 512);
        assert!(got.contains_key(&owner(1, 99)) && got.contains_key(&owner(2, 100)), "{got:?}");
    }

    #[test]
    fn members_who_come_one_after_the_other_add_nothing_to_their_organisation() {
        let mut shares = FairShares::default();
        let (mut coming, mut one) = (0, 0);
        for round in 0..200_i64 {
            // One more in each round, none of them twice.
            let mut members: Vec<_> = (0..=round % 10).map(|member| (owner(1, round * 10 + member), 1)).collect();
            members.push((owner(2, 1_000_000), 64));
            let got = lease(&mut shares, &members, 100);
            one += got.get(&owner(2, 1_000_000)).copied().unwrap_or(0);
            coming += got.iter().filter(|(owner, _)| owner.organisation == 1).map(|(_, jobs)| jobs).sum::<u32>();
        }
        assert!(coming.abs_diff(one) < one / 10, "{coming} {one}");
    }
}
