//! What pools said about themselves, and their roots.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// A statement of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolRow {
    pub(crate) serial: i64,
    pub(crate) statement: String,
    pub(crate) signature: String,
    /// Said before pools had roots.
    pub(crate) standing: bool,
}

crate::store::from_row!(PoolRow { serial, statement, signature, standing });

impl Tx {
    /// What a pool said.
    pub(crate) async fn pool_statements(&mut self, name: &str) -> Result<Vec<PoolRow>, StoreError> {
        Ok(rows!(
            self,
            PoolRow,
            "select serial, statement, signature, standing from pools where name = $1 order by serial {lock}",
            name
        )?)
    }

    /// Writes a statement down, in place of another with that serial.
    pub(crate) async fn put_statement(
        &mut self,
        name: &str,
        serial: i64,
        statement: &str,
        signature: &str,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into pools (name, serial, statement, signature, created_at) values ($1, $2, $3, $4, {now})
             on conflict (name, serial) do update set
                 statement = excluded.statement, signature = excluded.signature, created_at = excluded.created_at",
            name,
            serial,
            statement,
            signature
        )?;
        Ok(())
    }

    /// Removes all statements of a pool but those with these serials.
    pub(crate) async fn keep_statements(&mut self, name: &str, serials: &[(i64,)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from pools where name = $1
                 and serial not in (select cast(e.value ->> 0 as bigint) from {rows $2})",
            name,
            json(serials)?
        )?;
        Ok(())
    }

    /// The root of a pool, hex.
    pub(crate) async fn pool_root(&mut self, pool: &str) -> Result<Option<String>, StoreError> {
        let found = rows!(self, (String,), "select root from pool_roots where pool = $1 {lock}", pool)?;
        Ok(found.into_iter().next().map(|(root,)| root))
    }

    /// Gives a pool a root unless it has one.
    pub(crate) async fn insert_root(&mut self, pool: &str, root: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into pool_roots (pool, root, named_at) values ($1, $2, {now}) on conflict (pool) do nothing",
            pool,
            root
        )?;
        Ok(())
    }

    /// Gives a pool a root, in place of the one that it has.
    pub(crate) async fn replace_root(&mut self, pool: &str, root: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into pool_roots (pool, root, named_at) values ($1, $2, {now})
             on conflict (pool) do update set root = excluded.root, named_at = excluded.named_at",
            pool,
            root
        )?;
        Ok(())
    }

    /// The database's clock, in seconds since 1970.
    pub(crate) async fn unix_seconds(&mut self) -> Result<i64, StoreError> {
        let found = rows!(self, (i64,), "select {now} / 1000")?;
        Ok(found.first().map_or(0, |(now,)| *now))
    }
}

impl Store {
    /// Every pool's statements (pool, statement, signature), newest first within a pool.
    pub(crate) async fn pools(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        Ok(read!(
            self,
            (String, String, String),
            "select name, statement, signature from pools order by name, serial desc"
        )?)
    }

    /// The highest serial that each pool said.
    pub(crate) async fn pool_serials(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(read!(self, (String, i64), "select name, max(serial) from pools group by name order by name")?)
    }

    /// Every root (pool, hex).
    pub(crate) async fn pool_roots(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(read!(self, (String, String), "select pool, root from pool_roots")?)
    }

    pub(crate) async fn pool_exists(&self, name: &str) -> Result<bool, StoreError> {
        Ok(!read!(self, (i64,), "select serial from pools where name = $1 limit 1", name)?.is_empty())
    }
}
