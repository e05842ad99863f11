//! A new journal in the place of one that cannot be used any more, with what can still be read of that one.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::found::{PARTS, has_log, part};
use super::room::Failure;
use super::{BUSY_TIMEOUT, Journal, is_running, journal_error, make_private, mark};
use crate::config::noted_journal;
use crate::error::Error;
use crate::home::{Home, on_thread};
use crate::wall_clock::now_s;

/// Tables that are taken over, with the columns that their rows lie in the order of; those first without which others mean nothing.
/// Not how far the events were read: they are read again from the beginning, which brings what the server still has of the
/// results that were lost. Nor what tells this device from others, as whoever reads from the beginning is a new one.
const TABLES: [(&str, &[&str]); 9] = [
    ("pools", &["root", "pool"]),
    ("descriptions", &["sha256"]),
    ("parameters", &["rowid"]),
    ("out_folders", &["path"]),
    ("uploads", &["id"]),
    ("files", &["id"]),
    ("chunks", &["upload", "sequence"]),
    ("batches", &["id"]),
    ("results", &["id"]),
];
/// A database of SQLite has at least that.
const SMALLEST_PAGE_BYTES: usize = 512;
/// Rows that are copied at once.
const ROWS_AT_ONCE: i64 = 256;
/// Folder of the home in which the new journal is made, until it is whole.
const MAKING: &str = "journal.new";
/// Held meanwhile: two programs at once would make it in the same place.
const LOCK: &str = "journal-new.lock";

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

/// Begins a new journal with what can still be read of one that cannot be used any more, and puts that one aside. What was sent and
/// is not in it any more counts as never sent. Key, login and pool stay as they are. The former stays in its place until the new one
/// is whole: after an error this can be done again.
///
/// # Errors
///
/// [`Error::JournalInOrder`] if nothing is wrong with it, [`Error::JournalInUse`] while a program of this home runs,
/// [`Error::JournalFull`] if there is no room for another, [`Error::File`] if it cannot be moved; errors of the new journal.
pub async fn begin_new_journal(home: &Home) -> Result<NewJournal, Error> {
    let path = home.journal();
    let _lock = on_thread(home, |home| home.lock(LOCK)).await?;
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
    let made = match make(home).await {
        Ok(counts) => on_thread(home, put_in_place).await.map(|aside| (aside, counts)),
        // Where it is made concerns nobody.
        Err(Error::JournalFull { .. }) => Err(Error::JournalFull { path }),
        Err(error) => Err(error),
    };
    // Whatever is left of it is no journal.
    let _ = on_thread(home, clear).await;
    let (aside, (uploads, files, results)) = made?;
    Ok(NewJournal { aside, uploads, files, results })
}

/// Makes the new journal, with what can still be read of the former. Says how many uploads, files and results that were.
async fn make(home: &Home) -> Result<(u64, u64, u64), Error> {
    let (making, is_there) = on_thread(home, |home| {
        check_unused(home)?;
        clear(home)?;
        Ok((Home::at(home.path().join(MAKING))?, make_readable(&home.journal())?))
    })
    .await?;
    Journal::open(&making).await?.close().await;
    let path = making.journal();
    let failed = |error: sqlx::Error| journal_error(&path, &error);
    let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.connect().await.map_err(failed)?;
    let counts = match is_there {
        true => take_over(&mut connection, &home.journal()).await.map_err(failed)?,
        false => (0, 0, 0),
    };
    // Then it is this home's.
    if let Some(mark) = noted_journal(home)? {
        mark::set(&mut connection, mark).await.map_err(failed)?;
    }
    // Only the database itself is put into its place.
    sqlx::query("pragma main.wal_checkpoint(truncate)").execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    if has_log(&path) {
        return Err(Error::Journal { path, detail: "its log cannot be written into it".to_owned() });
    }
    Ok(counts)
}

fn check_unused(home: &Home) -> Result<(), Error> {
    let sessions = fs::read_dir(home.sessions()).map_err(|error| Error::file("read", &home.sessions(), &error))?;
    for session in sessions.flatten() {
        if session.file_name().to_str().is_some_and(|id| is_running(home, id)) {
            return Err(Error::JournalInUse { path: home.journal() });
        }
    }
    Ok(())
}

