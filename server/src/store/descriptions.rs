//! What engines say of themselves.

use super::dialect::{execute, read};
use super::{Store, StoreError, Tx};

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
    /// A JSON array.
    pub(crate) media_types: &'a str,
}

/// What a list of releases shows of a description.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct DescribedRow {
    pub(crate) digest: String,
    pub(crate) summary: String,
    pub(crate) media_types: String,
}

impl Tx {
    /// Keeps it as the newest of its pool and release, and of those at most so many.
    pub(crate) async fn insert_description(&mut self, new: &NewDescription<'_>, keep: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into descriptions (pool, digest, sha256, document, version, summary, media_types, said_at)
             values ($1, $2, $3, $4, $5, $6, $7, {greatest}({now}, (select coalesce(max(d.said_at) + 1, 0)
                 from descriptions d where d.pool = $1 and d.digest = $2)))
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
        execute!(
            self,
            "delete from descriptions where pool = $1 and digest = $2 and said_at not in
                 (select d.said_at from descriptions d where d.pool = $1 and d.digest = $2
                  order by d.said_at desc limit $3)",
            new.pool,
            new.digest,
            keep
        )?;
        Ok(())
    }

    /// Forgets descriptions older than so long of what is no release and no component of the pool.
    pub(crate) async fn forget_descriptions(&mut self, age_ms: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from descriptions where said_at < {now} - $1
                 and not exists (select 1 from releases r where r.digest = descriptions.digest)
                 and not exists (select 1 from components c
                     where c.pool = descriptions.pool and c.digest = descriptions.digest)",
            age_ms
        )?;
        Ok(())
    }
}

impl Store {
    /// The document of this hash, or with an empty one the newest; of this pool, or with an empty name of any.
    pub(crate) async fn description(
        &self,
        digest: &str,
        sha256: &str,
        pool: &str,
    ) -> Result<Option<String>, StoreError> {
        let found = read!(
            self,
            (String,),
            "select document from descriptions
             where digest = $1 and ($2 = '' or sha256 = $2) and ($3 = '' or pool = $3)
             order by said_at desc limit 1",
            digest,
            sha256,
            pool
        )?;
        Ok(found.into_iter().next().map(|(document,)| document))
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

    /// What was said last of published releases, by nodes of this pool, or with an empty name of any; what was said later
    /// comes later.
    pub(crate) async fn described_releases(&self, pool: &str) -> Result<Vec<DescribedRow>, StoreError> {
        Ok(read!(
            self,
            DescribedRow,
            "select d.digest, d.summary, d.media_types from descriptions d join releases r on r.digest = d.digest
             where ($1 = '' or d.pool = $1) and d.said_at =
                 (select max(n.said_at) from descriptions n where n.pool = d.pool and n.digest = d.digest)
             order by d.said_at",
            pool
        )?)
    }

    /// Published releases that no node of a pool has described although one that can run them was seen lately, newest first:
    /// pool, digest and what it needs.
    pub(crate) async fn undescribed_releases(
        &self,
        within_ms: i64,
        limit: i64,
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(read!(
            self,
            (String, String, i64),
            "select distinct n.pool, r.digest, r.needs, r.number
             from releases r join (select distinct pool, runs from nodes where seen_at >= {now} - $1) n
                 on ((n.runs >> cast(r.needs as integer)) & 1) <> 0
             where not exists (select 1 from descriptions d where d.pool = n.pool and d.digest = r.digest)
             order by r.number desc limit $2",
            within_ms,
            limit
        )?)
    }
}
