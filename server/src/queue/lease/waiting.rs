//! Who has what waiting for a class of nodes. Only a hint, that is put right by looking through the database: now and then,
//! and whenever there seems to be nothing.

use std::collections::{BTreeSet, HashMap, btree_set};
use std::time::{Duration, Instant};

use super::remainder::Remainder;
use crate::catalog::Abilities;
use crate::queue::core::Core;
use crate::queue::fair_share::{FairShares, Owner, PoolShares};
use crate::queue::waking::{Woken, WokenInPool};
use crate::store::StoreError;
use crate::store::queue::{RunState, WaitingMember};

/// Before whatever there is.
const BEGIN: (i64, i64) = (i64::MIN, i64::MIN);
/// Looking through the database for who waits takes at most this part of the time: it is a step for each.
const LOOKING_PART: u32 = 20;
/// Classes of nodes that are remembered in a pool. What a node has is its own claim, and each class costs memory and looks.
const MOST_CLASSES: usize = 32;
/// A class of nodes of which none has asked for so long is forgotten.
const FORGET_CLASS: Duration = Duration::from_secs(300);

/// The nodes of one pool that have the same abilities.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::queue) struct NodeClass {
    pub(in crate::queue) pool: String,
    pub(in crate::queue) abilities: Abilities,
}

/// The classes of nodes, by their pool and by what they have.
#[derive(Debug, Default)]
pub(super) struct Classes {
    by_pool: HashMap<String, HashMap<Abilities, Class>>,
    /// What was known of sets of needs when it was looked which of them each class meets: `Catalog::need_changes`.
    changes: usize,
}

/// What one class of nodes could be given.
#[derive(Debug)]
pub(super) struct Class {
    /// Numbers of the sets of needs that they meet, ascending.
    met: Vec<i64>,
    ready: Waiting,
    partial: Waiting,
    weights: Weights,
    asked: Instant,
}

impl Class {
    fn new(met: Vec<i64>) -> Self {
        Self {
            met,
            ready: Waiting::default(),
            partial: Waiting::default(),
            weights: Weights::default(),
            asked: Instant::now(),
        }
    }
}

/// Organisations' weights, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Weights(HashMap<i64, i64>);

impl Weights {
    /// One that is not known has 1.
    pub(super) fn of(&self, organisation: i64) -> i64 {
        self.0.get(&organisation).copied().unwrap_or(1)
    }
}

/// Who has something waiting, by when its next work starts; at the time that was kept, which may be too early, never too late.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    starts: BTreeSet<(i64, i64)>,
    organisations: HashMap<i64, WaitingOrganisation>,
    /// It was looked through lately. Not again before that time.
    fresh: bool,
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
struct WaitingOrganisation {
    start: i64,
    starts: BTreeSet<(i64, i64)>,
    members: HashMap<i64, WaitingQueues>,
}

#[derive(Debug, Default)]
struct WaitingQueues {
    start: i64,
    /// By needs, the place after which each goes on. Few.
    after: Vec<(i64, (i64, i64))>,
}

impl Waiting {
    /// Nobody has.
    pub(super) fn is_empty(&self) -> bool {
        self.organisations.is_empty()
    }

