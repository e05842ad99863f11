//! The number of each set of needs, which never changes, but in a database that became an older one. All that the database has are remembered: they are few, because they come from
//! releases and not from those who upload.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use filemill_api::abilities::HEADER_2;

use super::names::{Abilities, NeedSet};

/// The sets that are known here.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Numbers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_number: BTreeMap<i64, NeedSet>,
    by_set: HashMap<NeedSet, i64>,
    /// How often that has changed.
    changes: usize,
}

impl Numbers {
    /// That of a set, if it is known.
    pub(in crate::catalog) fn of(&self, set: &NeedSet) -> Option<i64> {
        self.known().by_set.get(set).copied()
    }

    /// What a number stands for, if that is known.
    pub(in crate::catalog) fn set(&self, number: i64) -> Option<NeedSet> {
        self.known().by_number.get(&number).cloned()
    }

    /// The highest that is known; 0 where none is.
    pub(in crate::catalog) fn last(&self) -> i64 {
        self.known().by_number.last_key_value().map_or(0, |(&number, _)| number)
    }

    /// How many are known that are of several alternatives. Of others there are few: releases and what nodes bring have a contract and a minor, and
    /// what publishers say.
    pub(in crate::catalog) fn alternatives(&self) -> usize {
        self.known().by_number.values().filter(|set| set.alternatives().nth(1).is_some()).count()
    }

    /// Whether all that a set stands for read headers of format 2; where it is not known, they may.
    pub(in crate::catalog) fn is_of_format_2(&self, number: i64) -> bool {
        let known = self.known();
        known
            .by_number
            .get(&number)
            .is_none_or(|set| set.alternatives().all(|names| names.split(' ').any(|name| name == HEADER_2)))
    }

    /// Another number whenever what is known has changed.
    pub(in crate::catalog) fn changes(&self) -> usize {
        self.known().changes
    }

    /// Numbers of all known sets that such nodes have what they need of, ascending.
    pub(in crate::catalog) fn met_by(&self, abilities: &Abilities) -> Vec<i64> {
        let known = self.known();
        known.by_number.iter().filter(|(_, set)| set.met_by(abilities)).map(|(&number, _)| number).collect()
    }

    /// Takes in sets as the database has them.
    pub(in crate::catalog) fn learn(&self, rows: Vec<(i64, String)>) {
        let mut known = self.known();
        for (number, names) in rows {
            let set = NeedSet::written(&names);
            known.by_set.insert(set.clone(), number);
            known.by_number.insert(number, set);
            known.changes += 1;
        }
    }

    /// Takes in all that the database has. False: something was known that is not so, as where an older database was put in its place.
    pub(in crate::catalog) fn learn_all(&self, rows: Vec<(i64, String)>) -> bool {
        let all: BTreeMap<_, _> = rows.into_iter().map(|(number, names)| (number, NeedSet::written(&names))).collect();
        let mut known = self.known();
        if known.by_number == all {
            return true;
        }
        let is_so = known.by_number.iter().all(|(number, set)| all.get(number) == Some(set));
        known.by_set = all.iter().map(|(&number, set)| (set.clone(), number)).collect();
        known.by_number = all;
        known.changes += 1;
        is_so
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_database_knows_is_known_in_place_of_what_was_known() {
        let numbers = Numbers::default();
        let row = |number, names: &str| (number, NeedSet::component(1, 0).and(&[names]).as_str().to_owned());
        numbers.learn(vec![row(64, "a"), row(128, "b")]);
        let before = numbers.changes();
        assert!(numbers.learn_all(vec![row(64, "a"), row(128, "b")]));
        assert_eq!(numbers.changes(), before);
        assert!(numbers.learn_all(vec![row(64, "a"), row(128, "b"), row(192, "c")]), "there is only more");
        assert_ne!(numbers.changes(), before);
        let before = numbers.changes();
        assert!(!numbers.learn_all(vec![row(64, "a"), row(128, "c"), row(192, "b")]));
        assert_ne!(numbers.changes(), before, "there are as many, but others");
        assert_eq!(numbers.of(&NeedSet::component(1, 0).and(&["c"])), Some(128));
        assert!(!numbers.learn_all(vec![row(64, "a")]));
        assert_eq!(numbers.last(), 64);
        assert_eq!(numbers.of(&NeedSet::component(1, 0).and(&["b"])), None);
    }
}
