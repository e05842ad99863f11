//! Whether what nodes told is still there.

use crate::store::dialect::read;
use crate::store::{Store, StoreError, json};

impl Store {
    /// Whether there is a statement of the pool with this serial or a higher one.
    pub(crate) async fn has_statement(&self, pool: &str, serial: i64) -> Result<bool, StoreError> {
        let found =
            read!(self, (i64,), "select serial from pools where name = $1 and serial >= $2 limit 1", pool, serial)?;
        Ok(!found.is_empty())
    }

    /// Whether a node of the pool offers anything.
    pub(crate) async fn has_offers(&self, pool: &str, node: &str) -> Result<bool, StoreError> {
        let found =
            read!(self, (String,), "select name from offers where pool = $1 and node = $2 limit 1", pool, node)?;
        Ok(!found.is_empty())
    }

    /// Digests of those of these descriptions (release, SHA-256 of the document) of a pool that are not there and could be.
    pub(crate) async fn lacking(
        &self,
        pool: &str,
        descriptions: &[(&str, &str)],
    ) -> Result<Vec<(String,)>, StoreError> {
        Ok(read!(
            self,
            (String,),
            "select distinct e.value ->> 0
             from {rows $2}
             where not exists (select 1 from descriptions d
                     where d.pool = $1 and d.digest = e.value ->> 0 and d.sha256 = e.value ->> 1)
                 and (exists (select 1 from releases r where r.digest = e.value ->> 0)
                     or exists (select 1 from components c
                         where c.pool = $1 and c.digest = e.value ->> 0 and c.stored and not c.doomed))",
            pool,
            json(descriptions)?
        )?)
    }
}
