//! What engines say of themselves.

use super::dialect::{execute, read};
use super::{Store, StoreError, Tx};

/// A description, with what a list of releases shows of it.
#[derive(Clone, Debug)]
pub(crate) struct NewDescription<'a> {
    pub(crate) digest: &'a str,
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
    /// Keeps it unless there is one.
    pub(crate) async fn insert_description(&mut self, new: &NewDescription<'_>) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into descriptions (digest, document, version, summary, media_types, created_at)
             values ($1, $2, $3, $4, $5, {now}) on conflict (digest) do nothing",
            new.digest,
            new.document,
            new.version,
            new.summary,
            new.media_types
        )?;
        Ok(())
    }

    /// Forgets descriptions older than so long of what is no release and no node's component.
    pub(crate) async fn forget_descriptions(&mut self, age_ms: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from descriptions where created_at < {now} - $1
                 and not exists (select 1 from releases r where r.digest = descriptions.digest)
                 and not exists (select 1 from components c where c.digest = descriptions.digest)",
            age_ms
        )?;
        Ok(())
    }
}

impl Store {
    pub(crate) async fn description(&self, digest: &str) -> Result<Option<String>, StoreError> {
        let found = read!(self, (String,), "select document from descriptions where digest = $1", digest)?;
        Ok(found.into_iter().next().map(|(document,)| document))
    }

    /// Whether there is a release, or a component of some pool, with this digest.
    pub(crate) async fn is_describable(&self, digest: &str) -> Result<bool, StoreError> {
        let found = read!(
            self,
            (String,),
            "select digest from releases where digest = $1 union select digest from components where digest = $1 limit 1",
            digest
        )?;
        Ok(!found.is_empty())
    }

    /// What is known of published releases.
    pub(crate) async fn described_releases(&self) -> Result<Vec<DescribedRow>, StoreError> {
        Ok(read!(
            self,
            DescribedRow,
            "select d.digest, d.summary, d.media_types from descriptions d join releases r on r.digest = d.digest"
        )?)
    }

    /// Published releases that nobody has described, newest first: digest and what it needs.
    pub(crate) async fn undescribed_releases(&self, limit: i64) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(read!(
            self,
            (String, i64),
            "select digest, needs from releases r
             where not exists (select 1 from descriptions d where d.digest = r.digest)
             order by number desc limit $1",
            limit
        )?)
    }
}