/// Removes what was left of making one before.
fn clear(home: &Home) -> Result<(), Error> {
    let making = home.path().join(MAKING);
    match fs::remove_dir_all(&making) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", &making, &error)),
        _ => Ok(()),
    }
}

/// Makes SQLite read what there is of the former; says whether there is anything. SQLite throws the log of a database away that is
/// shorter than the smallest page, although all of it may be in there.
fn make_readable(path: &Path) -> Result<bool, Error> {
    let length = fs::metadata(path).ok().map(|metadata| metadata.len());
    if length.is_none_or(|length| length < SMALLEST_PAGE_BYTES as u64) && has_log(path) {
        make_private(path)?;
        let written = OpenOptions::new().write(true).open(path).and_then(|mut file| {
            file.write_all(&[0; SMALLEST_PAGE_BYTES])?;
            file.sync_all()
        });
        written.map_err(|error| Error::file("write", path, &error))?;
        return Ok(true);
    }
    Ok(length.is_some())
}

/// Puts the former aside, and the new one into its place; if that fails, the former back. Says where the former lies, if there was
/// anything.
fn put_in_place(home: &Home) -> Result<Option<PathBuf>, Error> {
    check_unused(home)?;
    let path = home.journal();
    let is_free = |aside: &PathBuf| fs::symlink_metadata(aside).is_err();
    let aside = (now_s()..).map(|now| part(&path, &format!(".lost-{now}"))).find(is_free).ok_or(Error::Stopped)?;
    let mut moved = Vec::new();
    let placed = (|| {
        // The database last: if this program is killed meanwhile, it is looked at again. And never may the former's log lie beside
        // the new one.
        for ending in PARTS.into_iter().rev() {
            let (from, to) = (part(&path, ending), part(&aside, ending));
            // With both names there is a journal in its place all the time, where the file system knows that.
            let linked = if ending.is_empty() { fs::hard_link(&from, &to) } else { Err(ErrorKind::Unsupported.into()) };
            match linked.or_else(|_| fs::rename(&from, &to)) {
                Ok(()) => moved.push((from, to)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Error::file("put aside", &from, &error)),
            }
        }
        let made = home.path().join(MAKING).join(path.file_name().unwrap_or_default());
        fs::rename(&made, &path).map_err(|error| Error::file("write", &path, &error))
    })();
    match placed {
        Ok(()) => Ok((!moved.is_empty()).then_some(aside)),
        Err(error) => {
            for (from, to) in moved.into_iter().rev() {
                // What has both names needs only one.
                let _ = if fs::symlink_metadata(&from).is_ok() { fs::remove_file(&to) } else { fs::rename(&to, &from) };
            }
            Err(error)
        }
    }
}