    /// Organisations by their next start.
    pub(super) fn organisations(&self) -> btree_set::Iter<'_, (i64, i64)> {
        self.starts.iter()
    }

    /// Members of one by theirs.
    pub(super) fn members(&self, organisation: i64) -> btree_set::Iter<'_, (i64, i64)> {
        static NONE: BTreeSet<(i64, i64)> = BTreeSet::new();
        self.organisations.get(&organisation).map_or(&NONE, |one| &one.starts).iter()
    }

    /// By needs, the place after which each of a member's queues goes on.
    pub(super) fn queues(&self, owner: Owner) -> impl Iterator<Item = (i64, (i64, i64))> {
        let member = self.organisations.get(&owner.organisation).and_then(|one| one.members.get(&owner.member));
        member.into_iter().flat_map(|member| member.after.iter().copied())
    }

    /// A run of the member's is at this place.
    pub(super) fn wake(&mut self, needs: i64, owner: Owner, vstart: i64, shares: Option<&PoolShares>) {
        self.add(needs, owner, (vstart, i64::MIN), shares);
    }

    fn add(&mut self, needs: i64, owner: Owner, place: (i64, i64), shares: Option<&PoolShares>) {
        let organisation = self.organisations.entry(owner.organisation).or_insert_with(|| {
            let start = shares.map_or(0, |shares| shares.organisation(owner.organisation));
            self.starts.insert((start, owner.organisation));
            WaitingOrganisation { start, ..WaitingOrganisation::default() }
        });
        let member = organisation.members.entry(owner.member).or_insert_with(|| {
            let start = shares.map_or(0, |shares| shares.member(owner));
            organisation.starts.insert((start, owner.member));
            WaitingQueues { start, after: Vec::new() }
        });
        match member.after.iter_mut().find(|(of, _)| *of == needs) {
            Some((_, after)) => *after = place.min(*after),
            None => member.after.push((needs, place)),
        }
    }

    /// Whether to look through the database; at once if this is empty and there is nothing else to give.
    fn is_due(&self, now: Instant, nothing_else: bool) -> bool {
        (nothing_else && self.is_empty()) || (!self.fresh && self.not_before.is_none_or(|due| due <= now))
    }

    fn has(&self, organisation: i64) -> bool {
        self.organisations.contains_key(&organisation)
    }

    fn found(&mut self, members: &[WaitingMember], shares: Option<&PoolShares>, began: Instant) {
        // Whatever was believed of the places may hide what another server made ready.
        *self = Self::default();
        for &(needs, member, organisation, _) in members {
            self.add(needs, Owner { organisation, member }, BEGIN, shares);
        }
        self.fresh = true;
        self.not_before = Some(began + began.elapsed() * LOOKING_PART);
    }

    /// Takes in what a look left, after it was charged.
    fn go_on(&mut self, rests: Vec<Remainder>, shares: Option<&PoolShares>) {
        for Remainder { needs, owner, after } in rests {
            let Owner { organisation: id, member: of } = owner;
            let Some(organisation) = self.organisations.get_mut(&id) else { continue };
            let Some(member) = organisation.members.get_mut(&of) else { continue };
            match after {
                Some(after) => {
                    member.after.iter_mut().filter(|(of, _)| *of == needs).for_each(|(_, place)| *place = after)
                }
                None => member.after.retain(|(of, _)| *of != needs),
            }
            organisation.starts.remove(&(member.start, of));
            if member.after.is_empty() {
                organisation.members.remove(&of);
            } else {
                member.start = shares.map_or(0, |shares| shares.member(owner));
                organisation.starts.insert((member.start, of));
            }
            self.starts.remove(&(organisation.start, id));
            if organisation.members.is_empty() {
                self.organisations.remove(&id);
            } else {
                organisation.start = shares.map_or(0, |shares| shares.organisation(id));
                self.starts.insert((organisation.start, id));
            }
        }
    }
}

impl Classes {
    /// The class of these nodes, which may push out the one of its pool that asked longest ago.
    /// A new one meets what `met` says.
    pub(super) fn of(&mut self, nodes: &NodeClass, met: impl FnOnce(&Abilities) -> Vec<i64>) -> &mut Class {
        let classes = self.by_pool.entry(nodes.pool.clone()).or_default();
        if classes.len() >= MOST_CLASSES
            && !classes.contains_key(&nodes.abilities)
            && let Some(oldest) =
                classes.iter().min_by_key(|(_, class)| class.asked).map(|(abilities, _)| abilities.clone())
        {
            classes.remove(&oldest);
        }
        classes.entry(nodes.abilities.clone()).or_insert_with(|| Class::new(met(&nodes.abilities)))
    }

