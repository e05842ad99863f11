//! The number of each set of needs, which never changes. All that the database has are remembered: they are few, because they come from
//! releases and not from those who upload.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::names::{Abilities, NeedSet};

/// The sets that are known here.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Numbers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_number: BTreeMap<i64, NeedSet>,
    by_set: HashMap<NeedSet, i64>,
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

    /// How many are known.
    pub(in crate::catalog) fn len(&self) -> usize {
        self.known().by_number.len()
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
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