/// Copies what can be read. Says how many uploads, files and results that were.
///
/// # Errors
///
/// What is not of the former, damaged database: no room for the new one.
async fn take_over(connection: &mut SqliteConnection, lost: &Path) -> Result<(u64, u64, u64), sqlx::Error> {
    let name = lost.to_str().ok_or_else(|| sqlx::Error::Configuration("its path is no text".into()))?;
    let of_the_former = |error: sqlx::Error| match Failure::of(lost, &error) {
        Failure::Damaged | Failure::Other => Ok(()),
        Failure::Full | Failure::Unwritten | Failure::Foreign => Err(error),
    };
    match sqlx::query("attach database $1 as lost").bind(name).execute(&mut *connection).await {
        Ok(_) => {
            for (table, order) in TABLES {
                // A damaged table keeps no other from being read; and what lies behind the damage is reached from the other end.
                if let Err(error) = copy(connection, table, &order.join(", ")).await {
                    of_the_former(error)?;
                    let from_the_end = copy(connection, table, &format!("{} desc", order.join(" desc, "))).await;
                    from_the_end.or_else(of_the_former)?;
                }
            }
            sqlx::query("detach database lost").execute(&mut *connection).await?;
        }
        // One that is no database at all has nothing to be read.
        Err(error) => of_the_former(error)?,
    }
    // What only belongs to something that could not be read would be waited for in vain.
    for orphans in [
        "delete from files where upload not in (select id from uploads)",
        "delete from chunks where upload not in (select id from uploads)",
        "delete from results where upload not in (select id from uploads)",
        "delete from batches where upload not in (select id from uploads)",
        // A result without its batch is none: it would keep the batch from being taken when it comes again, whose id may be another's then.
        "delete from results where sealed is null and batch is not null and batch not in (select id from batches)",
        "update results set batch = null where batch is not null and batch not in (select id from batches)",
    ] {
        sqlx::query(orphans).execute(&mut *connection).await?;
    }
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

    use super::super::{Arrived, NewUpload, SealedBatch};
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
    async fn a_result_whose_batch_is_lost_is_taken_when_it_comes_again() {
        let (former, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let former = home_with_uploads(former.path(), 1).await;
        let new = home_with_uploads(new.path(), 0).await;
        let batch = SealedBatch { sealed: vec![7; 9].into(), members: 2 };
        // The second was kept as a file, too.
        let results = || {
            [None, Some(vec![5])].into_iter().zip(0..).map(|(sealed, job)| {
                let (upload, batch) = (upload(0), Some(batch.clone()));
                Arrived { upload, job, cursor: 1, outcome: "succeeded", refusal: None, sealed, batch }
            })
        };
        let journal = Journal::open(&former).await.unwrap();
        journal.take_in_fetched(results().collect()).await.unwrap();
        journal.close().await;
        let mut lost = SqliteConnectOptions::new().filename(former.journal()).connect().await.unwrap();
        assert_eq!(sqlx::query("delete from batches").execute(&mut lost).await.unwrap().rows_affected(), 1);
        lost.close().await.unwrap();
        let mut connection = SqliteConnectOptions::new().filename(new.journal()).connect().await.unwrap();
        let (_, _, kept) = take_over(&mut connection, &former.journal()).await.unwrap();
        assert_eq!(kept, 1, "the one that is there by itself");
        connection.close().await.unwrap();
        let journal = Journal::open(&new).await.unwrap();
        // Another batch is given the first id that is free.
        let other = SealedBatch { sealed: vec![8; 9].into(), members: 1 };
        let third = Arrived { job: 2, batch: Some(other), ..results().next().unwrap() };
        journal.take_in_fetched(vec![third]).await.unwrap();
        journal.take_in_fetched(results().collect()).await.unwrap();
        let mut kept = journal.results(&[0, 1, 2].map(|job| (upload(0), job))).await.unwrap();
        kept.sort_by_key(|kept| kept.job);
        let kept: Vec<_> =
            kept.into_iter().map(|kept| (kept.sealed, kept.batch.as_deref().map(<[u8]>::to_vec))).collect();
        assert_eq!(kept, [(None, Some(vec![7; 9])), (Some(vec![5]), None), (None, Some(vec![8; 9]))]);
        journal.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_while_a_journal_is_taken_over_is_no_damage_of_the_former() {
        let (former, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let former = home_with_uploads(former.path(), 64).await;
        let new = home_with_uploads(new.path(), 0).await;
        let options = SqliteConnectOptions::new().filename(new.journal());
        let mut connection = options.connect().await.unwrap();
        // SQLite says the same of this bound as of a full disk.
        let pages: i64 = sqlx::query_scalar("pragma page_count").fetch_one(&mut connection).await.unwrap();
        let bound = format!("pragma max_page_count = {}", pages + 8);
        sqlx::query(AssertSqlSafe(bound)).execute(&mut connection).await.unwrap();
        let error = take_over(&mut connection, &former.journal()).await.unwrap_err();
        assert!(matches!(journal_error(&new.journal(), &error), Error::JournalFull { .. }), "{error:?}");
        connection.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_that_another_cannot_take_the_place_of_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = home_with_uploads(folder.path(), 64).await;
        let whole = fs::read(home.journal()).unwrap();
        // Nothing was made.
        assert!(matches!(put_in_place(&home), Err(Error::File { action: "write", .. })));
        assert_eq!(fs::read(home.journal()).unwrap(), whole);
        let names = || fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names().any(|name| name.to_string_lossy().contains("lost")), "{:?}", names().collect::<Vec<_>>());
        damage(&home, b"upload 032");
        let new = begin_new_journal(&home).await.unwrap();
        assert!(new.uploads >= 56, "{new:?}");
        assert!(!home.path().join(MAKING).exists());
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
        let session = super::super::Session::begin(&home, super::super::Session::new_id()).unwrap();
        assert!(matches!(begin_new_journal(&home).await, Err(Error::JournalInUse { .. })));
        drop(session);
        begin_new_journal(&home).await.unwrap();
    }
}
