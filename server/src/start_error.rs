//! Why a server does not start, or a command of its operator.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::embedded::Addresses;
use crate::storage::StorageError;
use crate::store::StoreError;

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
    /// The folder, or something in it, is unavailable.
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
    /// An address is unavailable.
    #[error("cannot listen at `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The address at which a server of this folder listened before is unavailable.
    #[error("cannot listen at `{address}`, where clients and processors know this server")]
    FormerPort {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The database is unavailable.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// Storage is unavailable.
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
            Self::FormerPort { .. } => Some(
                "end what listens there, and start again; to have another port for good, say which with --listen or --s3-listen \
                 (`127.0.0.1:0` for any): people then log in again, and processors join again",
            ),
            Self::Database(error) => error.hint(),
            Self::Storage(_) => Some("check bucket, endpoint and credentials"),
            _ => None,
        }
    }
}

fn whereabouts(running: Option<&Addresses>) -> String {
    running.map(|addresses| format!(", which listens at {}", addresses.listening)).unwrap_or_default()
}
