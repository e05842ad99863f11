//! The number of each set of needs, which never changes. All that the database has are remembered: they are few, because they come from
//! releases and not from those who upload.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::names::{Abilities, NeedSet};
use crate::catalog::Catalog;
use crate::refusal::from_store;
use crate::retry::retried;
use crate::store::StoreError;

/// How often a number is tried for that another server may take at the same time.
const ATTEMPTS: usize = 16;

/// The sets that are known here.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Numbers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_number: BTreeMap<i64, NeedSet>,
    by_set: HashMap<NeedSet, i64>,
}

impl Numbers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, rows: Vec<(i64, String)>) {
        let mut known = self.known();
        for (number, names) in rows {
            let set = NeedSet::written(&names);
            known.by_set.insert(set.clone(), number);
            known.by_number.insert(number, set);
        }
    }
}

impl Catalog {
    /// The number of a set of needs.
    pub(crate) async fn number_of(&self, set: &NeedSet) -> Result<i64, StoreError> {
        for _ in 0..ATTEMPTS {
            if let Some(&number) = self.core.numbers.known().by_set.get(set) {
                return Ok(number);
            }
            if self.learn_numbers().await? && self.core.numbers.known().by_set.contains_key(set) {
                continue;
            }
            // Another server may take the number for another set at the same time: then there is one more to learn.
            retried(|| async {
                let mut tx = self.core.store.begin().await?;
                tx.insert_need_set(set.as_str()).await?;
                tx.commit().await
            })
            .await?;
            self.learn_numbers().await?;
        }
        Err(StoreError::from(sqlx::Error::RowNotFound))
    }

    /// What a number stands for, as far as the database knows it.
    pub(crate) async fn set_of(&self, number: i64) -> Result<Option<NeedSet>, StoreError> {
        let known = || self.core.numbers.known().by_number.get(&number).cloned();
        if let Some(set) = known() {
            return Ok(Some(set));
        }
        self.learn_numbers().await?;
        Ok(known())
    }

    /// Learns the sets that other servers have numbered. True: there were some.
    async fn learn_numbers(&self) -> Result<bool, StoreError> {
        let last = self.core.numbers.known().by_number.last_key_value().map_or(0, |(&number, _)| number);
        let rows = self.core.store.need_sets_after(last).await?;
        let some = !rows.is_empty();
        self.core.numbers.learn(rows);
        Ok(some)
    }

    /// Learns the sets that other servers have numbered; where that fails, the next time.
    pub(crate) async fn keep_up_with_needs(&self) {
        if let Err(error) = self.learn_numbers().await {
            let _logged = from_store("learn what runs may need", &error);
        }
    }

    /// How many sets are known: whoever has looked through them looks again when there are more.
    pub(crate) fn need_sets(&self) -> usize {
        self.core.numbers.known().by_number.len()
    }

    /// Numbers of all known sets that such nodes have what they need of.
    pub(crate) fn met_by(&self, abilities: &Abilities) -> Vec<i64> {
        let known = self.core.numbers.known();
        known.by_number.iter().filter(|(_, set)| set.met_by(abilities)).map(|(&number, _)| number).collect()
    }
}
