//! The journal on a full disk, which can still be read.

use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode, SqlitePoolOptions};

use super::writer::Writer;
use super::{BUSY_TIMEOUT, Journal, found, is_running, journal_error, mark, migrations};
use crate::error::Error;
use crate::home::{Home, on_thread};

impl Journal {
    /// Opens the journal of `home` as [`open`](Self::open) does; on a full disk, where there is no room for what SQLite writes beside
    /// it, so that it can be read as it is, and each change is an [`Error::JournalFull`]. Whoever begins then waits until it is
    /// closed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::JournalFull`] only if it can neither be written nor be read.
    pub(crate) async fn open_to_read(home: &Home) -> Result<Self, Error> {
        match Self::open(home).await {
            Err(full @ Error::JournalFull { .. }) => Self::open_as_it_is(home).await?.ok_or(full),
            opened => opened,
        }
    }

    /// `None` if it cannot be read without being written.
    async fn open_as_it_is(home: &Home) -> Result<Option<Self>, Error> {
        let path = home.journal();
        let failed = |error: sqlx::Error| journal_error(&path, &error);
        // Held until it is closed: nobody begins to write.
        let alone = on_thread(home, |home| home.lock(found::BEGIN_LOCK)).await?;
        if on_thread(home, found::header).await?.is_none() || on_thread(home, |home| Ok(is_used(home))).await? {
            return Ok(None);
        }
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT);
        let options = if found::has_log(&path) {
            // The index of the log would be a file. Whoever has the database alone has it in memory.
            options.locking_mode(SqliteLockingMode::Exclusive).pragma("query_only", "on")
        } else {
            // There would be a log beside it, and its index.
            options.read_only(true).immutable(true)
        };
        let reader = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed)?;
        let version: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(&reader)
            .await
            .map_err(failed)?;
        if version != migrations().iter().map(|migration| migration.version).max() {
            return Ok(None);
        }
        mark::compare(home, &reader).await?;
        Ok(Some(Self { writer: Writer::without_room(path.clone()), reader, path, alone: Some(alone) }))
    }

    /// Whether it was opened on a full disk, and can only be read.
    pub(crate) fn is_as_it_was(&self) -> bool {
        self.alone.is_some()
    }
}

/// Whether a program of this home runs.
fn is_used(home: &Home) -> bool {
    let sessions = std::fs::read_dir(home.sessions()).into_iter().flatten().flatten();
    sessions.filter_map(|session| session.file_name().into_string().ok()).any(|id| is_running(home, &id))
}
