//! Components that nodes brought themselves, and which node offers which.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// One engine as a node lists it: name and digest.
pub(crate) type OfferRow<'a> = (&'a str, &'a str);

/// A component that a node lists: digest, contract, needs, length, and 1 if it is stored. Each once.
pub(crate) type ComponentRow<'a> = (&'a str, i64, i64, i64, i64);

/// What an engine takes in a list beside its name and what is said of it.
const ENTRY_BYTES: i64 = 256;

/// What is known of a component.
#[derive(Clone, Debug)]
pub(crate) struct KnownComponent {
    pub(crate) digest: String,
    pub(crate) contract: i64,
    pub(crate) length: i64,
    pub(crate) stored: bool,
    /// Its object is being deleted.
    pub(crate) doomed: bool,
}

crate::store::from_row!(KnownComponent { digest, contract, length, stored, doomed });

/// An engine that clients of a pool see.
#[derive(Clone, Debug)]
pub(crate) struct LocalRow {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) contract: i64,
    pub(crate) length: i64,
    pub(crate) version: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) media_types: Option<String>,
    pub(crate) extensions: Option<String>,
}

crate::store::from_row!(LocalRow { name, digest, contract, length, version, summary, media_types, extensions });

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
             select $1, $2, e.value ->> 0, e.value ->> 1,
                 {greatest}({now}, (select coalesce(max(o.since) + 1, 0) from offers o where o.pool = $1))
             from {rows $3} where true
             on conflict (pool, node, name) do update set
                 since = case when offers.digest = excluded.digest then offers.since else excluded.since end,
                 digest = excluded.digest",
            pool,
            node,
            &offers
        )?;
        Ok(())
    }

    /// Writes components of the pool down. One is stored if that is said, or a release has its bytes; one whose object is being
    /// deleted is not. What is said of a stored one stays.
    pub(crate) async fn bring(&mut self, pool: &str, components: &[ComponentRow<'_>]) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into components (pool, digest, contract, needs, length, stored, used_at, seen_at)
             select $1, e.value ->> 0, cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint),
                 cast(e.value ->> 3 as bigint), cast(e.value ->> 4 as bigint) = 1, {now}, {now}
             from {rows $2} where true
             on conflict (pool, digest) do update set
                 contract = case when components.stored then components.contract else excluded.contract end,
                 needs = case when components.stored then components.needs else excluded.needs end,
                 length = case when components.stored then components.length else excluded.length end,
                 stored = components.stored or (excluded.stored and not components.doomed),
                 seen_at = case when components.stored then components.seen_at else excluded.seen_at end,
                 used_at = excluded.used_at",
            pool,
            json(components)?
        )?;
        Ok(())
    }

    /// What is known of components of the pool.
    pub(crate) async fn components(
        &mut self,
        pool: &str,
        digests: &[(&str,)],
    ) -> Result<Vec<KnownComponent>, StoreError> {
        Ok(rows!(
            self,
            KnownComponent,
            "select digest, contract, length, stored, doomed from components
             where pool = $1 and digest in (select e.value ->> 0 from {rows $2})",
            pool,
            json(digests)?
        )?)
    }

    /// The releases among these digests: digest, contract, length.
    pub(crate) async fn released(&mut self, digests: &[(&str,)]) -> Result<Vec<(String, i64, i64)>, StoreError> {
        Ok(rows!(
            self,
            (String, i64, i64),
            "select digest, contract, length from releases where digest in (select e.value ->> 0 from {rows $1})",
            json(digests)?
        )?)
    }

    /// How many components of the pool are known.
    pub(crate) async fn count_components(&mut self, pool: &str) -> Result<i64, StoreError> {
        let found = rows!(self, (i64,), "select count(*) from components where pool = $1", pool)?;
        Ok(found.first().map_or(0, |(components,)| *components))
    }

    /// Writes down which stored components (pool, digest) storage holds, 1, and which it does not, 0: those are not stored then.
    pub(crate) async fn saw_components(&mut self, components: &[(String, String, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update components set seen_at = {now}, stored = components.stored and cast(e.value ->> 2 as bigint) = 1
             from {rows $1} where components.pool = e.value ->> 0 and components.digest = e.value ->> 1",
            json(components)?
        )?;
        Ok(())
    }

    /// How many engines the other nodes of the pool offer which were seen lately.
    pub(crate) async fn offers_of_others(&mut self, pool: &str, node: &str, within_ms: i64) -> Result<i64, StoreError> {
        let found = rows!(
            self,
            (i64,),
            "select count(*) from nodes n join offers o on o.pool = n.pool and o.node = n.id
             where n.pool = $1 and n.id <> $2 and n.seen_at >= {steady} - $3",
            pool,
            node,
            within_ms
        )?;
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

    /// Dooms components that nobody has offered since `before` and no upload waits for.
    pub(crate) async fn doom_components(&mut self, before: i64) -> Result<u64, StoreError> {
        Ok(execute!(
            self,
            "update components set doomed = true, stored = false
             where not doomed and used_at < $1
                 and not exists (select 1 from offers o
                     where o.pool = components.pool and o.digest = components.digest)
                 and not exists (select 1 from uploads u
                     where u.release = components.digest and u.finished_at is null)",
            before
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
    /// The engines that nodes of the pool offer which were seen lately: the newest of each name, by name, until they and what is said of
    /// them have so many bytes.
    pub(crate) async fn local_engines(
        &self,
        pool: &str,
        within_ms: i64,
        bytes: i64,
    ) -> Result<Vec<LocalRow>, StoreError> {
        // What is said is added up first, and read of those only that are told: of all it may be hundreds of megabytes.
        Ok(read!(
            self,
            LocalRow,
            "with offered as (
                 select o.name, o.digest, c.contract, c.length,
                     row_number() over (partition by o.name order by o.since desc, o.node) as place
                 from offers o join nodes n on n.id = o.node and n.pool = o.pool
                 join components c on c.pool = o.pool and c.digest = o.digest
                 where o.pool = $1 and n.seen_at >= {steady} - $2 and c.stored and not c.doomed),
             told as (
                 select o.name, o.digest, o.contract, o.length, d.sha256,
                     sum($4 + octet_length(o.name) + coalesce(octet_length(d.version), 0)
                         + coalesce(octet_length(d.summary), 0) + coalesce(octet_length(d.media_types), 0)
                         + coalesce(octet_length(x.extensions), 0)) over (order by o.name) as bytes
                 from offered o
                 left join descriptions d on d.pool = $1 and d.digest = o.digest and d.said_at =
                     (select max(l.said_at) from descriptions l where l.pool = $1 and l.digest = o.digest)
                 left join described_extensions x on x.pool = d.pool and x.digest = d.digest and x.sha256 = d.sha256
                 where o.place = 1)
             select t.name, t.digest, t.contract, t.length, d.version, d.summary, d.media_types, x.extensions
             from told t
             left join descriptions d on d.pool = $1 and d.digest = t.digest and d.sha256 = t.sha256
             left join described_extensions x on x.pool = $1 and x.digest = t.digest and x.sha256 = t.sha256
             where t.bytes <= $3
             order by t.name",
            pool,
            within_ms,
            bytes,
            ENTRY_BYTES
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
                 where o.pool = c.pool and o.digest = c.digest and n.seen_at >= {steady} - $3)
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

    /// Doomed components: pool, digest.
    pub(crate) async fn doomed_components(&self, limit: i64) -> Result<Vec<(String, String)>, StoreError> {
        Ok(read!(self, (String, String), "select pool, digest from components where doomed limit $1", limit)?)
    }

    /// Stored components that storage was not asked about for so long, the longest first: pool, digest, length. Those that are
    /// releases, too, are not among them.
    pub(crate) async fn unseen_components(
        &self,
        unseen_ms: i64,
        limit: i64,
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(read!(
            self,
            (String, String, i64),
            "select pool, digest, length from components
             where stored and (seen_at < {now} - $1 or seen_at > {now})
                 and not exists (select 1 from releases r where r.digest = components.digest)
             order by seen_at limit $2",
            unseen_ms,
            limit
        )?)
    }

    /// Of these digests, those that are stored for the pool, or as releases.
    pub(crate) async fn stored_components(
        &self,
        pool: &str,
        digests: &[(&str,)],
    ) -> Result<Vec<(String,)>, StoreError> {
        Ok(read!(
            self,
            (String,),
            "select digest from components
             where pool = $1 and stored and digest in (select e.value ->> 0 from {rows $2})
             union select digest from releases where digest in (select e.value ->> 0 from {rows $2})",
            pool,
            json(digests)?
        )?)
    }

    /// Whether there is an upload with this id.
    pub(crate) async fn upload_exists(&self, id: &str) -> Result<bool, StoreError> {
        Ok(!read!(self, (i64,), "select number from uploads where id = $1", id)?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    /// Each part of [`Tx::doom_components`], which runs every few seconds, finds its rows by an index.
    #[tokio::test]
    async fn what_dooms_components_reads_no_whole_table() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&StoreOptions::sqlite(dir.path().join("db"))).await.expect("a database");
        let plans = [
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan update components set doomed = true, stored = false where not doomed and used_at < 7"
            ),
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan select 1 from uploads u where u.release = 'd' and u.finished_at is null"
            ),
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan select 1 from offers o where o.pool = 'p' and o.digest = 'd'"
            ),
        ];
        for plan in plans {
            let steps = plan.expect("a plan");
            assert!(steps.iter().all(|(.., step)| step.starts_with("SEARCH")), "{steps:?}");
        }
        store.close().await;
    }
}