    /// Where other sets of needs are known than before, looks which each class meets, and sees to it that the database is looked through for
    /// them.
    pub(super) fn learn(&mut self, changes: usize, met: impl Fn(&Abilities) -> Vec<i64>) {
        if changes == self.changes {
            return;
        }
        self.changes = changes;
        for (abilities, class) in self.by_pool.values_mut().flatten() {
            class.met = met(abilities);
            (class.ready.fresh, class.partial.fresh) = (false, false);
        }
    }

    /// Takes in what became ready or partial in this process.
    pub(super) fn wake(&mut self, woken: &Woken, shares: &FairShares) {
        for (pool, woken) in &woken.0 {
            for class in self.by_pool.get_mut(pool).into_iter().flat_map(HashMap::values_mut) {
                class.wake(woken, shares.of(pool));
            }
        }
    }

    /// Forgets those that have not asked for long, and sees to it that the others look through the database again.
    pub(super) fn look_again(&mut self) {
        self.by_pool.retain(|_, classes| {
            classes.retain(|_, class| class.asked.elapsed() <= FORGET_CLASS);
            !classes.is_empty()
        });
        for class in self.by_pool.values_mut().flat_map(HashMap::values_mut) {
            (class.ready.fresh, class.partial.fresh) = (false, false);
        }
    }

    /// Whether nodes of the pool ask.
    pub(super) fn has_pool(&self, pool: &str) -> bool {
        self.by_pool.contains_key(pool)
    }

    /// Whether the organisation has something waiting there, as far as is known.
    pub(super) fn is_waiting(&self, pool: &str, organisation: i64) -> bool {
        let mut classes = self.by_pool.get(pool).into_iter().flat_map(HashMap::values);
        classes.any(|class| class.ready.has(organisation) || class.partial.has(organisation))
    }
}

impl Class {
    /// Numbers of the sets of needs that these nodes meet, ascending.
    pub(super) fn met(&self) -> &[i64] {
        &self.met
    }

    fn wake(&mut self, woken: &WokenInPool, shares: Option<&PoolShares>) {
        for (&(needs, member), &(organisation, vstart)) in woken {
            if self.met.binary_search(&needs).is_ok() {
                let owner = Owner { organisation, member };
                self.ready.wake(needs, owner, vstart, shares);
                self.partial.wake(needs, owner, vstart, shares);
            }
        }
    }

    /// Looks through the database for who waits, if that is due.
    pub(super) async fn find(
        &mut self,
        core: &Core,
        pool: &str,
        shares: Option<&PoolShares>,
        idle: bool,
    ) -> Result<(), StoreError> {
        self.asked = Instant::now();
        let needs: Vec<_> = self.met.iter().map(|&needs| (needs,)).collect();
        if self.ready.is_due(self.asked, true) {
            let began = Instant::now();
            let members = core.store.waiting_members(RunState::READY, pool, &needs).await?;
            self.weights.0.extend(members.iter().map(|&(.., organisation, weight)| (organisation, weight)));
            self.ready.found(&members, shares, began);
        }
        // Where there is ready work, most looks take nothing else.
        if idle && self.partial.is_due(self.asked, self.ready.is_empty()) {
            let began = Instant::now();
            let members = core.store.waiting_members(RunState::PARTIAL, pool, &needs).await?;
            self.weights.0.extend(members.iter().map(|&(.., organisation, weight)| (organisation, weight)));
            self.partial.found(&members, shares, began);
        }
        let waiting = self.ready.organisations.keys().chain(self.partial.organisations.keys());
        let unknown: BTreeSet<_> = waiting.filter(|id| !self.weights.0.contains_key(id)).map(|&id| (id,)).collect();
        if !unknown.is_empty() {
            self.weights.0.extend(unknown.iter().map(|&(organisation,)| (organisation, 1)));
            let unknown: Vec<_> = unknown.into_iter().collect();
            self.weights.0.extend(core.store.weights(&unknown).await?);
        }
        Ok(())
    }

