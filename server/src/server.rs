//! A running server: starts its parts in order, and stops them in the reverse one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bounds::Bounds;
use crate::config::{Config, Embedded, LOOPBACK, Place};
use crate::embedded::{self, Addresses, DirLock, StorageStartError};
use crate::listen::{self, Lane};
use crate::rules::{NewPools, Rules, RulesConfig};
use crate::storage::{Storage, StorageConfig, StorageError};
use crate::store::{Store, StoreError};
use crate::{descriptors, routes, sweep};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another server has the folder.
    #[error("`{}` is in use by another filemill-server{}", dir.display(), whereabouts(running.as_ref()))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Where that server listens, if it says so.
        running: Option<Addresses>,
    },
    /// The folder, or something in it, is not to be had.
    #[error("the folder `{}` cannot be used", dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No server was ever started on the folder.
    #[error("`{}` is not the folder of a filemill server", dir.display())]
    NoPlace {
        /// The folder.
        dir: PathBuf,
    },
    /// A server has used the folder, and its objects are not there any more.
    #[error("the objects in `{}` are gone, and a server has used this folder before", path.display())]
    ObjectsGone {
        /// Where they were.
        path: PathBuf,
    },
    /// A server has used the folder, and its database is not there any more.
    #[error("database `{}` {what}, and a server has used this folder before", path.display())]
    DatabaseGone {
        /// Where it was.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An address is not to be had.
    #[error("cannot listen at `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The database is not to be had.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// Storage is not to be had.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StartError {
    pub(crate) fn dir(dir: &Path, source: io::Error) -> Self {
        Self::Dir { dir: dir.to_owned(), source }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::InUse { .. } => Some("stop that server, or give this one another folder"),
            Self::DatabaseGone { .. } => Some(
                "restore it from a backup, or name the database that was used with --database-url; a new one would have everything \
                 deleted that is stored here: for that, give another folder",
            ),
            Self::NoPlace { .. } => Some("`filemill-server serve --embedded DIR` makes one"),
            Self::ObjectsGone { .. } => Some(
                "restore them from a backup; to go on without them make that folder, empty, and publish the releases again: files that \
                 are not done are then sent again, and results that nobody has fetched yet are lost",
            ),
            Self::Listen { source, .. } => Some(match source.kind() {
                io::ErrorKind::AddrNotAvailable => {
                    "this machine has no such address: 127.0.0.1 is its own alone, 0.0.0.0 each that it has"
                }
                io::ErrorKind::PermissionDenied => "ports below 1024 are the system's: choose another port",
                _ => "choose another port, or 0 for any",
            }),
            Self::Database(error) => error.hint(),
            Self::Storage(_) => Some("check bucket, endpoint and credentials"),
            _ => None,
        }
    }
}

/// A server in this process. Dropping it cuts it off; [`Server::shutdown`] lets requests finish.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    listening: SocketAddr,
    running: Running,
    store: Store,
    shutdown_limit: Duration,
    /// Held as long as the server lives.
    place: Option<(PathBuf, DirLock)>,
}

/// Everything that runs. They end in this order: requests rely on the rules, and the sweep on storage.
#[derive(Debug, Default)]
struct Running {
    /// The API.
    api: Lane,
    /// The rules' tasks and the sweep.
    work: TaskTracker,
    work_stop: CancellationToken,
    /// The embedded storage.
    storage: Lane,
}

impl Running {
    async fn end(&self, deadline: Instant) {
        self.api.drain(deadline).await;
        self.work_stop.cancel();
        self.work.close();
        if timeout_at(deadline, self.work.wait()).await.is_err() {
            tracing::warn!(tasks = self.work.len(), "did not wait for the work in hand");
        }
        self.storage.drain(deadline).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.api.cut();
        self.work_stop.cancel();
        self.storage.cut();
    }
}

