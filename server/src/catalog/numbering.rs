//! Numbers sets of needs in the database, and keeps up with those that other servers have numbered.

use std::sync::PoisonError;

use super::handle::Catalog;
use super::needs::{Abilities, NeedSet};
use crate::refusal::from_store;
use crate::retry::retried;
use crate::store::StoreError;

/// How often a number is tried for that another server may take at the same time.
const ATTEMPTS: usize = 16;

impl Catalog {
    /// The number of a set of needs.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn number_of(&self, set: &NeedSet) -> Result<i64, StoreError> {
        for _ in 0..ATTEMPTS {
            if let Some(number) = self.core.numbers.of(set) {
                return Ok(number);
            }
            if self.learn_numbers().await? {
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
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn set_of(&self, number: i64) -> Result<Option<NeedSet>, StoreError> {
        if let Some(set) = self.core.numbers.set(number) {
            return Ok(Some(set));
        }
        self.learn_numbers().await?;
        Ok(self.core.numbers.set(number))
    }

    /// Learns the sets that other servers have numbered. True: there were some.
    async fn learn_numbers(&self) -> Result<bool, StoreError> {
        let rows = self.core.store.need_sets_after(self.core.numbers.last()).await?;
        let some = !rows.is_empty();
        self.core.numbers.learn(rows);
        Ok(some)
    }

    /// Learns all sets as the database has them, which another may have been put in place of; where that fails, the next time.
    pub(crate) async fn keep_up_with_needs(&self) {
        match self.core.store.need_sets_after(0).await {
            Ok(rows) => {
                if !self.core.numbers.learn_all(rows) {
                    self.core.needs.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
            }
            Err(error) => {
                let _logged = from_store("learn what runs may need", &error);
            }
        }
    }

    /// Another number whenever what is known of sets has changed: whoever has looked through them looks again.
    pub(crate) fn need_changes(&self) -> usize {
        self.core.numbers.changes()
    }

    /// Whether the headers of what needs this set are of format 2, whose results may come together.
    pub(crate) fn is_of_format_2(&self, needs: i64) -> bool {
        self.core.numbers.is_of_format_2(needs)
    }

    /// How many sets of several alternatives are known.
    pub(crate) fn alternatives(&self) -> usize {
        self.core.numbers.alternatives()
    }

    /// Numbers of all known sets that such nodes have what they need of, ascending.
    pub(crate) fn met_by(&self, abilities: &Abilities) -> Vec<i64> {
        self.core.numbers.met_by(abilities)
    }
}
