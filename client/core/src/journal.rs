//! The journal: what must be known after a crash. One SQLite file, shared by all programs of one home.

mod anew;
mod descriptions;
mod device;
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
mod upload_keys;
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
pub(crate) use results::{Arrived, KeptBytes, KeptResult, Missing, SealedBatch, Single};
use room::{ROOM_BYTES, is_no_room};
pub(crate) use sessions::{Session, Watched, is_running};
use sqlite::{BUSY_TIMEOUT, journal_error};
pub(crate) use unfetched::Unfetched;
pub(crate) use upload_keys::UploadKeys;
pub(crate) use uploads::{ChunkRecord, Ended, NewFile, NewUpload, StoredChunk, StoredUpload};
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
    (14, "formats", include_str!("../migrations/0014_formats.sql")),
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
        MigrateError::VersionMissing(found) => {
            let newest = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
            let detail = format!("it has version {found}, and this program reads up to version {newest}");
            Error::JournalVersion { path: path.to_owned(), detail }
        }
        MigrateError::VersionMismatch(_) | MigrateError::VersionTooOld(..) | MigrateError::VersionTooNew(..) => {
            Error::JournalVersion { path: path.to_owned(), detail: error.to_string() }
        }
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

    /// A journal as release 0.1.0 wrote it, with one upload and one result that is still to be fetched.
    async fn journal_of_the_first_release(home: &Home, upload: UploadId) {
        const LAST_OF_THE_FIRST_RELEASE: i64 = 13;

        make_private(&home.journal()).unwrap();
        let options = SqliteConnectOptions::new().filename(home.journal()).journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let known = migrations().iter().filter(|one| one.version <= LAST_OF_THE_FIRST_RELEASE).cloned().collect();
        Migrator::with_migrations(known).run(&pool).await.unwrap();
        let id = upload.as_bytes().to_vec();
        for sql in [
            "insert into uploads (id, account, session, data_key, header, header_digest, header_bytes, engine, version, release, pool, \
             chunk_size, chunk_count, created_at, not_after, state) \
             values ($1, 'a', 's', zeroblob(32), x'00', zeroblob(32), 1, 'size', '1.0.0', zeroblob(32), 'main', 65536, 1, 0, 9, 'stored')",
            "insert into files (upload, idx, path, name, size, modified_ns, changed_ns, inode, device, seen_ns, attempt) \
             values ($1, 0, x'2f', x'66', 1, 0, 0, 1, 1, 0, 0)",
            "insert into unfetched (upload, idx, account, cursor, outcome, reason) values ($1, 0, 'a', 7, 'succeeded', 'r')",
            "insert into cursors (account, cursor, mark) select 'a', 7, '0011223344556677' where $1 is not null",
        ] {
            sqlx::query(sql).bind(id.clone()).execute(&pool).await.unwrap();
        }
        pool.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_of_the_first_release_is_opened_and_all_in_it_is_of_format_1() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let upload = UploadId::random();
        journal_of_the_first_release(&home, upload).await;
        let mut seeds = Vec::new();
        for _ in 0..2 {
            let journal = Journal::open(&home).await.unwrap();
            let keys = journal.upload_keys(upload).await.unwrap().unwrap();
            assert_eq!((keys.format, keys.tasks.len(), keys.files), (filemill_seal::Format::One, 1, 1));
            assert_eq!(keys.task_and_file(0), Some((0, 0)));
            assert_eq!(journal.load_upload(upload).await.unwrap().unwrap().upload.format, filemill_seal::Format::One);
            assert_eq!(journal.unfetched("a", 9).await.unwrap()[0].job, 0);
            assert_eq!(journal.position("a").await.unwrap().cursor, 7);
            seeds.push(journal.device_seed().await.unwrap().unwrap());
            journal.close().await;
        }
        assert_eq!(seeds[0], seeds[1], "it is made once");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_of_a_later_version_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        Journal::open(&home).await.unwrap().close().await;
        let options = SqliteConnectOptions::new().filename(home.journal());
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        sqlx::query(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'later', 1, x'00', 0)",
        )
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
        let before = std::fs::read(home.journal()).unwrap();
        for _ in 0..2 {
            match Journal::open(&home).await {
                Err(Error::JournalVersion { path, detail }) => {
                    assert_eq!(path, home.journal());
                    assert_eq!(detail, "it has version 99, and this program reads up to version 14");
                }
                Err(error) => panic!("{error:?}"),
                Ok(_) => panic!("it was opened"),
            }
        }
        assert_eq!(std::fs::read(home.journal()).unwrap(), before);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_task_of_an_upload_has_its_releases_and_its_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Home::at(folder.path()).unwrap()).await.unwrap();
        let upload = UploadId::random();
        let sample = NewUpload { format: filemill_seal::Format::Two, ..NewUpload::sample(upload) };
        let stat = crate::stat::FileStat { size: 1, modified_ns: 0, changed_ns: 0, inode: 1, device: 1 };
        let file = |name: &str| NewFile {
            found: crate::source::Found::seen(name.into(), name.into(), stat, 0),
            verdict: None,
        };
        journal.begin_upload(sample, ["/a", "/b", "/c"].map(file).into(), Vec::new()).await.unwrap();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let tasks = serde_json::to_string(&[vec![old], vec![new, old]]).unwrap();
        let change = journal.writer.write(move |connection| {
            Box::pin(async move {
                sqlx::query("update uploads set tasks = $1").bind(tasks).execute(connection).await?;
                Ok(())
            })
        });
        change.await.unwrap();
        let keys = journal.upload_keys(upload).await.unwrap().unwrap();
        assert_eq!((keys.releases(0), keys.releases(1), keys.releases(2)), (&[old][..], &[new, old][..], &[][..]));
        let places: Vec<_> = (0..7).map(|job| keys.task_and_file(job)).collect();
        let expected = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)].map(Some);
        assert_eq!((&places[..6], places[6]), (&expected[..], None));
        journal.close().await;
    }
}
