//! The journal: what must be known after a crash. One SQLite file, shared by all programs of one home.

mod anew;
mod descriptions;
mod export_folders;
mod files;
mod found;
mod full;
mod grown;
mod lookup;
mod mark;
mod results;
mod room;
mod sessions;
mod sqlite;
mod unfetched;
mod uploads;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};

use filemill_seal::{Digest, UploadId, Verdict, VoidReason};
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::error::Error;
use crate::home::{Home, on_thread};
pub use anew::{NewJournal, begin_new_journal};
pub(crate) use files::{FilePlace, FileState, Known, Waiting};
pub(crate) use lookup::Asked;
pub(crate) use results::{Arrived, KeptResult, Missing};
use room::{ROOM_BYTES, is_no_room};
pub(crate) use sessions::{Session, Watched, is_running};
use sqlite::{BUSY_TIMEOUT, journal_error};
pub(crate) use unfetched::Unfetched;
pub(crate) use uploads::{ChunkRecord, Ended, NewFile, NewUpload, StoredChunk, StoredUpload, UploadKeys};
use writer::Writer;

/// How many rows one statement inserts: SQLite takes 32,766 values in one.
const ROWS_PER_STATEMENT: usize = 256;

/// Every migration, in order: version, name, statements. Sqlx can embed the folder itself, with macros for which SQLite would be
/// compiled twice.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "journal", include_str!("../migrations/0001_journal.sql")),
    (2, "descriptions", include_str!("../migrations/0002_descriptions.sql")),
    (3, "watched engine", include_str!("../migrations/0003_watched_engine.sql")),
    (4, "unfetched", include_str!("../migrations/0004_unfetched.sql")),
    (7, "parameters", include_str!("../migrations/0007_parameters.sql")),
    (8, "watching", include_str!("../migrations/0008_watching.sql")),
    (10, "out folders", include_str!("../migrations/0010_out_folders.sql")),
    (12, "watched files", include_str!("../migrations/0012_watched_files.sql")),
    (13, "look every", include_str!("../migrations/0013_look_every.sql")),
];

/// The journal of one home.
pub(crate) struct Journal {
    path: PathBuf,
    reader: SqlitePool,
    writer: Writer,
    /// Kept from others as long as it is only read, on a full disk.
    alone: Option<File>,
}

impl Journal {
    /// Opens the journal of `home`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::JournalDamaged`] if what was one can no longer be read as one, [`Error::JournalVersion`] if another version of this
    /// program made it, [`Error::JournalFull`], [`Error::Journal`] if it cannot be opened for another reason.
    pub(crate) async fn open(home: &Home) -> Result<Self, Error> {
        let path = home.journal();
        found::look(home).await?;
        let failed = |error: sqlx::Error| journal_error(&path, &error);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was said to be stored or opened must be known after a power cut, too.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        make_private(&path)?;
        // Whoever begins a write-ahead log while another does is told at once that the database is locked.
        let begins = on_thread(home, |home| home.lock(found::BEGIN_LOCK)).await?;
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(failed)?;
        // With SQLite, sqlx locks nothing: of two programs that start at once, one found the tables of the other.
        let lock = on_thread(home, |home| home.lock(found::LOCK)).await?;
        drop(begins);
        migrations().run(&writer).await.map_err(|error| migration_error(&path, error))?;
        mark::check(home, &writer).await?;
        drop(lock);
        let reader = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(failed)?;
        Ok(Self { writer: Writer::start(writer, path.clone()), reader, path, alone: None })
    }

    /// Waits until no other program of the home compares what is written with what it is about to write, and keeps others from it
    /// until the file is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if it is not to be waited for any more, [`Error::File`] if it cannot be locked.
    pub(crate) async fn lock(&self, home: &Home) -> Result<File, Error> {
        on_thread(home, |home| home.lock(found::LOCK)).await
    }

    /// Waits until everything is written, and closes it.
    pub(crate) async fn close(&self) {
        // Whoever is last puts the write-ahead log into the database, if it may write: the file is whole then, and can be copied.
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Whether anything can be written down.
    ///
    /// # Errors
    ///
    /// [`Error::JournalFull`] if not, [`Error::Journal`].
    pub(crate) async fn has_room(&self) -> Result<(), Error> {
        let filler = vec![0_u8; ROOM_BYTES];
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    // Nobody looks for what has such a digest; the row does not stay.
                    sqlx::query("insert or replace into descriptions (sha256, document) values ($1, $2)")
                        .bind(vec![0_u8; 1])
                        .bind(filler)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await?;
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("delete from descriptions where sha256 = $1")
                        .bind(vec![0_u8; 1])
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Whether all of its pages can be read and fit together. Reads all of it.
    ///
    /// # Errors
    ///
    /// [`Error::JournalDamaged`] if it is not even possible to find out.
    async fn is_in_order(&self) -> Result<bool, Error> {
        let first: String = sqlx::query_scalar("pragma integrity_check(1)")
            .fetch_one(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(first == "ok")
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        journal_error(&self.path, error)
    }
}

/// What makes its tables, and changes those of earlier versions.
fn migrations() -> Migrator {
    let migration = |&(version, description, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

/// The file holds data keys: nobody else may read it, whatever the umask says. SQLite gives its other files the same mode.
fn make_private(path: &Path) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if is_no_room(error.kind()) => Err(Error::JournalFull { path: path.to_owned() }),
        Err(error) => Err(Error::file("open", path, &error)),
    }
}

fn migration_error(path: &Path, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) => journal_error(path, &error),
        MigrateError::VersionMissing(_)
        | MigrateError::VersionMismatch(_)
        | MigrateError::VersionTooOld(..)
        | MigrateError::VersionTooNew(..) => Error::JournalVersion { path: path.to_owned(), detail: error.to_string() },
        _ => Error::Journal { path: path.to_owned(), detail: error.to_string() },
    }
}

/// A column that is not what this program writes.
fn corrupt(column: &'static str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: "not a value that this program writes".into() }
}

fn upload_id(bytes: &[u8]) -> Result<UploadId, sqlx::Error> {
    UploadId::try_from(bytes).map_err(|_| corrupt("upload"))
}

fn digest(bytes: &[u8]) -> Result<Digest, sqlx::Error> {
    Digest::try_from(bytes).map_err(|_| corrupt("digest"))
}

/// SQLite's integers are signed; sizes, inodes and devices go in and out bit by bit.
fn signed(value: u64) -> i64 {
    value.cast_signed()
}

fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

fn index(value: i64) -> Result<u32, sqlx::Error> {
    u32::try_from(value).map_err(|_| corrupt("index"))
}

fn verdict_code(verdict: &Verdict) -> i64 {
    match verdict {
        Verdict::Intact(_) => 0,
        Verdict::Void(reason) => *reason as i64,
    }
}

fn verdict_from(code: i64, sha256: Option<Digest>) -> Result<Verdict, sqlx::Error> {
    if code == 0 {
        return sha256.map(Verdict::Intact).ok_or_else(|| corrupt("sha256"));
    }
    let reason = VoidReason::ALL.into_iter().find(|reason| *reason as i64 == code);
    reason.map(Verdict::Void).ok_or_else(|| corrupt("verdict"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn programs_that_start_at_once_make_one_journal() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let opened = (0..32).map(|_| {
            let home = home.clone();
            tokio::spawn(async move { Journal::open(&home).await })
        });
        for journal in futures::future::join_all(opened).await {
            journal.unwrap().unwrap().close().await;
        }
    }
}
