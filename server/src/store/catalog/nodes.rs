//! Which nodes were seen, so that a waiting job can say whether anybody could run it; by the clock that does not jump.

use filemill_api::limits::MAX_POOL_NODES;

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// Different sets of what a pool's nodes have that are looked at: each poll, and each page of a pool, goes through them.
const MOST_ABILITIES: i64 = 64;

impl Tx {
    /// Writes down that a node is there, and what it has; also as servers read it that know no names. False: it is not known.
    pub(crate) async fn see_node(&mut self, pool: &str, id: &str, has: (&str, i64)) -> Result<bool, StoreError> {
        let (abilities, bits) = has;
        let seen = execute!(
            self,
            "update nodes set abilities = $3, runs = $4, seen_at = {steady} where pool = $1 and id = $2",
            pool,
            id,
            abilities,
            bits
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
    /// too many all the same. Without a word of what it has, it has what it had.
    pub(crate) async fn meet_node(
        &mut self,
        pool: &str,
        id: &str,
        has: Option<(&str, i64)>,
        unseen_ms: i64,
    ) -> Result<bool, StoreError> {
        if self.is_full(pool).await? {
            execute!(self, "delete from nodes where pool = $1 and seen_at < {steady} - $2", pool, unseen_ms)?;
            if self.is_full(pool).await? {
                return Ok(false);
            }
        }
        let (abilities, bits) = has.unzip();
        execute!(
            self,
            "insert into nodes (pool, id, abilities, runs, seen_at) values ($1, $2, $3, $4, {steady})
             on conflict (pool, id) do update set abilities = coalesce(excluded.abilities, nodes.abilities),
                 runs = case when excluded.abilities is null then nodes.runs else excluded.runs end,
                 seen_at = excluded.seen_at",
            pool,
            id,
            abilities,
            bits.unwrap_or(0)
        )?;
        Ok(true)
    }

    async fn is_full(&mut self, pool: &str) -> Result<bool, StoreError> {
        let nodes = rows!(self, (i64,), "select count(*) from nodes where pool = $1", pool)?;
        Ok(nodes.first().is_some_and(|(nodes,)| *nodes >= MAX_POOL_NODES as i64))
    }

    /// Counts a node as not seen for so long. What it has is known until it is forgotten.
    pub(crate) async fn miss_node(&mut self, pool: &str, id: &str, unseen_ms: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "update nodes set seen_at = {steady} - $3 - 1 where pool = $1 and id = $2 and seen_at >= {steady} - $3",
            pool,
            id,
            unseen_ms
        )?;
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

    /// What nodes of a pool have that were seen lately, each different set once, those that most have: names, and bits where there are none.
    pub(crate) async fn abilities_in(
        &self,
        pool: &str,
        within_ms: i64,
    ) -> Result<Vec<(Option<String>, i64)>, StoreError> {
        Ok(read!(
            self,
            (Option<String>, i64),
            "select n.abilities, n.bits from (
                 select abilities, case when abilities is null then runs else 0 end as bits from nodes
                 where pool = $1 and seen_at >= {steady} - $2) as n
             group by n.abilities, n.bits order by count(*) desc, n.abilities, n.bits limit $3",
            pool,
            within_ms,
            MOST_ABILITIES
        )?)
    }

    /// The same of every pool of which a node was seen lately.
    pub(crate) async fn abilities_by_pool(
        &self,
        within_ms: i64,
    ) -> Result<Vec<(String, Option<String>, i64)>, StoreError> {
        Ok(read!(
            self,
            (String, Option<String>, i64),
            "select r.pool, r.abilities, r.bits from (
                 select n.pool, n.abilities, n.bits,
                     row_number() over (partition by n.pool order by count(*) desc, n.abilities, n.bits) as place
                 from (select pool, abilities, case when abilities is null then runs else 0 end as bits from nodes
                       where seen_at >= {steady} - $1) as n
                 group by n.pool, n.abilities, n.bits) as r
             where r.place <= $2",
            within_ms,
            MOST_ABILITIES
        )?)
    }
}
