//! What lies in the journal's place, before it is opened: a journal, nothing yet, or something that must not be taken for one.
//!
//! The keys of what is in flight are in it. An empty file that was a journal would be filled anew by SQLite without a word, and
//! nobody would know why results never come.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::config::noted_journal;
use crate::error::Error;
use crate::home::{Home, on_thread};

/// Held while the tables are made, and while a program looks which folders others watch. It is made after the first of them was
/// written, and nobody removes it: where it is, there was a journal.
pub(super) const LOCK: &str = "journal.lock";

/// Held while the database is opened. That it is there says nothing.
pub(super) const BEGIN_LOCK: &str = "journal.begin.lock";

/// Files that belong to a SQLite database, by what is put behind its name.
pub(super) const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// How a SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;

/// Tables that a journal of any version has, and no other database of this system.
const TABLES: [&str; 3] = ["uploads", "cursors", "watches"];
/// Where SQLx keeps which migrations ran: alone, if the very first was interrupted.
const MIGRATIONS: &str = "_sqlx_migrations";

/// Looks at what lies in the journal's place.
///
/// # Errors
///
/// [`Error::JournalDamaged`] if it is no journal, or cut short, or missing where there was one; [`Error::File`] if it cannot be
/// read.
pub(super) async fn look(home: &Home) -> Result<(), Error> {
    let path = home.journal();
    let damaged = |detail: String| Error::JournalDamaged { path: path.clone(), detail };
    if on_thread(home, header).await?.is_none() {
        return Ok(());
    }
    let tables = tables(&path).await.map_err(|error| super::sqlite::journal_error(&path, &error))?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    if tables.iter().all(|table| table == MIGRATIONS) || TABLES.into_iter().all(has) {
        return Ok(());
    }
    Err(damaged("it is the database of another program".to_owned()))
}

/// With this behind its name.
pub(super) fn part(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The first bytes of the database; `None` if there is no journal yet.
pub(super) fn header(home: &Home) -> Result<Option<[u8; HEADER_BYTES]>, Error> {
    let path = home.journal();
    let damaged = |detail: &str| Error::JournalDamaged { path: path.clone(), detail: detail.to_owned() };
    let failed = |error: std::io::Error| Error::file("open", &path, &error);
    // First of all: another program may be making it.
    let was_there = home.path().join(LOCK).exists() || noted_journal(home)?.is_some();
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if was_there || has_log(&path) {
                Err(damaged("it is gone, and there was one here"))
            } else {
                Ok(None)
            };
        }
        Err(error) => return Err(failed(error)),
    };
    // A pipe would wait for a writer.
    if !metadata.is_file() {
        return Err(damaged("it is no file"));
    }
    if metadata.len() == 0 {
        return if was_there || has_log(&path) {
            Err(damaged("it is empty, and there was one here"))
        } else {
            Ok(None)
        };
    }
    let mut file = File::open(&path).map_err(failed)?;
    let mut header = [0; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(damaged("it is no database")),
        other => other.map_err(failed)?,
    }
    if !header.starts_with(MAGIC) {
        return Err(damaged("it is no database"));
    }
    match missing(&file, &header, || has_log(&path)).map_err(failed)? {
        Some((found, expected)) => Err(damaged(&format!("it is cut short: it has {found} of {expected} bytes"))),
        None => Ok(Some(header)),
    }
}

/// How long a database is and how long it says that it is, if it is shorter.
fn missing(
    file: &File,
    header: &[u8; HEADER_BYTES],
    has_log: impl FnOnce() -> bool,
) -> std::io::Result<Option<(u64, u64)>> {
    let expected = expected_bytes(header);
    // What is still in the log would be written behind the end.
    if has_log() {
        return Ok(None);
    }
    // Last of all: a program that ends just now writes the log into the database, and only then takes it away.
    let found = file.metadata()?.len();
    Ok((found < expected).then_some((found, expected)))
}

/// How long a database says that it is; 0 if it does not say so.
fn expected_bytes(header: &[u8; HEADER_BYTES]) -> u64 {
    let number =
        |at: usize| u64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    // Only whoever kept both numbers in step knew of the size.
    if number(24) == number(92) { number(28) * page_bytes } else { 0 }
}

