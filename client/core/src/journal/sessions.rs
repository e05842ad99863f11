//! Who works on what: each activity of a running program holds a lock, and what belongs to one that ended is adopted by the next.
//!
//! Locks are of open files, not of processes: two activities of one program are told apart as those of two programs are.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use filemill_seal::{Enrolment, UploadId};
use sqlx::Row;

use super::{Journal, signed, unsigned, upload_id};
use crate::error::Error;
use crate::home::{Home, read_text};
use crate::source::{path_bytes, path_from_bytes};

/// A lock file that nobody holds is swept after this time: a younger one may be about to be locked.
const SWEEP_AFTER: Duration = Duration::from_secs(3600);

/// One activity of a running program. The operating system lets go of its lock when that ends, however it ends.
pub(crate) struct Session {
    id: String,
    lock: Option<(PathBuf, File)>,
}

/// How a program watches a folder.
pub(crate) struct Watched {
    /// Patterns of what it leaves out.
    pub(crate) ignore: Vec<String>,
    /// The engine that was asked for.
    pub(crate) engine: Option<String>,
    /// Whether temporary and system files are sent, too.
    pub(crate) temporary: bool,
    /// How it is looked through: empty if rarely, else why it is often; `None` as long as nobody knows.
    pub(crate) look: Option<String>,
    /// How often that is, in seconds; 0 if rarely.
    pub(crate) look_every_s: u64,
}

impl Session {
    /// An id for a new one.
    pub(crate) fn new_id() -> String {
        UploadId::random().to_string()
    }

