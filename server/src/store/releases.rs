//! Engine releases, and what organisations adopted.

use super::dialect::{execute, read, rows};
use super::{Store, StoreError, Tx};

/// A release, as the organisation that asks sees it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ReleaseRow {
    pub(crate) engine: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) contract: i64,
    pub(crate) needs: i64,
    pub(crate) length: i64,
}

impl Tx {
    /// False: the digest is known.
    pub(crate) async fn insert_release(&mut self, release: &ReleaseRow) -> Result<bool, StoreError> {
        let made = execute!(
            self,
            "insert into releases (digest, engine, version, contract, needs, length, created_at)
             values ($1, $2, $3, $4, $5, $6, {now}) on conflict (digest) do nothing",
            &release.digest,
            &release.engine,
            &release.version,
            release.contract,
            release.needs,
            release.length
        )?;
        Ok(made > 0)
    }

    pub(crate) async fn release(&mut self, digest: &str) -> Result<Option<ReleaseRow>, StoreError> {
        let found = rows!(
            self,
            ReleaseRow,
            "select engine, version, digest, contract, needs, length from releases where digest = $1",
            digest
        )?;
        Ok(found.into_iter().next())
    }

    pub(crate) async fn adopt(&mut self, organisation: i64, engine: &str, digest: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into adoptions (organisation, engine, digest) values ($1, $2, $3)
             on conflict (organisation, engine) do update set digest = excluded.digest",
            organisation,
            engine,
            digest
        )?;
        Ok(())
    }
}

impl Store {
    /// Every release, newest first.
    pub(crate) async fn releases(&self) -> Result<Vec<ReleaseRow>, StoreError> {
        Ok(read!(
            self,
            ReleaseRow,
            "select engine, version, digest, contract, needs, length from releases order by number desc"
        )?)
    }

    pub(crate) async fn release(&self, digest: &str) -> Result<Option<ReleaseRow>, StoreError> {
        let found = read!(
            self,
            ReleaseRow,
            "select engine, version, digest, contract, needs, length from releases where digest = $1",
            digest
        )?;
        Ok(found.into_iter().next())
    }

    /// What the organisation adopted: engine and digest.
    pub(crate) async fn adoptions(&self, organisation: i64) -> Result<Vec<(String, String)>, StoreError> {
        Ok(read!(self, (String, String), "select engine, digest from adoptions where organisation = $1", organisation)?)
    }
}
