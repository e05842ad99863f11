//! What engines say of themselves.

use std::collections::HashSet;

use crate::store::dialect::{execute, read};
use crate::store::{Store, StoreError, Tx, json};

/// A description, with what a list of releases shows of it.
#[derive(Clone, Debug)]
pub(crate) struct NewDescription<'a> {
    /// Of the pool whose node sent it.
    pub(crate) pool: &'a str,
    pub(crate) digest: &'a str,
    /// Of the document, hex.
    pub(crate) sha256: &'a str,
    pub(crate) document: &'a str,
    pub(crate) version: &'a str,
    pub(crate) summary: &'a str,
    /// JSON arrays.
    pub(crate) media_types: &'a str,
    pub(crate) extensions: &'a str,
}

/// What a list of releases shows of a description.
#[derive(Clone, Debug)]
pub(crate) struct DescribedRow {
    pub(crate) digest: String,
    pub(crate) summary: String,
    pub(crate) media_types: String,
    pub(crate) extensions: String,
}

crate::store::from_row!(DescribedRow { digest, summary, media_types, extensions });

impl Tx {
    /// Keeps it as the newest of its release, whoever said something of it in the same millisecond or by a clock that was ahead, and of its
    /// pool's at most so many.
    pub(crate) async fn insert_description(&mut self, new: &NewDescription<'_>, keep: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into descriptions (pool, digest, sha256, document, version, summary, media_types, said_at)
             values ($1, $2, $3, $4, $5, $6, $7, {greatest}({now}, (select coalesce(max(d.said_at) + 1, 0)
                 from descriptions d where d.digest = $2)))
             on conflict (pool, digest, sha256) do update set said_at = excluded.said_at
             where descriptions.said_at < (select max(d.said_at) from descriptions d
                 where d.pool = excluded.pool and d.digest = excluded.digest)",
            new.pool,
            new.digest,
            new.sha256,
            new.document,
            new.version,
            new.summary,
            new.media_types
        )?;
        if new.extensions != "[]" {
            execute!(
                self,
                "insert into described_extensions (pool, digest, sha256, extensions) values ($1, $2, $3, $4)
                 on conflict (pool, digest, sha256) do update set extensions = excluded.extensions",
                new.pool,
                new.digest,
                new.sha256,
                new.extensions
            )?;
        }
        execute!(
            self,
            "delete from descriptions where pool = $1 and digest = $2 and said_at not in
                 (select d.said_at from descriptions d where d.pool = $1 and d.digest = $2
                  order by d.said_at desc limit $3)",
            new.pool,
            new.digest,
            keep
        )?;
        execute!(
            self,
            "delete from described_extensions where pool = $1 and digest = $2 and not exists (select 1 from descriptions d
                 where d.pool = described_extensions.pool and d.digest = described_extensions.digest
                     and d.sha256 = described_extensions.sha256)",
            new.pool,
            new.digest
        )?;
        Ok(())
    }

    /// Keeps what the publisher of a release says of it, in place of what was said before. The pool and the version are no part of
    /// it.
    pub(crate) async fn publish_description(&mut self, new: &NewDescription<'_>) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into published_descriptions (digest, sha256, document, summary, media_types, extensions, said_at)
             values ($1, $2, $3, $4, $5, $6, {now})
             on conflict (digest) do update set sha256 = excluded.sha256, document = excluded.document,
                 summary = excluded.summary, media_types = excluded.media_types, extensions = excluded.extensions,
                 said_at = excluded.said_at",
            new.digest,
            new.sha256,
            new.document,
            new.summary,
            new.media_types,
            new.extensions
        )?;
        Ok(())
    }

    /// Forgets descriptions (pool, digest) said before a moment of what is no release and no component of the pool.
    pub(crate) async fn forget_descriptions(
        &mut self,
        stale: &[(String, String)],
        before: i64,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from descriptions where (pool, digest) in (select e.value ->> 0, e.value ->> 1 from {rows $1})
                 and said_at < $2
                 and not exists (select 1 from releases r where r.digest = descriptions.digest)
                 and not exists (select 1 from components c
                     where c.pool = descriptions.pool and c.digest = descriptions.digest)",
            json(stale)?,
            before
        )?;
        execute!(
            self,
            "delete from described_extensions
             where (pool, digest) in (select e.value ->> 0, e.value ->> 1 from {rows $1})
                 and not exists (select 1 from descriptions d
                     where d.pool = described_extensions.pool and d.digest = described_extensions.digest
                         and d.sha256 = described_extensions.sha256)",
            json(stale)?
        )?;
        Ok(())
    }
}

