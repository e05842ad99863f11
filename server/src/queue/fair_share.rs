//! Fair shares: start-time fair queueing in two levels. Organisations share a pool, members share their organisation's
//! part of it.
//!
//! Every organisation has a virtual time at which its next work starts, and within it every member has one. Who is lowest is
//! next, and what is leased moves it on by the work's cost, whatever comes of the work: that is all there is to it. Who comes
//! (back) begins at the virtual time that was reached, so that nobody saves a share up. Goyal, Guo and Vin, "A Hierarchical CPU
//! Scheduler for Multimedia Operating Systems" (1996); start-time fair queueing is Goyal, Vin and Cheng (1996).
//!
//! All of it is kept in memory, by each server for what it leases itself: where each divides its own leases fairly, their sum
//! is fair, and a restart forgets no more than the last lease of each.

use std::collections::HashMap;

/// One unit of cost at weight 1, in virtual time.
const SCALE: i64 = 1000;

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) organisation: i64,
    pub(super) member: i64,
}

/// The virtual times of every pool.
#[derive(Debug, Default)]
pub(super) struct FairShares {
    pools: HashMap<String, PoolShares>,
}

/// The virtual times of one pool.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolShares {
    /// The start of what was leased last.
    now: i64,
    organisations: HashMap<i64, OrganisationShare>,
}

#[derive(Clone, Debug, Default)]
struct OrganisationShare {
    start: i64,
    /// The start, within the organisation, of what was leased last of it.
    now: i64,
    starts: HashMap<i64, i64>,
}

impl FairShares {
    /// The pool's, as they are now.
    pub(super) fn of(&self, pool: &str) -> Option<&PoolShares> {
        self.pools.get(pool)
    }

    /// Work of this cost was leased.
    pub(super) fn charge(&mut self, pool: &str, owner: Owner, weight: i64, cost: i64) {
        // Not `entry`, which wants the name as a string of its own.
        if !self.pools.contains_key(pool) {
            self.pools.insert(pool.to_owned(), PoolShares::default());
        }
        if let Some(shares) = self.pools.get_mut(pool) {
            shares.charge(owner, weight, cost);
        }
    }

    /// Forgets whatever is as if it had never been, the pools that are not in use, and the shares within organisations that
    /// have nothing waiting in a pool. (Not of those that have: their members' starts are kept elsewhere, too, by the same time.)
    pub(super) fn compact(&mut self, in_use: impl Fn(&str) -> bool, is_waiting: impl Fn(&str, i64) -> bool) {
        self.pools.retain(|pool, _| in_use(pool));
        for (pool, shares) in &mut self.pools {
            shares.compact(|id| is_waiting(pool, id));
        }
    }
}

impl PoolShares {
    /// When the organisation's next work starts.
    pub(super) fn organisation(&self, organisation: i64) -> i64 {
        self.organisations.get(&organisation).map_or(self.now, |one| one.start.max(self.now))
    }

    /// When the member's next work starts, within its organisation.
    pub(super) fn member(&self, owner: Owner) -> i64 {
        self.organisations
            .get(&owner.organisation)
            .map_or(0, |one| one.starts.get(&owner.member).map_or(one.now, |start| one.now.max(*start)))
    }

    /// Work of this cost was leased.
    pub(super) fn charge(&mut self, owner: Owner, weight: i64, cost: i64) {
        let (start, within) = (self.organisation(owner.organisation), self.member(owner));
        self.now = start;
        self.organisations.entry(owner.organisation).or_default().now = within;
        self.charge_more(owner, weight, cost);
    }

    /// What was charged before took so much more. That moves its owner on and nothing else: what this pool has reached is the start
    /// of what was taken up, or a part that turns out to be large would take from all others what they have waited.
    pub(super) fn charge_more(&mut self, owner: Owner, weight: i64, cost: i64) {
        let (start, within) = (self.organisation(owner.organisation), self.member(owner));
        let organisation = self.organisations.entry(owner.organisation).or_default();
        organisation.start = start.saturating_add(length(cost, weight));
        organisation.starts.insert(owner.member, within.saturating_add(length(cost, 1)));
    }

