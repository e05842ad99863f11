//! A new journal in the place of one that cannot be used any more, with what can still be read of that one.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::found::{LOCK, PARTS, has_log, part};
use super::{BUSY_TIMEOUT, Journal, is_running, journal_error};
use crate::config::note_journal;
use crate::error::Error;
use crate::home::Home;
use crate::source::now_s;

/// Tables that are taken over, with the columns that their rows lie in the order of; those first without which others mean nothing.
/// Not how far the events were read: they are read again from the beginning, which brings what the server still has of the
/// results that were lost.
const TABLES: [(&str, &[&str]); 8] = [
    ("pools", &["root", "pool"]),
    ("descriptions", &["sha256"]),
    ("parameters", &["rowid"]),
    ("out_folders", &["path"]),
    ("uploads", &["id"]),
    ("files", &["id"]),
    ("chunks", &["upload", "sequence"]),
    ("results", &["id"]),
];
/// A database of SQLite has at least that.
const SMALLEST_PAGE_BYTES: usize = 512;
/// Rows that are copied at once.
const ROWS_AT_ONCE: i64 = 256;

/// What became of a journal that could not be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJournal {
    /// Where the former lies now, if there was anything.
    pub aside: Option<PathBuf>,
    /// Uploads that could still be read in it, with their keys.
    pub uploads: u64,
    /// Files that could.
    pub files: u64,
    /// Results that could.
    pub results: u64,
}

/// Puts a journal that cannot be used any more aside, and begins a new one with what can still be read of it. What was sent and
/// is not in it any more counts as never sent. Key, login and pool stay as they are.
///
/// # Errors
///
/// [`Error::JournalInOrder`] if nothing is wrong with it, [`Error::JournalInUse`] while a program of this home runs,
/// [`Error::File`] if it cannot be moved; errors of the new journal.
pub async fn begin_new_journal(home: &Home) -> Result<NewJournal, Error> {
    let path = home.journal();
    match Journal::open(home).await {
        Ok(journal) => {
            // Opening reads a few pages only: the damage may lie in any other.
            let checked = journal.is_in_order().await;
            journal.close().await;
            match checked {
                Ok(true) => return Err(Error::JournalInOrder { path }),
                Ok(false) | Err(Error::JournalDamaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::JournalDamaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let moving = home.clone();
    let aside = tokio::task::spawn_blocking(move || put_aside(&moving)).await.map_err(|_| Error::Stopped)??;
    Journal::open(home).await?.close().await;
    let mut new = NewJournal { aside, uploads: 0, files: 0, results: 0 };
    if let Some(aside) = &new.aside {
        let mut connection = (SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT).connect())
            .await
            .map_err(|error| journal_error(&path, &error))?;
        // One that is no database at all has nothing to be read.
        let counts = take_over(&mut connection, aside).await.unwrap_or_default();
        connection.close().await.map_err(|error| journal_error(&path, &error))?;
        (new.uploads, new.files, new.results) = counts;
    }
    Ok(new)
}

/// Renames what there is. Blocks.
fn put_aside(home: &Home) -> Result<Option<PathBuf>, Error> {
    let path = home.journal();
    let sessions = fs::read_dir(home.sessions()).map_err(|error| Error::file("read", &home.sessions(), &error))?;
    for session in sessions.flatten() {
        if session.file_name().to_str().is_some_and(|id| is_running(home, id)) {
            return Err(Error::JournalInUse { path });
        }
    }
    let aside = part(&path, &format!(".lost-{}", now_s()));
    // SQLite throws the log of a database away that is shorter than the smallest page, although all of it may be in there.
    let is_empty = fs::metadata(&path).map_or(true, |metadata| metadata.len() < SMALLEST_PAGE_BYTES as u64);
    if is_empty && has_log(&path) {
        fs::write(&path, [0; SMALLEST_PAGE_BYTES]).map_err(|error| Error::file("write", &path, &error))?;
    }
    let mut moved = None;
    for ending in PARTS {
        let (from, to) = (part(&path, ending), part(&aside, ending));
        match fs::rename(&from, &to) {
            Ok(()) if moved.is_none() => moved = Some(aside.clone()),
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("put aside", &from, &error)),
        }
    }
    // Now it may be made.
    note_journal(home, None)?;
    let lock = home.path().join(LOCK);
    match fs::remove_file(&lock) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &lock, &error)),
        _ => Ok(moved),
    }
}

