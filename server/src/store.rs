//! The shared database, SQLite or PostgreSQL: SQL and nothing else. What it means the domains decide, each of which
//! has a folder of statements here.
//!
//! A domain opens a transaction with [`Store::begin`] and calls statements on it; dropping a transaction rolls it back.
//! To be free of deadlocks every transaction locks in one order, each kind in one statement and sorted: uploads by
//! number, then runs by id, then organisations; a pool's root, then its statements. Leasing alone locks runs without their
//! upload, and skips what is locked.

pub(crate) mod accounts;
pub(crate) mod catalog;
mod dialect;
pub(crate) mod maintenance;
mod migrations;
mod options;
pub(crate) mod queue;
mod reading;
pub(crate) mod room;
mod row;

use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Postgres, Sqlite, Transaction};
use tokio::time::timeout;

pub use options::StoreOptions;
pub(crate) use row::from_row;

/// How much of an SQLite database is read through a mapping; the rest is read a page at a time.
const MAPPED_BYTES: &str = "33554432";
/// How long a PostgreSQL that cannot be used is asked for the reason.
const REASON_WITHIN: Duration = Duration::from_secs(2);
/// More events than a power cut can take back with SQLite.
///
/// After one, the last commits may be missing, among them events that were read already: new events must not take their
/// cursors, or their reader would never see them.
const LOST_CURSORS: i64 = 1 << 20;

/// Connections for reading beside the one that writes, with SQLite.
const SQLITE_READERS: u32 = 4;

/// The database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    room: room::Room,
}

#[derive(Clone, Debug)]
enum Pools {
    /// SQLite has one writer at a time: a second connection that writes would only meet `SQLITE_BUSY`.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction. Dropped without [`Tx::commit`], nothing of it happened.
#[derive(Debug)]
pub(crate) struct Tx {
    connection: Connection,
    room: room::Room,
}

#[derive(Debug)]
enum Connection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// The database did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The place of the database makes no sense.
    #[error("`{url}` is not a database: it has to begin with `sqlite:` or `postgres:`")]
    Place {
        /// What was given, without a password.
        url: String,
    },
    /// It could not be reached or opened.
    #[error("cannot open the database `{place}`")]
    Open {
        /// Which.
        place: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables could not be brought to this version.
    #[error("cannot migrate the database `{place}`")]
    Migrate {
        /// Which.
        place: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A later release has taken something from its tables.
    #[error(
        "the database `{place}` needs a newer server: one that knows migration {needed}, and this one knows {newest}"
    )]
    Newer {
        /// Which.
        place: String,
        /// The newest migration that a server must know.
        needed: i64,
        /// The newest that this one knows.
        newest: i64,
    },
    /// It was to be read as it is, and this version's tables are not all there.
    #[error("the database `{place}` is older than this program: it has {has} of {all} migrations")]
    Older {
        /// Which.
        place: String,
        /// Migrations that were carried out.
        has: usize,
        /// Those that this version knows.
        all: usize,
    },
    /// A statement failed.
    #[error(transparent)]
    Statement(#[from] sqlx::Error),
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Migrate { source: MigrateError::VersionMismatch(_), .. } => Some(
                "a development version before the first release made this database: make a new one; releases never need that, \
                 when they are updated in the documented order",
            ),
            Self::Migrate { source: MigrateError::VersionMissing(_), .. } | Self::Newer { .. } => Some(
                "a later release has used this database: run that one here; a release works beside the one after it, not beside later ones",
            ),
            Self::Older { .. } => Some(
                "start this version's server on it, which brings it up to date, or use the program of the server's version; looking \
                 changes nothing",
            ),
            // SQLITE_CANTOPEN.
            Self::Open { source: sqlx::Error::Database(error), .. } if error.code().as_deref() == Some("14") => {
                Some("a server makes it when it is started; looking makes none")
            }
            // SQLITE_NOTADB, SQLITE_CORRUPT.
            Self::Open { source: sqlx::Error::Database(error), .. }
                if matches!(error.code().as_deref(), Some("26" | "11")) =>
            {
                Some("it is no SQLite database, or a damaged one: restore it from a backup")
            }
            Self::Open { source: sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, .. } => Some(
                "check that the database server runs there and takes connections, and its address in --database-url",
            ),
            error if error.is_full() => Some("make room on the disk of the database"),
            _ => None,
        }
    }

    /// Whether the same may succeed when it is tried again at once: a deadlock or a conflict between transactions, or a
    /// lock that was held too long.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(error)) = self else {
            return false;
        };
        // PostgreSQL: serialization_failure, deadlock_detected. SQLite: SQLITE_BUSY and its extensions.
        matches!(error.code().as_deref(), Some("40001" | "40P01" | "5" | "261" | "517"))
    }

    /// Whether the database has no room left on its disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Statement(source) => room::is_full(source),
            Self::Migrate {
                source: MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _), ..
            } => room::is_full(source),
            _ => false,
        }
    }

    /// Whether the database can do nothing now: no connection came free in time, it was cut, or there is no room left.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.is_full()
            || matches!(
                self,
                Self::Open { .. }
                    | Self::Statement(
                        sqlx::Error::PoolTimedOut
                            | sqlx::Error::PoolClosed
                            | sqlx::Error::Io(_)
                            | sqlx::Error::WorkerCrashed
                    )
            )
            || matches!(self, Self::Statement(sqlx::Error::Database(error))
            // PostgreSQL: admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections.
            if matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03" | "53300")))
    }
}

