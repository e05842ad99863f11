//! Which journal is this home's: what the login pinned and the journal bear the same mark.
//!
//! A journal without its home is somebody else's: the keys in it are of uploads that this home knows nothing of, and what this
//! home waits for is not in it. It comes by restoring the wrong backup, or half of one.

use filemill_seal::UploadId;
use sqlx::sqlite::{Sqlite, SqlitePool};
use sqlx::{AssertSqlSafe, Executor};

use super::sqlite::journal_error;
use crate::config::{note_journal, noted_journal};
use crate::error::Error;
use crate::home::{Home, on_thread};

/// Compares the marks, and makes them where there are none. Nobody else does meanwhile: a lock is held.
///
/// # Errors
///
/// [`Error::JournalDamaged`] for the journal of another home.
pub(super) async fn check(home: &Home, journal: &SqlitePool) -> Result<(), Error> {
    let path = home.journal();
    let (found, noted) = compare(home, journal).await?;
    // Without one it may be a backup of a time when there were no marks.
    let mark = found.or(noted).unwrap_or_else(random);
    if found.is_none() {
        set(journal, mark).await.map_err(|error| journal_error(&path, &error))?;
    }
    if noted.is_none() { on_thread(home, move |home| note_journal(home, mark)).await } else { Ok(()) }
}

/// The mark that the journal bears, and the one that was noted; `None` for one that there is not.
///
/// # Errors
///
/// [`Error::JournalDamaged`] if they differ: it is the journal of another home.
pub(super) async fn compare(home: &Home, journal: &SqlitePool) -> Result<(Option<u32>, Option<u32>), Error> {
    let path = home.journal();
    // SQLite keeps a number for programs to tell their databases by; 0 where nobody set it.
    let found: i64 = sqlx::query_scalar("pragma application_id")
        .fetch_one(journal)
        .await
        .map_err(|error| journal_error(&path, &error))?;
    let found = u32::try_from(found).ok().filter(|mark| *mark != 0);
    let noted = noted_journal(home)?;
    if found.zip(noted).is_some_and(|(found, noted)| found != noted) {
        let detail = "it is the journal of another home".to_owned();
        return Err(Error::JournalDamaged { path, detail });
    }
    Ok((found, noted))
}

/// Makes the journal bear this mark.
pub(super) async fn set<'c>(journal: impl Executor<'c, Database = Sqlite>, mark: u32) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(format!("pragma application_id = {mark}"));
    sqlx::query(sql).execute(journal).await.map(drop)
}

/// Positive for SQLite, whose number has a sign, and not 0.
fn random() -> u32 {
    let bytes = UploadId::random();
    let number = bytes.as_bytes().iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    number >> 1 | 1
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::home::{Home, write_private};
    use crate::journal::{Journal, begin_new_journal};

    const CONFIG: &str = r#"{"version":1,"server":"http://127.0.0.1:1","organisation":"acme","user":"ada","enrolment":"","storage_origins":[]}"#;

    async fn home_with_journal() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        write_private(&home.config(), CONFIG).unwrap();
        Journal::open(&home).await.unwrap().close().await;
        (folder, home)
    }

    async fn refusal(home: &Home) -> String {
        match Journal::open(home).await {
            Err(Error::JournalDamaged { detail, .. }) => detail,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it was taken for this home's"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_homes_journal_is_not_taken_for_this_ones() {
        let (_one, home) = home_with_journal().await;
        let (_other, other) = home_with_journal().await;
        std::fs::copy(other.journal(), home.journal()).unwrap();
        assert_eq!(refusal(&home).await, "it is the journal of another home");
        begin_new_journal(&home).await.unwrap();
        Journal::open(&home).await.unwrap().close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_that_is_gone_together_with_its_lock_is_not_begun_anew_without_a_word() {
        let (_folder, home) = home_with_journal().await;
        for name in ["journal.db", "journal.lock"] {
            std::fs::remove_file(home.path().join(name)).unwrap();
        }
        assert_eq!(refusal(&home).await, "it is gone, and there was one here");
        std::fs::File::create(home.journal()).unwrap();
        assert_eq!(refusal(&home).await, "it is empty, and there was one here");
        assert!(begin_new_journal(&home).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_that_vanishes_under_a_running_program_is_noticed_before_more_is_written() {
        let (_folder, home) = home_with_journal().await;
        let journal = Journal::open(&home).await.unwrap();
        journal.has_room().await.unwrap();
        std::fs::remove_file(home.journal()).unwrap();
        let error = journal.has_room().await.unwrap_err();
        assert!(matches!(&error, Error::JournalDamaged { detail, .. } if detail.contains("while")), "{error:?}");
        std::fs::write(home.journal(), "another").unwrap();
        assert!(matches!(journal.has_room().await, Err(Error::JournalDamaged { .. })));
    }
}