/// Copies what can be read. Says how many uploads, files and results that were.
async fn take_over(connection: &mut SqliteConnection, aside: &Path) -> Result<(u64, u64, u64), sqlx::Error> {
    let name = aside.to_str().ok_or_else(|| sqlx::Error::Configuration("its path is no text".into()))?;
    sqlx::query("attach database $1 as lost").bind(name).execute(&mut *connection).await?;
    for (table, order) in TABLES {
        // A damaged table keeps no other from being read; and what lies behind the damage is reached from the other end.
        if copy(connection, table, &order.join(", ")).await.is_err() {
            let _ = copy(connection, table, &format!("{} desc", order.join(" desc, "))).await;
        }
    }
    // What only belongs to something that could not be read would be waited for in vain.
    for orphans in [
        "delete from files where upload not in (select id from uploads)",
        "delete from chunks where upload not in (select id from uploads)",
        "delete from results where upload not in (select id from uploads)",
    ] {
        sqlx::query(orphans).execute(&mut *connection).await?;
    }
    sqlx::query("detach database lost").execute(&mut *connection).await?;
    let mut counts = [0; 3];
    for (table, count) in ["uploads", "files", "results"].into_iter().zip(&mut counts) {
        let sql = AssertSqlSafe(format!("select count(*) from main.{table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        *count = rows.cast_unsigned();
    }
    Ok(counts.into())
}

/// Copies the rows of a table, in this order, up to the first that cannot be read.
async fn copy(connection: &mut SqliteConnection, table: &str, order: &str) -> Result<(), sqlx::Error> {
    let mut names: Vec<Vec<String>> = Vec::new();
    for database in ["main", "lost"] {
        let sql = format!("select name from pragma_table_info('{table}', '{database}') order by cid");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        names.push(rows.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>()?);
    }
    let [main, lost] = &names[..] else { return Ok(()) };
    // An older version has fewer columns; the new ones have defaults.
    let shared: Vec<&str> = main.iter().filter(|name| lost.contains(name)).map(String::as_str).collect();
    let columns = shared.join(", ");
    let (mut from, mut at_once) = (0_i64, ROWS_AT_ONCE);
    loop {
        let sql = format!(
            "insert or ignore into main.{table} ({columns}) \
             select {columns} from lost.{table} order by {order} limit {at_once} offset {from}"
        );
        match sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await {
            Ok(done) if done.rows_affected() == 0 => return Ok(()),
            Ok(_) => from += at_once,
            Err(_) if at_once > 1 => at_once = 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use filemill_seal::{Enrolment, UploadId};

    use super::super::NewUpload;
    use super::*;
    use crate::parameters::Parameters;

    fn enrolment() -> Enrolment {
        let json = format!(r#"{{"filemill_enrolment":1,"pool":"main","root":"{}"}}"#, "ab".repeat(32));
        Enrolment::from_json(&json).unwrap()
    }

    async fn serial(home: &Home) -> u64 {
        let journal = Journal::open(home).await.unwrap();
        let serial = journal.pool_serial(&enrolment()).await.unwrap();
        journal.close().await;
        serial
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_still_in_the_log_of_an_emptied_journal_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let journal = Journal::open(&home).await.unwrap();
        journal.accept_serial(&enrolment(), 7).await.unwrap();
        let log = fs::read(part(&home.journal(), "-wal")).unwrap();
        journal.close().await;
        assert!(matches!(begin_new_journal(&home).await, Err(Error::JournalInOrder { .. })));
        fs::File::create(home.journal()).unwrap();
        fs::write(part(&home.journal(), "-wal"), log).unwrap();
        let new = begin_new_journal(&home).await.unwrap();
        assert!(new.aside.is_some_and(|aside| aside.exists()));
        assert_eq!(serial(&home).await, 7);
    }

    /// A journal with so many uploads, each with parameters of its own.
    async fn home_with_uploads(folder: &Path, count: u8) -> Home {
        let home = Home::at(folder).unwrap();
        let journal = Journal::open(&home).await.unwrap();
        for number in 0..count {
            let upload = NewUpload {
                // Found again in the file, and long enough that a page holds few of them.
                header: format!("upload {number:03} ").repeat(120).into_bytes(),
                parameters: Some(parameters(number)),
                ..NewUpload::sample(upload(number))
            };
            journal.begin_upload(upload, Vec::new(), Vec::new()).await.unwrap();
        }
        journal.close().await;
        home
    }

    fn upload(number: u8) -> UploadId {
        UploadId::try_from(&[number; 16][..]).unwrap()
    }

    fn parameters(number: u8) -> Parameters {
        Parameters::from_journal(&format!(r#"{{"depth":{number}}}"#))
    }

    /// Overwrites the page that holds these bytes.
    fn damage(home: &Home, bytes: &[u8]) {
        const PAGE_BYTES: usize = 4096;

        let mut journal = fs::read(home.journal()).unwrap();
        let at = journal.windows(bytes.len()).position(|window| window == bytes).expect("it is there");
        let page = at / PAGE_BYTES * PAGE_BYTES;
        journal[page..page + PAGE_BYTES].fill(0x5a);
        fs::write(home.journal(), journal).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_deep_in_a_journal_that_still_opens_is_no_order_and_costs_one_page() {
        let folder = tempfile::tempdir().unwrap();
        let home = home_with_uploads(folder.path(), 64).await;
        assert!(matches!(begin_new_journal(&home).await, Err(Error::JournalInOrder { .. })));
        damage(&home, b"upload 032");
        let new = begin_new_journal(&home).await.unwrap();
        assert!((56..64).contains(&new.uploads), "what lies behind the damage was given up: {new:?}");
        let journal = Journal::open(&home).await.unwrap();
        for number in [0, 24, 40, 63] {
            let stored = journal.load_upload(upload(number)).await.unwrap().expect("it was taken over");
            assert_eq!(stored.upload.parameters, Some(parameters(number)), "{number}");
        }
        journal.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn parameters_that_are_lost_are_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let home = home_with_uploads(folder.path(), 2).await;
        damage(&home, br#"{"depth":0}"#);
        assert_eq!(begin_new_journal(&home).await.unwrap().uploads, 2);
        let journal = Journal::open(&home).await.unwrap();
        assert_eq!(journal.load_upload(upload(0)).await.unwrap().expect("it is there").upload.parameters, None);
        let none = Parameters::default();
        assert_eq!(journal.parameters_of(upload(0), &none).await.unwrap(), None);
        assert_eq!(journal.parameters_of(upload(0), &parameters(0)).await.unwrap(), Some(parameters(0)));
        assert_eq!(journal.parameters_of(upload(9), &none).await.unwrap(), Some(none), "nobody knows of it");
        journal.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_that_is_gone_or_no_database_is_begun_anew_when_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        Journal::open(&home).await.unwrap().close().await;
        fs::write(home.journal(), "no database").unwrap();
        let new = begin_new_journal(&home).await.unwrap();
        assert_eq!((new.uploads, new.files, new.results), (0, 0, 0));
        assert_eq!(fs::read(new.aside.unwrap()).unwrap(), b"no database");
        fs::remove_file(home.journal()).unwrap();
        begin_new_journal(&home).await.unwrap();
        assert_eq!(serial(&home).await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_journal_is_put_aside_under_a_program_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        Journal::open(&home).await.unwrap().close().await;
        fs::File::create(home.journal()).unwrap();
        let session = super::super::Session::begin(&home).unwrap();
        assert!(matches!(begin_new_journal(&home).await, Err(Error::JournalInUse { .. })));
        drop(session);
        begin_new_journal(&home).await.unwrap();
    }
}