/// Whether changes wait in a write-ahead log.
pub(super) fn has_log(path: &Path) -> bool {
    fs::metadata(part(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Changes nothing in the file: it may be anybody's.
async fn tables(path: &Path) -> Result<Vec<String>, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(super::sqlite::BUSY_TIMEOUT);
    let mut connection: SqliteConnection = options.connect().await?;
    let tables = sqlx::query_scalar(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'",
    )
    .fetch_all(&mut connection)
    .await;
    connection.close().await?;
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    async fn home_with_journal() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        Journal::open(&home).await.unwrap().close().await;
        (folder, home)
    }

    /// Why it is not opened.
    async fn refusal(home: &Home) -> String {
        match Journal::open(home).await {
            Err(Error::JournalDamaged { path, detail }) => {
                assert_eq!(path, home.journal());
                detail
            }
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it was taken for a journal"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_empty_or_missing_journal_is_not_taken_for_a_new_one_where_there_was_one() {
        let (_folder, home) = home_with_journal().await;
        assert!(fs::metadata(home.journal()).unwrap().len() > 0);
        File::create(home.journal()).unwrap();
        assert_eq!(refusal(&home).await, "it is empty, and there was one here");
        assert_eq!(refusal(&home).await, "it is empty, and there was one here", "it was filled");
        fs::remove_file(home.journal()).unwrap();
        assert_eq!(refusal(&home).await, "it is gone, and there was one here");
        assert!(!home.journal().exists(), "it was made anew");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_that_was_interrupted_before_its_first_table_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        File::create(home.journal()).unwrap();
        Journal::open(&home).await.unwrap().close().await;
        Journal::open(&home).await.unwrap().close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_journal_is_not_taken_for_one_and_stays_as_it_is() {
        let (_folder, home) = home_with_journal().await;
        let whole = fs::read(home.journal()).unwrap();
        let cut = &whole[..whole.len() - 4096];
        let cases: [(&[u8], String); 4] = [
            (b"hello", "it is no database".to_owned()),
            (&[b'x'; 9000], "it is no database".to_owned()),
            (&whole[..50], "it is no database".to_owned()),
            (cut, format!("it is cut short: it has {} of {} bytes", cut.len(), whole.len())),
        ];
        for (bytes, expected) in cases {
            fs::write(home.journal(), bytes).unwrap();
            assert_eq!(refusal(&home).await, expected);
            assert_eq!(fs::read(home.journal()).unwrap(), bytes, "{expected}");
        }
        fs::remove_file(home.journal()).unwrap();
        // As the server's own database, which has migrations and uploads, too.
        let options = SqliteConnectOptions::new().filename(home.journal()).create_if_missing(true);
        let mut foreign = options.connect().await.unwrap();
        for table in [MIGRATIONS, "uploads", "cursors"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("create table {table} (x)"))).execute(&mut foreign).await.unwrap();
        }
        foreign.close().await.unwrap();
        let foreign = fs::read(home.journal()).unwrap();
        assert_eq!(refusal(&home).await, "it is the database of another program");
        assert_eq!(fs::read(home.journal()).unwrap(), foreign);
    }

    #[test]
    fn a_program_that_ends_meanwhile_does_not_make_a_journal_look_cut_short() {
        use std::io::Write;

        let mut header = [0; HEADER_BYTES];
        // Three pages of 4 KiB.
        header[16] = 16;
        header[31] = 3;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 4096]).unwrap();
        assert_eq!(missing(&file, &header, || true).unwrap(), None);
        assert_eq!(missing(&file, &header, || false).unwrap(), Some((4096, 12_288)));
        let mut other = file.try_clone().unwrap();
        let writes_its_log = || {
            other.write_all(&[0; 8192]).unwrap();
            false
        };
        assert_eq!(missing(&file, &header, writes_its_log).unwrap(), None);
    }

    #[cfg(unix)]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_pipe_in_the_journals_place_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, home.journal(), pipe, 0o600.into(), 0).unwrap();
        assert_eq!(refusal(&home).await, "it is no file");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_whose_pages_are_damaged_says_so_instead_of_how_sqlite_calls_it() {
        let (_folder, home) = home_with_journal().await;
        let mut bytes = fs::read(home.journal()).unwrap();
        // All but the header, which says how long it is.
        bytes[HEADER_BYTES..].fill(0x5a);
        fs::write(home.journal(), bytes).unwrap();
        let detail = refusal(&home).await;
        assert!(detail.contains("malformed"), "{detail}");
    }
}
