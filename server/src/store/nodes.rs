//! Which nodes were seen, so that a waiting job can say whether anybody could run it.

use super::dialect::{execute, read};
use super::{Store, StoreError, Tx};

impl Tx {
    pub(crate) async fn see_node(&mut self, id: &str, pool: &str, runs: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into nodes (id, pool, runs, seen_at) values ($1, $2, $3, {now})
             on conflict (id) do update set pool = excluded.pool, runs = excluded.runs, seen_at = excluded.seen_at",
            id,
            pool,
            runs
        )?;
        Ok(())
    }

    /// Writes down that a node is there which has not said yet what it runs.
    pub(crate) async fn meet_node(&mut self, id: &str, pool: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into nodes (id, pool, runs, seen_at) values ($1, $2, 0, {now})
             on conflict (id) do update set seen_at = excluded.seen_at",
            id,
            pool
        )?;
        Ok(())
    }

    /// Forgets nodes that were not seen for so long.
    pub(crate) async fn forget_nodes(&mut self, unseen_ms: i64) -> Result<(), StoreError> {
        execute!(self, "delete from nodes where seen_at < {now} - $1", unseen_ms)?;
        Ok(())
    }
}

impl Store {
    /// Whether a node of the pool that has what is needed was seen lately.
    pub(crate) async fn node_seen(&self, pool: &str, needs: i64, within_ms: i64) -> Result<bool, StoreError> {
        let found = read!(
            self,
            (String,),
            "select id from nodes where pool = $1 and ((runs >> cast($2 as integer)) & 1) <> 0 and seen_at >= {now} - $3
             limit 1",
            pool,
            needs,
            within_ms
        )?;
        Ok(!found.is_empty())
    }
}
