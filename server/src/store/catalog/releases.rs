//! Engine releases, and what organisations adopted.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx};

/// A release, as the organisation that asks sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleaseRow {
    pub(crate) engine: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) contract: i64,
    pub(crate) needs: i64,
    pub(crate) length: i64,
}

crate::store::from_row!(ReleaseRow { engine, version, digest, contract, needs, length });

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

    /// Writes down what a release needs, in place of what was.
    pub(crate) async fn set_release_needs(&mut self, digest: &str, needs: i64) -> Result<(), StoreError> {
        execute!(self, "update releases set needs = $2 where digest = $1", digest, needs)?;
        Ok(())
    }

    /// The releases of an engine, the one published last first.
    pub(crate) async fn releases_of(&mut self, engine: &str) -> Result<Vec<ReleaseRow>, StoreError> {
        Ok(rows!(
            self,
            ReleaseRow,
            "select engine, version, digest, contract, needs, length from releases where engine = $1 order by number desc",
            engine
        )?)
    }

    /// The digest of the release that whoever has adopted none uses, where that is not the one published last.
    pub(crate) async fn default_of(&mut self, engine: &str) -> Result<Option<String>, StoreError> {
        let found = rows!(self, (String,), "select digest from defaults where engine = $1", engine)?;
        Ok(found.into_iter().next().map(|(digest,)| digest))
    }

    /// Sets that; without a digest it is the one published last.
    pub(crate) async fn set_default(&mut self, engine: &str, digest: Option<&str>) -> Result<(), StoreError> {
        execute!(self, "delete from defaults where engine = $1", engine)?;
        if let Some(digest) = digest {
            execute!(self, "insert into defaults (engine, digest) values ($1, $2)", engine, digest)?;
        }
        Ok(())
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

    /// What the organisation adopted, and then what those use that have adopted none, where that is not what was published last:
    /// engine and digest.
    pub(crate) async fn adoptions(&self, organisation: i64) -> Result<Vec<(String, String)>, StoreError> {
        Ok(read!(
            self,
            (String, String),
            "select engine, digest from (
                 select engine, digest, 0 as place from adoptions where organisation = $1
                 union all select engine, digest, 1 as place from defaults) as chosen
             order by place",
            organisation
        )?)
    }
}
