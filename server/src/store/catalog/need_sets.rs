//! The sets of names that runs need, by number.

use crate::store::dialect::{execute, read};
use crate::store::{Store, StoreError, Tx};

/// Numbers that are given are multiples of this, behind those that were given first: see the migration.
const STEP: i64 = 64;

impl Tx {
    /// Gives a set the next number, unless it has one, or another transaction takes that number at the same time. So numbers become
    /// visible in their order.
    pub(crate) async fn insert_need_set(&mut self, names: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into need_sets (id, names)
             select (max(s.id) / $2 + 1) * $2, $1 from need_sets s where true
             on conflict do nothing",
            names,
            STEP
        )?;
        Ok(())
    }
}

impl Store {
    /// The sets (number, names) with numbers after this one.
    pub(crate) async fn need_sets_after(&self, number: i64) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(read!(self, (i64, String), "select id, names from need_sets where id > $1 order by id", number)?)
    }
}
