//! What a failure of SQLite comes from: no room on the disk, damage, or something else.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::home::open_regular;

/// Room without which nothing is begun, in bytes.
pub(super) const ROOM_BYTES: usize = 256 << 10;
/// What is written beside the journal to see whether there is room, and taken away at once.
const PROBE: &str = "room.part";

/// SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: no room for the index of the write-ahead log.
const FULL: [&str; 2] = ["13", "4874"];
/// Writing failed, and SQLite does not say why: it knows of ENOSPC only, and not of a quota that is used up. Over NFS a lack of room
/// may show only when all is flushed. SQLITE_IOERR_WRITE, _FSYNC, _DIR_FSYNC, _TRUNCATE, _SHMOPEN.
const UNWRITTEN: [&str; 5] = ["778", "1034", "1290", "1546", "4618"];
/// SQLITE_CANTOPEN: a file that is made is one that could not be.
const UNOPENED: &str = "14";
/// SQLITE_CORRUPT with its index, sequence and virtual tables; SQLITE_NOTADB; SQLITE_IOERR_SHORT_READ.
const DAMAGED: [&str; 6] = ["11", "267", "523", "779", "26", "522"];

/// What a failure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no room.
    Full,
    /// It could not be written, though there is room.
    Unwritten,
    /// The database is not what SQLite wrote.
    Damaged,
    /// Anything else that SQLite says.
    Other,
    /// Nothing that SQLite says.
    Foreign,
}

impl Failure {
    /// Of the journal at `path`. Where SQLite does not say whether there is room, something is written beside it.
    pub(super) fn of(path: &Path, error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        Self::of_code(code.as_deref(), || try_room(path))
    }

    fn of_code(code: Option<&str>, try_room: impl FnOnce() -> io::Result<()>) -> Self {
        let Some(code) = code else { return Self::Foreign };
        let is_unwritten = UNWRITTEN.contains(&code);
        if FULL.contains(&code)
            || (is_unwritten || code == UNOPENED) && try_room().is_err_and(|error| is_no_room(error.kind()))
        {
            return Self::Full;
        }
        match code {
            _ if is_unwritten => Self::Unwritten,
            code if DAMAGED.contains(&code) => Self::Damaged,
            _ => Self::Other,
        }
    }
}

/// Whether the disk is full, or what this user may have of it is used up.
pub(super) fn is_no_room(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Writes beside the journal, to the disk.
fn try_room(journal: &Path) -> io::Result<()> {
    let path = journal.with_file_name(PROBE);
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = open_regular(&mut options, &path).and_then(|mut file| {
        file.write_all(&vec![1; ROOM_BYTES])?;
        file.sync_all()
    });
    let _ = fs::remove_file(&path);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_for_a_quota_is_a_lack_of_room_and_no_end() {
        let failing = |kind: ErrorKind| move || Err(io::Error::from(kind));
        for code in ["778", "1034", "14"] {
            for kind in [ErrorKind::QuotaExceeded, ErrorKind::StorageFull] {
                assert_eq!(Failure::of_code(Some(code), failing(kind)), Failure::Full, "{code} {kind:?}");
            }
        }
        assert_eq!(Failure::of_code(Some("778"), failing(ErrorKind::PermissionDenied)), Failure::Unwritten);
        assert_eq!(Failure::of_code(Some("1034"), || Ok(())), Failure::Unwritten);
        assert_eq!(Failure::of_code(Some("14"), || Ok(())), Failure::Other);
        // Where SQLite says it, nothing is tried.
        let untried = || -> io::Result<()> { panic!("it was tried") };
        assert_eq!(Failure::of_code(Some("13"), untried), Failure::Full);
        assert_eq!(Failure::of_code(Some("11"), untried), Failure::Damaged);
        assert_eq!(Failure::of_code(Some("266"), untried), Failure::Other);
        assert_eq!(Failure::of_code(None, untried), Failure::Foreign);
    }

    #[test]
    fn nothing_stays_of_what_is_written_to_see_whether_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        try_room(&folder.path().join("journal.db")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
