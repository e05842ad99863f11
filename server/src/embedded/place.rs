//! An embedded server's folder: its lock, its storage credentials, and where it listens or listened.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::storage::StorageCredentials;

/// Where its credentials are.
const SECRETS: &str = "secrets.json";

/// The folder's credentials for its own storage, and where it listened last.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Secrets {
    pub(crate) fn credentials(self) -> StorageCredentials {
        StorageCredentials { access_key_id: self.access_key_id, secret_access_key: self.secret_access_key }
    }
}

/// Where a server listens; `server.json` while it runs, and what its standard output says when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Origin of the API.
    pub listening: String,
    /// Origin of presigned URLs.
    pub storage: String,
}

/// Whether a server was started on the folder: that makes its credentials before anything else.
///
/// # Errors
/// The folder may not be looked at.
pub(crate) fn is_place(dir: &Path) -> io::Result<bool> {
    dir.join(SECRETS).try_exists()
}

/// Reads the credentials, or makes them (mode 0600).
pub(crate) fn secrets(dir: &Path) -> io::Result<Secrets> {
    let path = dir.join(SECRETS);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secrets = Secrets {
                access_key_id: format!("FILEMILL{}", BASE32_NOPAD.encode(&random::<10>()?)),
                secret_access_key: HEXLOWER.encode(&random::<32>()?),
            };
            write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
            Ok(secrets)
        }
        Err(error) => Err(error),
    }
}

/// Holds the folder for one server. The kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock; none: another process has it.
    pub(crate) fn take(dir: &Path) -> io::Result<Option<Self>> {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join("server.lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the folder, for this user only if it is new.
pub(crate) fn make_dir(dir: &Path) -> io::Result<PathBuf> {
    if !dir.exists() {
        std::fs::create_dir_all(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    dir.canonicalize()
}

/// Reads one of the folder's JSON files; none if it is not there, or not what it should be.
pub(crate) fn read_addresses(dir: &Path, name: &str) -> Option<Addresses> {
    serde_json::from_slice(&std::fs::read(dir.join(name)).ok()?).ok()
}

/// Writes one of the folder's JSON files, whole or not at all.
pub(crate) fn write_addresses(dir: &Path, name: &str, addresses: &Addresses) -> io::Result<()> {
    write_private(&dir.join(name), &serde_json::to_vec(addresses)?)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(draft, path)
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}
