//! Which nodes were seen, so that a waiting job can say whether anybody could run it; by the clock that does not jump.

use filemill_api::limits::MAX_POOL_NODES;

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

impl Tx {
    /// Writes down that a node is there, and what it runs. False: it is not known.
    pub(crate) async fn see_node(&mut self, pool: &str, id: &str, runs: i64) -> Result<bool, StoreError> {
        let seen = execute!(
            self,
            "update nodes set runs = $3, seen_at = {steady} where pool = $1 and id = $2",
            pool,
            id,
            runs
        )?;
        Ok(seen > 0)
    }

    /// Writes down that a node is there. False: it is not known.
    pub(crate) async fn touch_node(&mut self, pool: &str, id: &str) -> Result<bool, StoreError> {
        Ok(execute!(self, "update nodes set seen_at = {steady} where pool = $1 and id = $2", pool, id)? > 0)
    }

    /// Writes down that nodes (pool, id) are there, as far as they are known.
    pub(crate) async fn touch_nodes(&mut self, nodes: &[(String, String)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update nodes set seen_at = {steady}
             where (pool, id) in (select e.value ->> 0, e.value ->> 1 from {rows $1})",
            json(nodes)?
        )?;
        Ok(())
    }

    /// Makes a node known, and if the pool has too many of them forgets those that were not seen for so long. False: there are
    /// too many all the same.
    pub(crate) async fn meet_node(
        &mut self,
        pool: &str,
        id: &str,
        runs: i64,
        unseen_ms: i64,
    ) -> Result<bool, StoreError> {
        if self.is_full(pool).await? {
            execute!(self, "delete from nodes where pool = $1 and seen_at < {steady} - $2", pool, unseen_ms)?;
            if self.is_full(pool).await? {
                return Ok(false);
            }
        }
        execute!(
            self,
            "insert into nodes (pool, id, runs, seen_at) values ($1, $2, $3, {steady})
             on conflict (pool, id) do update set
                 runs = case when excluded.runs = 0 then nodes.runs else excluded.runs end, seen_at = excluded.seen_at",
            pool,
            id,
            runs
        )?;
        Ok(true)
    }

    async fn is_full(&mut self, pool: &str) -> Result<bool, StoreError> {
        let nodes = rows!(self, (i64,), "select count(*) from nodes where pool = $1", pool)?;
        Ok(nodes.first().is_some_and(|(nodes,)| *nodes >= MAX_POOL_NODES as i64))
    }

    /// Forgets a node.
    pub(crate) async fn forget_node(&mut self, pool: &str, id: &str) -> Result<(), StoreError> {
        execute!(self, "delete from nodes where pool = $1 and id = $2", pool, id)?;
        Ok(())
    }

    /// Forgets nodes that were not seen for so long.
    pub(crate) async fn forget_nodes(&mut self, unseen_ms: i64) -> Result<(), StoreError> {
        execute!(self, "delete from nodes where seen_at < {steady} - $1", unseen_ms)?;
        Ok(())
    }
}

impl Store {
    /// Whether a node is known, whenever it was seen.
    pub(crate) async fn is_known_node(&self, pool: &str, id: &str) -> Result<bool, StoreError> {
        let found = read!(self, (String,), "select id from nodes where pool = $1 and id = $2", pool, id)?;
        Ok(!found.is_empty())
    }

    /// Whether a node of the pool that has what is needed was seen lately.
    pub(crate) async fn node_seen(&self, pool: &str, needs: i64, within_ms: i64) -> Result<bool, StoreError> {
        let found = read!(
            self,
            (String,),
            "select id from nodes where pool = $1 and ((runs >> cast($2 as integer)) & 1) <> 0 and seen_at >= {steady} - $3
             limit 1",
            pool,
            needs,
            within_ms
        )?;
        Ok(!found.is_empty())
    }
}