    /// As [`FairShares::compact`].
    pub(super) fn compact(&mut self, is_waiting: impl Fn(i64) -> bool) {
        let now = self.now;
        self.organisations.retain(|&id, organisation| {
            let reached = organisation.now;
            organisation.starts.retain(|_, start| *start > reached);
            organisation.start > now || is_waiting(id)
        });
    }
}

/// How much virtual time work of this cost takes, at this weight.
pub(super) fn length(cost: i64, weight: i64) -> i64 {
    cost.max(1).saturating_mul(SCALE) / weight.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Owner = Owner { organisation: 1, member: 11 };
    const BOB: Owner = Owner { organisation: 1, member: 12 };
    const EVE: Owner = Owner { organisation: 2, member: 21 };

    fn starts(shares: &FairShares, owner: Owner) -> (i64, i64) {
        let pool = shares.of("p").expect("a pool");
        (pool.organisation(owner.organisation), pool.member(owner))
    }

    #[test]
    fn who_was_away_has_saved_nothing_up() {
        let mut shares = FairShares::default();
        for _ in 0..100 {
            shares.charge("p", ANN, 1, 10);
        }
        assert_eq!(starts(&shares, EVE), (99 * 10 * SCALE, 0));
        assert_eq!(starts(&shares, BOB), (100 * 10 * SCALE, 99 * 10 * SCALE), "nor within an organisation");
    }

    #[test]
    fn weights_are_the_organisations() {
        let mut shares = FairShares::default();
        shares.charge("p", ANN, 4, 10);
        shares.charge("p", EVE, 1, 10);
        assert_eq!((starts(&shares, ANN), starts(&shares, EVE)), ((2500, 10_000), (10_000, 10_000)));
    }

    #[test]
    fn one_pool_is_nothing_to_another() {
        let mut shares = FairShares::default();
        shares.charge("q", ANN, 1, 1_000_000);
        shares.charge("p", EVE, 1, 1);
        assert_eq!(starts(&shares, ANN), (0, 0));
    }

    #[test]
    fn what_took_more_than_was_charged_moves_nobody_else_on() {
        let mut shares = PoolShares::default();
        shares.charge(EVE, 1, 500);
        shares.charge(ANN, 1, 10);
        shares.charge_more(ANN, 1, 1000);
        shares.charge_more(ANN, 1, 1000);
        assert_eq!(shares.organisation(ANN.organisation), 2010 * SCALE);
        assert_eq!(shares.member(ANN), 2010 * SCALE);
        assert_eq!(shares.organisation(EVE.organisation), 500 * SCALE, "she owes what she owed");
        assert_eq!((shares.organisation(3), shares.member(BOB)), (0, 0), "who comes new is first");
    }

    #[test]
    fn what_is_forgotten_makes_no_difference() {
        let mut shares = FairShares::default();
        shares.charge("p", ANN, 1, 5);
        shares.charge("p", EVE, 1, 50);
        shares.charge("p", BOB, 1, 500);
        shares.charge("q", BOB, 1, 500);
        let before: Vec<_> = [ANN, BOB, EVE].map(|owner| starts(&shares, owner)).to_vec();
        shares.compact(|pool| pool == "p", |_, _| true);
        assert_eq!([ANN, BOB, EVE].map(|owner| starts(&shares, owner)).to_vec(), before);
        assert!(shares.of("q").is_none());
        shares.compact(|_| true, |_, _| false);
        let after = [ANN, BOB, EVE].map(|owner| starts(&shares, owner).0);
        assert_eq!(after.to_vec(), before.iter().map(|(organisation, _)| *organisation).collect::<Vec<_>>());
    }

    #[test]
    fn organisations_that_have_come_and_gone_are_forgotten() {
        let mut shares = FairShares::default();
        let always = Owner { organisation: 7, member: 7 };
        for organisation in 100..1100 {
            shares.charge("p", Owner { organisation, member: organisation }, 1, 1);
            shares.charge("p", always, 1, 1);
            shares.compact(|_| true, |_, id| id == 7);
            assert!(shares.of("p").is_some_and(|pool| pool.organisations.len() <= 3), "{organisation}");
        }
        assert!(shares.of("p").is_some_and(|pool| pool.organisations.contains_key(&7)), "it has something waiting");
    }
}
