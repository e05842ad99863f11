//! The one writer: what is asked for at the same time is committed together, with one flush to the disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::sqlite::journal_error;
use crate::error::Error;
use crate::stat::identity;

/// Most changes in one transaction.
const GROUP_MAX: usize = 64;

type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), sqlx::Error>> + Send>;

struct Change {
    work: Work,
    committed: oneshot::Sender<Result<(), Error>>,
}

pub(super) struct Writer {
    changes: Mutex<Option<mpsc::Sender<Change>>>,
    tasks: TaskTracker,
    /// The journal, if there is no room to write anything down.
    full: Option<PathBuf>,
}

impl Writer {
    pub(super) fn start(pool: SqlitePool, path: PathBuf) -> Self {
        let (changes, queue) = mpsc::channel(GROUP_MAX);
        let tasks = TaskTracker::new();
        let place = Place { identity: identity(&path), path };
        tasks.spawn(write_groups(pool, place, queue));
        tasks.close();
        Self { changes: Mutex::new(Some(changes)), tasks, full: None }
    }

    /// One that writes nothing to the journal at `path`: there is no room.
    pub(super) fn without_room(path: PathBuf) -> Self {
        let tasks = TaskTracker::new();
        tasks.close();
        Self { changes: Mutex::new(None), tasks, full: Some(path) }
    }

    /// Runs `work` in a transaction, and returns what it returned once that is committed. If the caller goes away, the
    /// change may or may not be made.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        if let Some(path) = &self.full {
            return Err(Error::JournalFull { path: path.clone() });
        }
        let value = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&value);
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let value = work(connection).await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            })
        });
        let (committed, answer) = oneshot::channel();
        let queue = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Stopped)?;
        queue.send(Change { work, committed }).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)??;
        value.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::Stopped)
    }

    /// Writes what was asked for before, and takes nothing more.
    pub(super) async fn close(&self) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.tasks.wait().await;
    }
}

/// Where the journal is, and which file that was when it was opened.
struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Place {
    /// What is written into a file that has no name any more is lost with this program.
    fn check(&self) -> Result<(), Error> {
        if identity(&self.path) == self.identity {
            return Ok(());
        }
        let detail = "it was removed or replaced while this program ran".to_owned();
        Err(Error::JournalDamaged { path: self.path.clone(), detail })
    }
}

async fn write_groups(pool: SqlitePool, place: Place, mut queue: mpsc::Receiver<Change>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.recv_many(&mut group, GROUP_MAX).await > 0 {
        let (work, waiting): (Vec<_>, Vec<_>) =
            group.drain(..).map(|change: Change| (change.work, change.committed)).unzip();
        let result = match place.check() {
            Ok(()) => write_group(&pool, work).await.map_err(|error| journal_error(&place.path, &error)),
            Err(error) => Err(error),
        };
        for committed in waiting {
            // Whoever asked may be gone.
            let _ = committed.send(result.clone());
        }
    }
    pool.close().await;
}

/// Commits all of it or, if any fails, nothing: a disk that is full for one is full for the others.
async fn write_group(pool: &SqlitePool, group: Vec<Work>) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let written = write_on(&mut connection, group).await;
    if written.is_err() {
        // SQLite may have ended the transaction by itself, of which SQLx knows nothing: the next one gets a new connection.
        let _ = connection.close().await;
    }
    written
}

async fn write_on(connection: &mut SqliteConnection, group: Vec<Work>) -> Result<(), sqlx::Error> {
    // Takes the lock at once: a transaction that only then wants to write could not wait for another program's.
    let mut transaction = connection.begin_with("begin immediate").await?;
    for work in group {
        work(&mut transaction).await?;
    }
    transaction.commit().await
}