    /// Nobody has anything that these nodes could be given: incomplete uploads are for `idle` ones.
    pub(super) fn is_empty(&self, idle: bool) -> bool {
        self.ready.is_empty() && (!idle || self.partial.is_empty())
    }

    /// Who has ready runs.
    pub(super) fn ready(&self) -> &Waiting {
        &self.ready
    }

    /// Who has runs of incomplete uploads.
    pub(super) fn partial(&self) -> &Waiting {
        &self.partial
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Takes in what a look left, after it was charged.
    pub(super) fn go_on(&mut self, ready: Vec<Remainder>, partial: Vec<Remainder>, shares: Option<&PoolShares>) {
        self.ready.go_on(ready, shares);
        self.partial.go_on(partial, shares);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of the pool that have these bits.
    fn nodes(pool: &str, bits: i64) -> NodeClass {
        NodeClass { pool: pool.to_owned(), abilities: Abilities::written(None, bits) }
    }

    /// That meet those needs.
    fn met(abilities: &Abilities) -> Vec<i64> {
        (0..63).filter(|needs| (abilities.bits() >> needs) & 1 == 1).collect()
    }

    #[test]
    fn a_pool_whose_nodes_claim_ever_other_things_has_few_classes() {
        let mut classes = Classes::default();
        let name = |number: u64| Abilities::written(Some(&format!("{number:04}")), 0);
        let class = |number| NodeClass { pool: "p".to_owned(), abilities: name(number) };
        classes.of(&nodes("other", 2), met);
        for number in 1..1000 {
            classes.of(&class(number), met).asked += Duration::from_nanos(number);
            assert!(classes.by_pool["p"].len() <= MOST_CLASSES);
        }
        let mut left: Vec<_> = classes.by_pool["p"].keys().map(Abilities::as_str).collect();
        left.sort_unstable();
        let last: Vec<_> = (1000 - MOST_CLASSES as u64..1000).map(name).collect();
        assert_eq!(left, last.iter().map(Abilities::as_str).collect::<Vec<_>>(), "those that asked last");
        assert!(classes.has_pool("other"), "another pool's are left alone");
    }

    #[test]
    fn who_is_waiting_in_any_class_of_a_pool_is_known() {
        let mut classes = Classes::default();
        for (pool, runs) in [("p", 0b010), ("p", 0b110), ("q", 0b110)] {
            classes.of(&nodes(pool, runs), met);
        }
        let mut woken = Woken::default();
        woken.0.entry("p".to_owned()).or_default().insert((2, 21), (7, 1));
        classes.wake(&woken, &FairShares::default());
        assert!(classes.is_waiting("p", 7) && !classes.is_waiting("p", 8) && !classes.is_waiting("q", 7));
        let other = &classes.by_pool["p"][&nodes("p", 0b010).abilities];
        assert!(other.ready.is_empty(), "who cannot run it is not woken");
    }

    #[test]
    fn a_class_that_is_there_meets_sets_that_become_known_later() {
        let mut classes = Classes::default();
        classes.of(&nodes("p", 0b010), |_| Vec::new());
        classes.learn(1, met);
        let mut woken = Woken::default();
        woken.0.entry("p".to_owned()).or_default().insert((1, 21), (7, 1));
        classes.wake(&woken, &FairShares::default());
        assert!(classes.is_waiting("p", 7));
    }

    #[test]
    fn incomplete_uploads_are_seldom_looked_for_beside_ready_work() {
        let now = Instant::now();
        let mut partial = Waiting::default();
        assert!(partial.is_due(now, false), "nobody has looked yet");
        partial.found(&[], None, now);
        assert!(partial.is_due(now, true), "there is nothing else to give");
        assert!(!partial.is_due(now + Duration::from_secs(60), false));
        partial.fresh = false;
        assert!(partial.is_due(now + Duration::from_secs(60), false), "once a second");
    }
}