impl Store {
    /// The document of this hash, or with an empty one the newest; of one of these pools, or of any; else what the publisher said.
    pub(crate) async fn description(
        &self,
        digest: &str,
        sha256: &str,
        pools: Option<&[(String,)]>,
    ) -> Result<Option<String>, StoreError> {
        let found = read!(
            self,
            (String,),
            "select document from descriptions
             where digest = $1 and ($2 = '' or sha256 = $2)
                 and ($3 = 1 or pool in (select e.value ->> 0 from {rows $4}))
             order by said_at desc limit 1",
            digest,
            sha256,
            i64::from(pools.is_none()),
            json(pools.unwrap_or_default())?
        )?;
        if let Some((document,)) = found.into_iter().next() {
            return Ok(Some(document));
        }
        let published = read!(
            self,
            (String,),
            "select document from published_descriptions where digest = $1 and ($2 = '' or sha256 = $2)",
            digest,
            sha256
        )?;
        Ok(published.into_iter().next().map(|(document,)| document))
    }

    /// Whether there is a release with this digest, or a component that nodes of the pool brought and stored.
    pub(crate) async fn is_describable(&self, pool: &str, digest: &str) -> Result<bool, StoreError> {
        let found = read!(
            self,
            (String,),
            "select digest from releases where digest = $2
             union select digest from components where pool = $1 and digest = $2 and stored and not doomed",
            pool,
            digest
        )?;
        Ok(!found.is_empty())
    }

    /// What was said last of published releases, by nodes of this pool, or without one of any; else by the publisher.
    pub(crate) async fn described_releases(&self, pool: Option<&str>) -> Result<Vec<DescribedRow>, StoreError> {
        // `cross join`: SQLite goes through the releases first, and finds one description of each.
        let described = match pool {
            Some(pool) => read!(
                self,
                DescribedRow,
                "select d.digest, d.summary, d.media_types, coalesce(x.extensions, '[]') as extensions
                 from releases r cross join descriptions d left join described_extensions x
                     on x.pool = d.pool and x.digest = d.digest and x.sha256 = d.sha256
                 where d.pool = $1 and d.digest = r.digest and d.said_at =
                     (select max(n.said_at) from descriptions n where n.pool = $1 and n.digest = r.digest)",
                pool
            ),
            None => read!(
                self,
                DescribedRow,
                "select d.digest, d.summary, d.media_types, coalesce(x.extensions, '[]') as extensions
                 from releases r cross join descriptions d left join described_extensions x
                     on x.pool = d.pool and x.digest = d.digest and x.sha256 = d.sha256
                 where d.digest = r.digest and d.said_at =
                     (select max(n.said_at) from descriptions n where n.digest = r.digest)"
            ),
        }?;
        self.with_published(described).await
    }

    /// What was said last of published releases, by nodes of any of these pools.
    pub(crate) async fn described_releases_by(&self, pools: &[(String,)]) -> Result<Vec<DescribedRow>, StoreError> {
        let described = read!(
            self,
            DescribedRow,
            "select d.digest, d.summary, d.media_types, coalesce(x.extensions, '[]') as extensions
             from releases r cross join descriptions d left join described_extensions x
                 on x.pool = d.pool and x.digest = d.digest and x.sha256 = d.sha256
             where d.digest = r.digest and d.pool in (select e.value ->> 0 from {rows $1}) and d.said_at =
                 (select max(n.said_at) from descriptions n
                  where n.digest = r.digest and n.pool in (select e.value ->> 0 from {rows $1}))",
            json(pools)?
        )?;
        self.with_published(described).await
    }

