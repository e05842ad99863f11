//! Opens a database to look at it: it is left as it is, whatever version it is of and whoever else has it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::{Pools, Store, StoreError, StoreOptions, dialect, migrations, room};

/// A migration that was carried out: its version, and the hash of what it was.
type Applied = (i64, Vec<u8>);

impl Store {
    /// Opens the database to read it: makes none, migrates nothing, writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Open`]; [`StoreError::Older`]; [`StoreError::Migrate`]: a newer version has used it.
    pub async fn open_to_read(options: &StoreOptions) -> Result<Self, StoreError> {
        let place = options.to_string();
        let opened = match options {
            StoreOptions::Sqlite { path } => sqlite(path).await,
            StoreOptions::Postgres { options, .. } => postgres(options).await,
        };
        let (pools, applied) = opened.map_err(|source| StoreError::Open { place: place.clone(), source })?;
        let store = Self { pools, room: room::Room::of(&place) };
        match check(&store.pools, &place, applied) {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }
}

/// Read-only for SQLite itself: the last one that closes a database otherwise puts its log into it and removes that, by which the next
/// server would not see that a process had ended without closing it.
async fn sqlite(path: &Path) -> Result<(Pools, Vec<Applied>), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(10));
    let pool: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_master where name = '_sqlx_migrations'")
        .fetch_one(&pool)
        .await?;
    let applied = match tables {
        0 => Vec::new(),
        _ => sqlx::query_as("select version, checksum from _sqlx_migrations where success").fetch_all(&pool).await?,
    };
    Ok((Pools::Sqlite { writer: pool.clone(), readers: pool }, applied))
}

async fn postgres(options: &PgConnectOptions) -> Result<(Pools, Vec<Applied>), sqlx::Error> {
    let options = options.clone().options([("default_transaction_read_only", "on")]);
    let pool: PgPool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10)).connect_with(options).await?;
    let tables: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&pool).await?;
    let applied = match tables {
        false => Vec::new(),
        true => sqlx::query_as("select version, checksum from _sqlx_migrations where success").fetch_all(&pool).await?,
    };
    Ok((Pools::Postgres(pool), applied))
}

/// Whether the database is this version's.
fn check(pools: &Pools, place: &str, applied: Vec<Applied>) -> Result<(), StoreError> {
    let known = match pools {
        Pools::Sqlite { .. } => migrations(&dialect::SQLITE),
        Pools::Postgres(_) => migrations(&dialect::POSTGRES),
    };
    let known: HashMap<i64, &[u8]> = known.iter().map(|migration| (migration.version, &*migration.checksum)).collect();
    for (version, checksum) in &applied {
        let source = match known.get(version) {
            None => MigrateError::VersionMissing(*version),
            Some(known) if known != checksum => MigrateError::VersionMismatch(*version),
            Some(_) => continue,
        };
        return Err(StoreError::Migrate { place: place.to_owned(), source });
    }
    let (has, all) = (applied.len(), known.len());
    if has < all {
        return Err(StoreError::Older { place: place.to_owned(), has, all });
    }
    Ok(())
}
