//! A running server: starts its parts in order, and stops them in the reverse one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Admin;
use crate::bounds::Bounds;
use crate::catalog::{CatalogConfig, NewPools};
use crate::config::{Config, Embedded, LOOPBACK, Place};
use crate::domains::{Domains, DomainsConfig};
use crate::embedded::{self, Addresses, DirLock, StorageStartError};
use crate::listen::{self, Lane};
use crate::start_error::StartError;
use crate::storage::{Storage, StorageConfig};
use crate::store::Store;
use crate::{descriptors, http};

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

/// Everything that runs. They end in this order: requests rely on the domains, and the sweep on storage.
#[derive(Debug, Default)]
struct Running {
    /// The API.
    api: Lane,
    /// The domains' tasks and the sweep.
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
    /// One of its parts is unavailable; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let running = Running::default();
        let bounds = config.bounds.within(descriptors::limit());
        let (options, storage, place, last) = match config.place {
            Place::Services { database, storage } => (database, storage, None, None),
            Place::Embedded(embedded) => {
                let (dir, lock) = embedded.take()?;
                let last = embedded::read_addresses(&dir, embedded::LAST);
                let storage = start_storage(&dir, &embedded, last.as_ref(), &running.storage, &bounds).await?;
                (embedded.database()?, storage, Some((dir, lock)), last)
            }
        };
        let store = Store::open(&options).await?;
        let storage = Storage::open(storage).await?;
        let new_pools = if place.is_some() { config.domains.catalog.new_pools } else { NewPools::Named };
        let catalog = CatalogConfig { new_pools, ..config.domains.catalog };
        let (work, stop) = (&running.work, &running.work_stop);
        let domains = Domains::start(store.clone(), DomainsConfig { catalog, ..config.domains }, work, stop);
        domains.maintenance.start_sweep(storage.clone(), config.sweep, work, stop);

        let wanted = Wanted::of(config.listen, last.as_ref().map(|last| last.listening.as_str()));
        let listen_error = |source| wanted.unavailable(source);
        let (listener, listening) = listen::bind(wanted.address).await.map_err(listen_error)?;
        let addresses = Addresses {
            listening: embedded::origin(listening).map_err(listen_error)?.origin().ascii_serialization(),
            storage: storage.origin().to_owned(),
        };
        let Domains { accounts, catalog, queue, maintenance } = domains;
        let below = http::Below { accounts, catalog, queue, maintenance, storage };
        let router = http::router(below, config.plan, bounds.clone(), running.api.stopping());
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

    /// What an operator may do, on this server's own connections to the database. Close it before the server is shut down.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::of_server(self.store.clone())
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

async fn start_storage(
    dir: &Path,
    embedded: &Embedded,
    last: Option<&Addresses>,
    lane: &Lane,
    bounds: &Bounds,
) -> Result<StorageConfig, StartError> {
    let wanted = Wanted::of(embedded.storage_listen, last.map(|last| last.storage.as_str()));
    embedded::start_storage(dir, wanted.address, embedded.lifetime, lane, bounds).await.map_err(|error| match error {
        StorageStartError::Dir(source) => StartError::dir(dir, source),
        StorageStartError::Listen(source) => wanted.unavailable(source),
    })
}

/// Where to listen.
#[derive(Clone, Copy)]
struct Wanted {
    address: SocketAddr,
    /// Nobody asked for it: a server of this folder listened there before.
    is_former: bool,
}

impl Wanted {
    /// What was asked for goes, otherwise the former port, otherwise any. Another than the former one is not taken where that is in use: clients and
    /// processors know the server by it, and would wait for it for ever.
    fn of(asked: Option<SocketAddr>, last_origin: Option<&str>) -> Self {
        let former =
            || last_origin?.strip_prefix("http://")?.parse().ok().filter(|last: &SocketAddr| last.ip().is_loopback());
        match (asked, former()) {
            (Some(address), _) => Self { address, is_former: false },
            (None, Some(address)) => Self { address, is_former: true },
            (None, None) => Self { address: LOOPBACK, is_former: false },
        }
    }

    fn unavailable(self, source: io::Error) -> StartError {
        match self {
            Self { address, is_former: true } => StartError::FormerPort { address, source },
            Self { address, is_former: false } => StartError::Listen { address, source },
        }
    }
}
