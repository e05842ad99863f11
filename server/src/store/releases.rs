//! Engine releases, what organisations adopted, and the statements of pools.

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

/// What a pool said about itself.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct PoolRow {
    pub(crate) statement: String,
    pub(crate) signature: String,
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

    /// False: that pool has said something with that serial.
    pub(crate) async fn insert_pool(
        &mut self,
        name: &str,
        serial: i64,
        statement: &str,
        signature: &str,
    ) -> Result<bool, StoreError> {
        let made = execute!(
            self,
            "insert into pools (name, serial, statement, signature, created_at) values ($1, $2, $3, $4, {now})
             on conflict (name, serial) do nothing",
            name,
            serial,
            statement,
            signature
        )?;
        Ok(made > 0)
    }

    pub(crate) async fn pool(&mut self, name: &str, serial: i64) -> Result<Option<PoolRow>, StoreError> {
        let found = rows!(
            self,
            PoolRow,
            "select statement, signature from pools where name = $1 and serial = $2",
            name,
            serial
        )?;
        Ok(found.into_iter().next())
    }

    /// Removes all but the `keep` highest serials of a pool.
    pub(crate) async fn trim_pool(&mut self, name: &str, keep: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from pools where name = $1
             and serial not in (select serial from pools where name = $1 order by serial desc limit $2)",
            name,
            keep
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

    /// Every pool's statements, newest first within a pool.
    pub(crate) async fn pools(&self) -> Result<Vec<PoolRow>, StoreError> {
        Ok(read!(self, PoolRow, "select statement, signature from pools order by name, serial desc")?)
    }

    pub(crate) async fn pool_exists(&self, name: &str) -> Result<bool, StoreError> {
        Ok(!read!(self, (i64,), "select serial from pools where name = $1 limit 1", name)?.is_empty())
    }
}