    /// Begins the one of this new id.
    pub(crate) fn begin(home: &Home, id: String) -> Result<Self, Error> {
        let path = home.sessions().join(&id);
        let failed = |error: std::io::Error| Error::file("lock", &path, &error);
        let mut lock = OpenOptions::new().create_new(true).write(true).open(&path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        // For people; on a full disk they do without.
        let _ = write!(lock, "{}", std::process::id());
        Ok(Self { id, lock: Some((path, lock)) })
    }

    /// One that owns nothing, and so needs no lock.
    pub(crate) fn without_lock(id: String) -> Self {
        Self { id, lock: None }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What it still owns is an orphan either way.
        if let Some((path, _)) = &self.lock {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether what began the session still goes on.
pub(crate) fn is_running(home: &Home, session: &str) -> bool {
    let Ok(file) = File::open(home.sessions().join(session)) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The id that the operating system has for the program that began the session, if it is known.
fn process_of(home: &Home, session: &str) -> Option<u32> {
    read_text(&home.sessions().join(session)).ok()??.parse().ok()
}

impl Journal {
    /// Gives all uploads of programs that ended to `session`, and returns those that are not stored completely, oldest
    /// first.
    pub(crate) async fn adopt(&self, home: &Home, account: &str, session: &Session) -> Result<Vec<UploadId>, Error> {
        let owners: Vec<String> =
            sqlx::query_scalar("select distinct session from uploads union select distinct session from watches")
                .fetch_all(&self.reader)
                .await
                .map_err(|error| self.failed(&error))?;
        for owner in owners.into_iter().filter(|owner| owner != session.id()) {
            self.adopt_from(home, owner, session.id().to_owned()).await?;
        }
        sweep(&home.sessions());
        let rows = sqlx::query(
            "select id from uploads where state = 'uploading' and session = $1 and account = $2 order by created_at, id",
        )
        .bind(session.id().to_owned())
        .bind(account.to_owned())
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| upload_id(row.try_get("id")?))
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.failed(&error))
    }

    /// Gives all uploads of the program `owner` to `session`, if that program has ended. Says whether it has.
    pub(crate) async fn adopt_from(&self, home: &Home, owner: String, session: String) -> Result<bool, Error> {
        let path = home.sessions().join(&owner);
        // Held until the uploads have changed hands: two programs that adopt at once do not both get them.
        let lock = match File::open(&path) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Some(file),
                Err(_) => return Ok(false),
            },
            Err(_) => None,
        };
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update uploads set session = $1 where session = $2")
                        .bind(session)
                        .bind(owner.clone())
                        .execute(&mut *connection)
                        .await?;
                    sqlx::query("delete from watches where session = $1").bind(owner).execute(connection).await?;
                    Ok(())
                })
            })
            .await?;
        if lock.is_some() {
            let _ = fs::remove_file(&path);
        }
        Ok(true)
    }

    /// The uploads of `session` that have files without a result.
    pub(crate) async fn unfinished_uploads(&self, account: &str, session: &str) -> Result<Vec<UploadId>, Error> {
        let rows = sqlx::query(
            "select distinct files.upload from files join uploads on uploads.id = files.upload \
             where files.state = 'open' and uploads.session = $1 and uploads.account = $2 and uploads.state <> 'abandoned'",
        )
        .bind(session.to_owned())
        .bind(account.to_owned())
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| upload_id(row.try_get("upload")?))
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.failed(&error))
    }

    /// The highest serial of the pool's statements that was accepted; 0 if there was none.
    pub(crate) async fn pool_serial(&self, enrolment: &Enrolment) -> Result<u64, Error> {
        let serial: Option<i64> = sqlx::query_scalar("select serial from pools where root = $1 and pool = $2")
            .bind(enrolment.root().to_vec())
            .bind(enrolment.pool().to_owned())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(serial.map_or(0, unsigned))
    }

    /// Writes down that a statement with this serial was accepted.
    pub(crate) async fn accept_serial(&self, enrolment: &Enrolment, serial: u64) -> Result<(), Error> {
        let (root, pool) = (enrolment.root().to_vec(), enrolment.pool().to_owned());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "insert into pools (root, pool, serial) values ($1, $2, $3) \
                         on conflict (root, pool) do update set serial = max(pools.serial, excluded.serial)",
                    )
                    .bind(root)
                    .bind(pool)
                    .bind(signed(serial))
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Writes down which folders a program watches, with which patterns, and the engine that was asked for.
    pub(crate) async fn watch(
        &self,
        session: &str,
        folder: &Path,
        ignore: &[String],
        engine: Option<&str>,
    ) -> Result<(), Error> {
        let (session, folder, engine) = (session.to_owned(), path_bytes(folder), engine.map(str::to_owned));
        let ignore = ignore.join("\n");
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "insert or replace into watches (session, folder, ignore, engine) values ($1, $2, $3, $4)",
                    )
                    .bind(session)
                    .bind(folder)
                    .bind(ignore)
                    .bind(engine)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Writes down whether a program sends temporary and system files of a folder that it watches.
    pub(crate) async fn watch_temporary(&self, session: &str, folder: &Path, temporary: bool) -> Result<(), Error> {
        let (session, folder) = (session.to_owned(), path_bytes(folder));
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update watches set temporary = $1 where session = $2 and folder = $3")
                        .bind(i64::from(temporary))
                        .bind(session)
                        .bind(folder)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Writes down how a program looks through a folder: empty if rarely, else why it is every so many seconds.
    pub(crate) async fn watch_look(&self, session: &str, folder: &Path, look: &str, every_s: u64) -> Result<(), Error> {
        let (session, folder, look) = (session.to_owned(), path_bytes(folder), look.to_owned());
        let every_s = i64::try_from(every_s).unwrap_or(i64::MAX);
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update watches set look = $1, look_every_s = $2 where session = $3 and folder = $4")
                        .bind(look)
                        .bind(every_s)
                        .bind(session)
                        .bind(folder)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The folders that running programs watch.
    pub(crate) async fn watched_folders(&self, home: &Home) -> Result<HashMap<PathBuf, Watched>, Error> {
        let watches = self.watches(home).await?;
        Ok(watches.into_iter().map(|(_, folder, watch)| (folder, watch)).collect())
    }

    /// The folders that programs other than `session` watch, with the id that the operating system has for each of them, if it is
    /// known.
    pub(crate) async fn watched_by_others(
        &self,
        home: &Home,
        session: &str,
    ) -> Result<Vec<(PathBuf, Watched, Option<u32>)>, Error> {
        let others = self.watches(home).await?.into_iter().filter(|(other, ..)| other != session);
        Ok(others.map(|(other, folder, watch)| (folder, watch, process_of(home, &other))).collect())
    }

    /// Which running program watches which folder.
    async fn watches(&self, home: &Home) -> Result<Vec<(String, PathBuf, Watched)>, Error> {
        let rows = sqlx::query("select session, folder, ignore, engine, temporary, look, look_every_s from watches")
            .fetch_all(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        let mut watches = Vec::new();
        for row in rows {
            let read = || -> Result<(String, Vec<u8>, String, Option<String>), sqlx::Error> {
                Ok((row.try_get("session")?, row.try_get("folder")?, row.try_get("ignore")?, row.try_get("engine")?))
            };
            let (session, folder, ignore, engine) = read().map_err(|error| self.failed(&error))?;
            if is_running(home, &session) {
                let ignore = ignore.lines().map(str::to_owned).collect();
                let more = || -> Result<(i64, Option<String>, i64), sqlx::Error> {
                    Ok((row.try_get("temporary")?, row.try_get("look")?, row.try_get("look_every_s")?))
                };
                let (temporary, look, every_s) = more().map_err(|error| self.failed(&error))?;
                let look_every_s = u64::try_from(every_s).unwrap_or_default();
                let watch = Watched { ignore, engine, temporary: temporary != 0, look, look_every_s };
                watches.push((session, path_from_bytes(folder), watch));
            }
        }
        Ok(watches)
    }
}

/// Removes what crashed programs left behind that owned nothing.
fn sweep(sessions: &Path) {
    let Ok(entries) = fs::read_dir(sessions) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .is_some_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > SWEEP_AFTER));
        if old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