impl Store {
    /// Connects, and brings the tables to this version. Servers that start at the same time migrate one after the
    /// other.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Migrate`].
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let place = options.to_string();
        let unclean = matches!(options, StoreOptions::Sqlite { path } if has_log(path));
        let pools = match options {
            StoreOptions::Sqlite { path } => open_sqlite(path).await,
            StoreOptions::Postgres { options, connections } => open_postgres(options, *connections).await,
        }
        .map_err(|source| StoreError::Open { place: place.clone(), source })?;
        match &pools {
            Pools::Sqlite { writer, .. } => migrations::run_sqlite(writer).await,
            Pools::Postgres(pool) => migrations::run_postgres(pool).await,
        }
        .map_err(|source| StoreError::Migrate { place: place.clone(), source })?;
        let store = Self { pools, room: room::Room::of(&place) };
        let needed = dialect::read!(&store, (i64,), migrations::NEEDED)?;
        migrations::check_needed(&place, needed.first().map_or(0, |(migration,)| *migration))?;
        if unclean {
            let mut tx = store.begin().await?;
            tx.skip_cursors(LOST_CURSORS).await?;
            tx.commit().await?;
        }
        Ok(store)
    }

    /// Closes every connection, when the statements that run have ended.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    /// Opens a transaction that may write. With SQLite it waits for the one before it.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let begun = match &self.pools {
            // `immediate`: a transaction that turned from reading to writing half-way could only fail.
            Pools::Sqlite { writer, .. } => writer.begin_with("begin immediate").await.map(Connection::Sqlite),
            Pools::Postgres(pool) => pool.begin().await.map(Connection::Postgres),
        };
        let connection = begun.inspect_err(|error| self.room.note(error))?;
        Ok(Tx { connection, room: self.room.clone() })
    }

    /// Asks the database something, to see that it answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        dialect::read!(self, (i64,), "select served from progress")?;
        Ok(())
    }
}

impl Tx {
    /// Makes all of it happen, at once.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        let committed = match self.connection {
            Connection::Sqlite(transaction) => transaction.commit().await,
            Connection::Postgres(transaction) => transaction.commit().await,
        };
        Ok(committed.inspect_err(|error| self.room.note(error))?)
    }
}

/// Whether a SQLite database has a write-ahead log: the process that wrote it did not close it.
fn has_log(path: &std::path::Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

async fn open_sqlite(path: &std::path::Path) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // With WAL a power cut may lose the last commits, never the database; what was lost is asked for again (and
        // see `LOST_CURSORS`).
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(10))
        .pragma("temp_store", "memory")
        // What is mapped counts as the server's own memory, although the system takes it back when it needs it.
        .pragma("mmap_size", MAPPED_BYTES)
        .statement_cache_capacity(200);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(30))
        // On a full disk SQLite ends the transaction by itself, of which sqlx knows nothing: its own rollback fails, and it takes
        // every later one for a part of that which has ended. Such a connection is closed, and the next one is new. Here, because
        // a rollback that was only begun has run by the time that its connection is asked for again.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .connect_with(options.clone())
        .await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(options.pragma("query_only", "true"));
    Ok(Pools::Sqlite { writer, readers })
}

/// A server that starts is waited for as long as a connection may take.
async fn open_postgres(options: &PgConnectOptions, connections: u32) -> Result<Pools, sqlx::Error> {
    // A generic plan takes `limit $1` for a tenth of the table and sorts it.
    let options = options.clone().options([("plan_cache_mode", "force_custom_plan")]).statement_cache_capacity(200);
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options.clone())
        .await;
    match pool {
        Ok(pool) => Ok(Pools::Postgres(pool)),
        // The pool keeps the reason to itself: one more connection tells it.
        Err(sqlx::Error::PoolTimedOut) => {
            let told = timeout(REASON_WITHIN, PgConnection::connect_with(&options)).await;
            Err(told.ok().and_then(Result::err).unwrap_or(sqlx::Error::PoolTimedOut))
        }
        Err(error) => Err(error),
    }
}

/// The rows of a statement as one JSON parameter: an array of arrays.
fn json<T: serde::Serialize + ?Sized>(rows: &T) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Statement(sqlx::Error::Encode(error.into())))
}
