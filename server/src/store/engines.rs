//! Components that nodes brought themselves, and which node offers which.

use super::dialect::{execute, read, rows};
use super::{Store, StoreError, Tx, json};

/// One engine as a node lists it: name and digest.
pub(crate) type OfferRow<'a> = (&'a str, &'a str);

/// A component that a node lists: digest, contract, needs, length, and 1 if the node says that it is stored. Each once.
pub(crate) type ComponentRow<'a> = (&'a str, i64, i64, i64, i64);

/// An engine that clients of a pool see.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct LocalRow {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) contract: i64,
    pub(crate) length: i64,
    pub(crate) version: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) media_types: Option<String>,
}

impl Tx {
    /// Replaces all that the node offered to the pool.
    pub(crate) async fn offer(&mut self, pool: &str, node: &str, offers: &[OfferRow<'_>]) -> Result<(), StoreError> {
        let offers = json(offers)?;
        execute!(
            self,
            "delete from offers where pool = $1 and node = $2
                 and name not in (select e.value ->> 0 from {rows $3})",
            pool,
            node,
            &offers
        )?;
        execute!(
            self,
            "insert into offers (pool, node, name, digest, since)
             select $1, $2, e.value ->> 0, e.value ->> 1, {now} from {rows $3} where true
             on conflict (pool, node, name) do update set
                 since = case when offers.digest = excluded.digest then offers.since else excluded.since end,
                 digest = excluded.digest",
            pool,
            node,
            &offers
        )?;
        Ok(())
    }

    /// Writes components of the pool down. One is stored if its node says so, or a release has its bytes; one whose object is
    /// being deleted is not.
    pub(crate) async fn bring(&mut self, pool: &str, components: &[ComponentRow<'_>]) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into components (pool, digest, contract, needs, length, stored, used_at)
             select $1, e.value ->> 0, cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint),
                 cast(e.value ->> 3 as bigint),
                 cast(e.value ->> 4 as bigint) = 1
                     or exists (select 1 from releases r where r.digest = e.value ->> 0),
                 {now}
             from {rows $2} where true
             on conflict (pool, digest) do update set
                 contract = excluded.contract, needs = excluded.needs, length = excluded.length,
                 stored = components.stored or (excluded.stored and not components.doomed), used_at = excluded.used_at",
            pool,
            json(components)?
        )?;
        Ok(())
    }

    /// Of components of the pool: digest, whether it is stored, and whether its object is being deleted, for whichever pool.
    pub(crate) async fn component_states(
        &mut self,
        pool: &str,
        components: &[ComponentRow<'_>],
    ) -> Result<Vec<(String, bool, bool)>, StoreError> {
        Ok(rows!(
            self,
            (String, bool, bool),
            "select c.digest, c.stored,
                 exists (select 1 from components o where o.digest = c.digest and o.doomed)
             from components c where c.pool = $1 and c.digest in (select e.value ->> 0 from {rows $2})",
            pool,
            json(components)?
        )?)
    }

    /// How many engines the other nodes of the pool offer.
    pub(crate) async fn offers_of_others(&mut self, pool: &str, node: &str) -> Result<i64, StoreError> {
        let found = rows!(self, (i64,), "select count(*) from offers where pool = $1 and node <> $2", pool, node)?;
        Ok(found.first().map_or(0, |(offers,)| *offers))
    }

    /// Offers of nodes that are not remembered end; components that are offered are in use.
    pub(crate) async fn settle_offers(&mut self) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from offers where not exists
                 (select 1 from nodes n where n.pool = offers.pool and n.id = offers.node)"
        )?;
        execute!(
            self,
            "update components set used_at = {now}
             where exists (select 1 from offers o where o.pool = components.pool and o.digest = components.digest)"
        )?;
        Ok(())
    }

    /// Dooms components that nobody has offered for so long and no upload waits for.
    pub(crate) async fn doom_components(&mut self, unused_ms: i64) -> Result<u64, StoreError> {
        Ok(execute!(
            self,
            "update components set doomed = true, stored = false
             where not doomed and used_at < {now} - $1
                 and not exists (select 1 from offers o
                     where o.pool = components.pool and o.digest = components.digest)
                 and not exists (select 1 from uploads u
                     where u.release = components.digest and u.finished_at is null)",
            unused_ms
        )?)
    }

    /// Forgets doomed components (pool, digest) whose objects are gone.
    pub(crate) async fn forget_components(&mut self, components: &[(String, String)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from components where doomed and (pool, digest) in
                 (select e.value ->> 0, e.value ->> 1 from {rows $1})",
            json(components)?
        )?;
        Ok(())
    }
}

impl Store {
    /// The engines that nodes of the pool offer which were seen lately, by name, and the newest of a name first.
    pub(crate) async fn local_engines(&self, pool: &str, within_ms: i64) -> Result<Vec<LocalRow>, StoreError> {
        Ok(read!(
            self,
            LocalRow,
            "select o.name, o.digest, c.contract, c.length, d.version, d.summary, d.media_types
             from offers o join nodes n on n.id = o.node and n.pool = o.pool
             join components c on c.pool = o.pool and c.digest = o.digest
             left join descriptions d on d.pool = o.pool and d.digest = o.digest and d.said_at =
                 (select max(l.said_at) from descriptions l where l.pool = o.pool and l.digest = o.digest)
             where o.pool = $1 and n.seen_at >= {now} - $2 and c.stored and not c.doomed
             order by o.name, o.since desc, o.node",
            pool,
            within_ms
        )?)
    }

    /// What a component of the pool needs, and whether a node that was seen lately offers it; nothing if there is none.
    pub(crate) async fn local_needs(
        &self,
        pool: &str,
        digest: &str,
        within_ms: i64,
    ) -> Result<Option<(i64, bool)>, StoreError> {
        let found = read!(
            self,
            (i64, bool),
            "select c.needs, exists (select 1 from offers o join nodes n on n.id = o.node and n.pool = o.pool
                 where o.pool = c.pool and o.digest = c.digest and n.seen_at >= {now} - $3)
             from components c where c.pool = $1 and c.digest = $2 and c.stored and not c.doomed",
            pool,
            digest,
            within_ms
        )?;
        Ok(found.into_iter().next())
    }

    /// Length of a component that some node of the pool brought and stored.
    pub(crate) async fn local_length(&self, pool: &str, digest: &str) -> Result<Option<i64>, StoreError> {
        let found = read!(
            self,
            (i64,),
            "select length from components where pool = $1 and digest = $2 and stored and not doomed",
            pool,
            digest
        )?;
        Ok(found.into_iter().next().map(|(length,)| length))
    }

    /// Doomed components: pool, digest, and whether the object stays, because a release or another pool has it.
    pub(crate) async fn doomed_components(&self, limit: i64) -> Result<Vec<(String, String, bool)>, StoreError> {
        Ok(read!(
            self,
            (String, String, bool),
            "select pool, digest, exists (select 1 from releases r where r.digest = components.digest)
                 or exists (select 1 from components o where o.digest = components.digest and not o.doomed)
             from components where doomed limit $1",
            limit
        )?)
    }

    /// Whether there is an upload with this id.
    pub(crate) async fn upload_exists(&self, id: &str) -> Result<bool, StoreError> {
        Ok(!read!(self, (i64,), "select number from uploads where id = $1", id)?.is_empty())
    }
}
