//! What servers know of time beside the database's clock.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx};

/// The row, and the database's clock when it was read. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockRow {
    pub(crate) wall: i64,
    pub(crate) boot: String,
    pub(crate) uptime: i64,
    pub(crate) deletable: i64,
    pub(crate) gaps: String,
    pub(crate) now: i64,
}

crate::store::from_row!(ClockRow { wall, boot, uptime, deletable, gaps, now });

impl Tx {
    /// Locks the row.
    pub(crate) async fn lock_clocks(&mut self) -> Result<ClockRow, StoreError> {
        let found = rows!(
            self,
            ClockRow,
            "select wall, boot, uptime, deletable, gaps, {now} as now from clocks where id = 1 {lock}"
        )?;
        Ok(found.into_iter().next().ok_or(sqlx::Error::RowNotFound)?)
    }

    /// Writes down what was seen of the database's clock, and what follows for deletion.
    pub(crate) async fn set_clocks(&mut self, row: &ClockRow) -> Result<(), StoreError> {
        execute!(
            self,
            "update clocks set wall = $1, boot = $2, uptime = $3, deletable = $4, gaps = $5 where id = 1",
            row.wall,
            &row.boot,
            row.uptime,
            row.deletable,
            &row.gaps
        )?;
        Ok(())
    }

    /// Moves the steady clock on to `steady`, unless it is there already, and answers where it is. Nothing where there is no
    /// node that could be present: then it stands.
    pub(crate) async fn keep_steady(&mut self, steady: i64) -> Result<Option<i64>, StoreError> {
        let moved = rows!(
            self,
            (i64,),
            "update clocks set steady = {greatest}(steady, $1)
             where id = 1 and exists (select 1 from nodes) returning steady",
            steady
        )?;
        Ok(moved.first().map(|(steady,)| *steady))
    }
}

impl Store {
    /// The row, unlocked.
    pub(crate) async fn clocks(&self) -> Result<ClockRow, StoreError> {
        let found =
            read!(self, ClockRow, "select wall, boot, uptime, deletable, gaps, {now} as now from clocks where id = 1")?;
        Ok(found.into_iter().next().ok_or(sqlx::Error::RowNotFound)?)
    }
}
