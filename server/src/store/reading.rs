//! Opens a database to look at it: it is left as it is, whatever version it is of and whoever else has it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::migrations::{self, FIRST_TABLE, LATER_TABLE, NEEDED};
use super::{Pools, Store, StoreError, StoreOptions, dialect, room};

/// A migration that was carried out: its version, and the hash of what it was.
type Applied = (i64, Vec<u8>);

/// What is noted in a database.
struct Noted {
    /// Migrations of release 0.1.0.
    first: Vec<Applied>,
    /// Later ones.
    later: Vec<Applied>,
    /// The newest that a server must know.
    needed: i64,
}

impl Store {
    /// Opens the database to read it: makes none, migrates nothing, writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Open`]; [`StoreError::Older`]; [`StoreError::Newer`] and [`StoreError::Migrate`]: a later release has used it.
    pub async fn open_to_read(options: &StoreOptions) -> Result<Self, StoreError> {
        let place = options.to_string();
        let opened = match options {
            StoreOptions::Sqlite { path } => sqlite(path).await,
            StoreOptions::Postgres { options, .. } => postgres(options).await,
        };
        let failed = |source| StoreError::Open { place: place.clone(), source };
        let store = Self { pools: opened.map_err(failed)?, room: room::Room::of(&place) };
        let noted = Noted::read(&store).await.map_err(failed);
        match noted.and_then(|noted| check(&store.pools, &place, &noted)) {
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
async fn sqlite(path: &Path) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(10));
    let pool: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    Ok(Pools::Sqlite { writer: pool.clone(), readers: pool })
}

async fn postgres(options: &PgConnectOptions) -> Result<Pools, sqlx::Error> {
    let options = options.clone().options([("default_transaction_read_only", "on")]);
    let pool: PgPool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10)).connect_with(options).await?;
    Ok(Pools::Postgres(pool))
}

impl Noted {
    /// What there is; nothing of a table that is not there.
    async fn read(store: &Store) -> Result<Self, sqlx::Error> {
        let mut noted = Self { first: Vec::new(), later: Vec::new(), needed: 0 };
        if is_there(&store.pools, FIRST_TABLE).await? {
            noted.first =
                dialect::read!(store, Applied, "select version, checksum from _sqlx_migrations where success")?;
        }
        if is_there(&store.pools, LATER_TABLE).await? {
            noted.later =
                dialect::read!(store, Applied, "select version, checksum from _filemill_migrations where success")?;
        }
        if is_there(&store.pools, "schema_needs").await? {
            let needed = dialect::read!(store, (i64,), NEEDED)?;
            noted.needed = needed.first().map_or(0, |(migration,)| *migration);
        }
        Ok(noted)
    }
}

async fn is_there(pools: &Pools, table: &str) -> Result<bool, sqlx::Error> {
    match pools {
        Pools::Sqlite { readers, .. } => {
            let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_master where name = $1")
                .bind(table)
                .fetch_one(readers)
                .await?;
            Ok(tables > 0)
        }
        Pools::Postgres(pool) => {
            sqlx::query_scalar("select to_regclass($1) is not null").bind(table).fetch_one(pool).await
        }
    }
}

/// Whether this program works with the database.
fn check(pools: &Pools, place: &str, noted: &Noted) -> Result<(), StoreError> {
    let dialect = match pools {
        Pools::Sqlite { .. } => &dialect::SQLITE,
        Pools::Postgres(_) => &dialect::POSTGRES,
    };
    let (first, later) = (known(&migrations::first(dialect)), known(&migrations::later(dialect)));
    let failed = |source| StoreError::Migrate { place: place.to_owned(), source };
    for (version, checksum) in &noted.first {
        match first.get(version) {
            None => return Err(failed(MigrateError::VersionMissing(*version))),
            Some(known) if known != checksum => return Err(failed(MigrateError::VersionMismatch(*version))),
            Some(_) => {}
        }
    }
    let mut has = noted.first.len();
    for (version, checksum) in &noted.later {
        match later.get(version) {
            // A later release's.
            None => {}
            Some(known) if known != checksum => return Err(failed(MigrateError::VersionMismatch(*version))),
            Some(_) => has += 1,
        }
    }
    let all = first.len() + later.len();
    if has < all {
        return Err(StoreError::Older { place: place.to_owned(), has, all });
    }
    migrations::check_needed(place, noted.needed)
}

/// The hash of each migration, by its version.
fn known(migrator: &Migrator) -> HashMap<i64, Vec<u8>> {
    migrator.iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect()
}