impl Server {
    /// Starts a server; when this returns, it answers.
    ///
    /// # Errors
    /// One of its parts is not to be had; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let running = Running::default();
        let bounds = config.bounds.within(descriptors::limit());
        let (options, storage, place, last) = match config.place {
            Place::Services { database, storage } => (database, storage, None, None),
            Place::Embedded(embedded) => {
                let (dir, lock) = take_dir(&embedded.dir)?;
                let last = embedded::read_addresses(&dir, embedded::LAST);
                let storage = start_storage(&dir, &embedded, last.as_ref(), &running.storage, &bounds).await?;
                (embedded.database()?, storage, Some((dir, lock)), last)
            }
        };
        let store = Store::open(&options).await?;
        let storage = Storage::open(storage).await?;
        let new_pools = if place.is_some() { config.rules.new_pools } else { NewPools::Named };
        let rules_config = RulesConfig { new_pools, ..config.rules };
        let rules = Rules::start(store.clone(), rules_config, &running.work, &running.work_stop);
        running.work.spawn(sweep::run(rules.clone(), storage.clone(), config.sweep, running.work_stop.clone()));

        let (wanted, may_move) = address(config.listen, last.as_ref().map(|last| last.listening.as_str()));
        let listen_error = |source| StartError::Listen { address: wanted, source };
        let (listener, listening) = listen::bind(wanted, may_move).await.map_err(listen_error)?;
        let addresses = Addresses {
            listening: embedded::origin(listening).map_err(listen_error)?.origin().ascii_serialization(),
            storage: storage.origin().to_owned(),
        };
        let router = routes::router(rules, storage, config.plan, bounds.clone(), running.api.stopping());
        running.api.serve(listener, router, bounds);
        if let Some((dir, _)) = &place {
            for name in [embedded::LAST, embedded::RUNNING] {
                embedded::write_addresses(dir, name, &addresses).map_err(|source| StartError::dir(dir, source))?;
            }
        }
        tracing::info!(listening = %addresses.listening, storage = %addresses.storage, database = %options, "ready");
        Ok(Self { addresses, listening, running, store, shutdown_limit: config.shutdown_limit, place })
    }

    /// Origins of the API and of presigned URLs.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The socket address of the API.
    #[must_use]
    pub fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// Takes no more requests, ends long polls and streams at once, lets the others finish within the limit, and closes
    /// the database.
    pub async fn shutdown(self) {
        tracing::info!("stopping");
        self.running.end(Instant::now() + self.shutdown_limit).await;
        self.store.close().await;
        if let Some((dir, _)) = &self.place
            && let Err(error) = std::fs::remove_file(dir.join(embedded::RUNNING))
        {
            tracing::warn!(%error, "`{}` is left behind", embedded::RUNNING);
        }
        tracing::info!("stopped");
    }
}

fn whereabouts(running: Option<&Addresses>) -> String {
    running.map(|addresses| format!(", which listens at {}", addresses.listening)).unwrap_or_default()
}

/// Makes the folder if needed, and takes its lock.
pub(crate) fn take_dir(dir: &Path) -> Result<(PathBuf, DirLock), StartError> {
    let made = embedded::make_dir(dir).map_err(|source| StartError::dir(dir, source))?;
    match DirLock::take(&made).map_err(|source| StartError::dir(dir, source))? {
        Some(lock) => match embedded::lost_objects(&made) {
            Some(path) => Err(StartError::ObjectsGone { path }),
            None => Ok((made, lock)),
        },
        None => Err(StartError::InUse { running: embedded::read_addresses(&made, embedded::RUNNING), dir: made }),
    }
}

async fn start_storage(
    dir: &Path,
    embedded: &Embedded,
    last: Option<&Addresses>,
    lane: &Lane,
    bounds: &Bounds,
) -> Result<StorageConfig, StartError> {
    let (wanted, may_move) = address(embedded.storage_listen, last.map(|last| last.storage.as_str()));
    embedded::start_storage(dir, wanted, may_move, embedded.lifetime, lane, bounds).await.map_err(|error| match error {
        StorageStartError::Dir(source) => StartError::dir(dir, source),
        StorageStartError::Listen(source) => StartError::Listen { address: wanted, source },
    })
}

/// Where to listen, and whether another port will do: what was asked for goes, otherwise the former port, otherwise
/// any.
fn address(asked: Option<SocketAddr>, last_origin: Option<&str>) -> (SocketAddr, bool) {
    let former = || last_origin?.strip_prefix("http://")?.parse().ok();
    match asked {
        Some(asked) => (asked, false),
        None => (former().filter(|last: &SocketAddr| last.ip().is_loopback()).unwrap_or(LOOPBACK), true),
    }
}