    /// Adds what publishers said of releases of which no node said anything.
    async fn with_published(&self, mut described: Vec<DescribedRow>) -> Result<Vec<DescribedRow>, StoreError> {
        let said: HashSet<String> = described.iter().map(|row| row.digest.clone()).collect();
        let published = read!(
            self,
            DescribedRow,
            "select p.digest, p.summary, p.media_types, p.extensions from published_descriptions p"
        )?;
        described.extend(published.into_iter().filter(|row| !said.contains(&row.digest)));
        Ok(described)
    }

    /// How many releases are published. They stay for ever.
    pub(crate) async fn count_releases(&self) -> Result<i64, StoreError> {
        let found = read!(self, (i64,), "select count(*) from releases")?;
        Ok(found.first().map_or(0, |(releases,)| *releases))
    }

    /// Published releases that need one of these sets and that no node of the pool has described, newest first: digest and
    /// what it needs.
    pub(crate) async fn undescribed_releases(
        &self,
        pool: &str,
        needs: &[(i64,)],
        limit: i64,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(read!(
            self,
            (String, i64),
            "select r.digest, r.needs from releases r
             where r.needs in (select cast(e.value ->> 0 as bigint) from {rows $2})
                 and not exists (select 1 from descriptions d where d.pool = $1 and d.digest = r.digest)
             order by r.number desc limit $3",
            pool,
            json(needs)?,
            limit
        )?)
    }

    /// Of what there are descriptions (pool, digest) said before a moment, though it is no release and no component of the pool.
    pub(crate) async fn stale_descriptions(
        &self,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(String, String)>, StoreError> {
        Ok(read!(
            self,
            (String, String),
            "select distinct d.pool, d.digest from descriptions d where d.said_at < $1
                 and not exists (select 1 from releases r where r.digest = d.digest)
                 and not exists (select 1 from components c where c.pool = d.pool and c.digest = d.digest)
             limit $2",
            before,
            limit
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    /// A document may be 256 KiB long: what is read often finds what it shows, and no more.
    #[tokio::test]
    async fn what_lists_releases_goes_through_no_description_but_the_newest_of_each() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&StoreOptions::sqlite(dir.path().join("db"))).await.expect("a database");
        let plans = [
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan select d.digest, d.summary, d.media_types, coalesce(x.extensions, '[]') as extensions
                 from releases r cross join descriptions d left join described_extensions x
                     on x.pool = d.pool and x.digest = d.digest and x.sha256 = d.sha256
                 where d.pool = 'p' and d.digest = r.digest and d.said_at =
                     (select max(n.said_at) from descriptions n where n.pool = 'p' and n.digest = r.digest)"
            ),
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan select d.digest, d.summary, d.media_types, coalesce(x.extensions, '[]') as extensions
                 from releases r cross join descriptions d left join described_extensions x
                     on x.pool = d.pool and x.digest = d.digest and x.sha256 = d.sha256
                 where d.digest = r.digest and d.said_at =
                     (select max(n.said_at) from descriptions n where n.digest = r.digest)"
            ),
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan select r.digest, r.needs from releases r
                 where r.needs in (select cast(e.value ->> 0 as bigint) from {rows '[[1]]'})
                     and not exists (select 1 from descriptions d where d.pool = 'p' and d.digest = r.digest)
                 order by r.number desc limit 7"
            ),
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan select distinct d.pool, d.digest from descriptions d where d.said_at < 7
                     and not exists (select 1 from releases r where r.digest = d.digest)
                     and not exists (select 1 from components c where c.pool = d.pool and c.digest = d.digest)
                 limit 7"
            ),
            read!(
                store,
                (i64, i64, i64, String),
                "explain query plan delete from descriptions
                 where (pool, digest) in (select e.value ->> 0, e.value ->> 1 from {rows '[]'}) and said_at < 7"
            ),
        ];
        for plan in plans {
            for (.., step) in plan.expect("a plan") {
                let whole = step.starts_with("SCAN d") && !step.contains("USING COVERING INDEX");
                assert!(!whole && !step.contains("TEMP B-TREE"), "{step}");
            }
        }
        store.close().await;
    }
}
