//! What a server is told at its start. Read once; each part gets only its own.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::accounts::Plan;
use crate::bounds::Bounds;
use crate::domains::DomainsConfig;
use crate::embedded::{self, DirLock};
use crate::maintenance::SweepConfig;
use crate::start_error::StartError;
use crate::storage::StorageConfig;
use crate::store::StoreOptions;

/// Name of the embedded database in its folder.
const DATABASE: &str = "filemill.sqlite";

/// A server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API listens. None: on loopback, at the former port of an embedded server, the first time at
    /// any.
    pub listen: Option<SocketAddr>,
    /// Where database and objects are.
    pub place: Place,
    /// How long jobs and uploads may take, what is kept, and whom to believe.
    pub domains: DomainsConfig,
    /// What an organisation may use.
    pub plan: Plan,
    /// How deleted uploads leave storage.
    pub sweep: SweepConfig,
    /// What one caller may take of the server.
    pub bounds: Bounds,
    /// How long requests under way may take once the server was asked to stop.
    pub shutdown_limit: Duration,
}

/// Where a server keeps things.
#[derive(Clone, Debug)]
pub enum Place {
    /// All under one folder, with a storage endpoint of its own.
    Embedded(Embedded),
    /// In services that others run.
    Services {
        /// The database.
        database: StoreOptions,
        /// The bucket.
        storage: StorageConfig,
    },
}

/// An embedded server's place.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The folder; made by the server that starts on it, if there is none. One server at a time.
    pub dir: PathBuf,
    /// Another database than SQLite in the folder.
    pub database: Option<StoreOptions>,
    /// Where storage listens. None: as for [`Config::listen`].
    pub storage_listen: Option<SocketAddr>,
    /// How long presigned URLs are good, at most 15 minutes.
    pub lifetime: Duration,
}

impl Embedded {
    /// Makes the folder if needed, and takes its lock.
    pub(crate) fn take(&self) -> Result<(PathBuf, DirLock), StartError> {
        let dir = &self.dir;
        let made = embedded::make_dir(dir).map_err(|source| StartError::dir(dir, source))?;
        match DirLock::take(&made).map_err(|source| StartError::dir(dir, source))? {
            Some(lock) => match embedded::lost_objects(&made) {
                Some(path) => Err(StartError::ObjectsGone { path }),
                None => Ok((made, lock)),
            },
            None => Err(StartError::InUse { running: embedded::read_addresses(&made, embedded::RUNNING), dir: made }),
        }
    }

    /// The folder's database, or the one that was named instead. Starting a server makes folder and database, and nothing else
    /// does: in a folder whose name was mistyped everything would be new, and good for nothing.
    ///
    /// # Errors
    /// No server was ever started on the folder; or a server has used it, and the database is gone or empty: taken as new, it would have all
    /// objects deleted, since it knows none of them.
    pub fn database(&self) -> Result<StoreOptions, StartError> {
        let dir = &self.dir;
        let path = dir.join(DATABASE);
        // Versions before made the database for whoever asked, a token for example.
        let is_place = embedded::is_place(dir).and_then(|is_place| Ok(is_place || path.try_exists()?));
        if !is_place.map_err(|source| StartError::dir(dir, source))? {
            return Err(StartError::NoPlace { dir: dir.clone() });
        }
        if let Some(database) = &self.database {
            return Ok(database.clone());
        }
        // Written when a server was ready, thus after its database.
        let was_used = dir.join(embedded::LAST).exists();
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() == 0 && was_used => Err(StartError::DatabaseGone { path, what: "is empty" }),
            Err(error) if error.kind() == ErrorKind::NotFound && was_used => {
                Err(StartError::DatabaseGone { path, what: "is gone" })
            }
            _ => Ok(StoreOptions::sqlite(path)),
        }
    }
}

impl Config {
    /// A server with everything under `dir`, on loopback.
    #[must_use]
    pub fn embedded(dir: impl Into<PathBuf>) -> Self {
        Self::new(Place::Embedded(Embedded {
            dir: dir.into(),
            database: None,
            storage_listen: None,
            lifetime: Duration::from_secs(filemill_api::limits::PRESIGNED_SECONDS.into()),
        }))
    }

    /// A server with the defaults of production.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self {
            listen: None,
            place,
            domains: DomainsConfig::default(),
            plan: Plan::default(),
            sweep: SweepConfig::default(),
            bounds: Bounds::default(),
            shutdown_limit: Duration::from_secs(8),
        }
    }
}

/// Any port of the loopback address.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
