//! What every use of SQLite has in common.

use std::path::Path;
use std::time::Duration;

use super::room::Failure;
use crate::error::Error;

/// How long to wait for another program of the same home that is writing.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What an error of SQLite says of the journal at `path`.
pub(super) fn journal_error(path: &Path, error: &sqlx::Error) -> Error {
    match Failure::of(path, error) {
        Failure::Full => Error::JournalFull { path: path.to_owned() },
        Failure::Damaged => {
            let detail = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
            Error::JournalDamaged { path: path.to_owned(), detail }
        }
        Failure::Unwritten | Failure::Other | Failure::Foreign => {
            Error::Journal { path: path.to_owned(), detail: error.to_string() }
        }
    }
}
