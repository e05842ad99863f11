//! Compiled code on disk, trusted only where this host itself wrote it.
//!
//! An entry is one file, named by the release's digest and the compatibility hash. It carries a tag over all its bytes
//! under a key that lies outside the folder; what does not verify is deleted and compiled again.

mod entry;
mod error;
mod folder;
mod key;

use std::sync::Arc;

use self::folder::Folder;
use self::key::Key;
use crate::backend::ReleaseDigest;
use crate::contract::ContractVersion;
use crate::engine::{Lane, Lanes, compatibility};
use crate::native::Native;

pub use error::{CacheConfig, CacheError};

/// An open cache, for every lane.
pub(crate) struct Caches {
    by_lane: [Cache; Lane::ALL.len()],
}

/// An open cache, for one engine.
pub(crate) struct Cache {
    shared: Arc<Shared>,
    compatibility: [u8; 32],
}

struct Shared {
    folder: Folder,
    key: Key,
    max_bytes: u64,
}

impl Caches {
    /// Opens or makes folder and key, and refuses them where others may have written to them.
    pub(crate) fn open(config: &CacheConfig, lanes: &Lanes) -> Result<Self, CacheError> {
        let folder = Folder::open(&config.folder)?;
        key::check_outside(&config.key_file, &config.folder)?;
        let key = Key::open(&config.key_file)?;
        folder.remove_leftovers();
        let shared = Arc::new(Shared { folder, key, max_bytes: config.max_bytes });
        let of = |lane| Cache { shared: Arc::clone(&shared), compatibility: compatibility(lanes.engine(lane)) };
        Ok(Self { by_lane: Lane::ALL.map(of) })
    }

    pub(crate) fn of(&self, lane: Lane) -> &Cache {
        &self.by_lane[lane as usize]
    }
}

impl Cache {
    /// The code of a release and the contract it was built for, where it is there and verifies. An entry that does not is
    /// deleted.
    pub(crate) fn load(&self, digest: ReleaseDigest) -> Option<(Native, ContractVersion)> {
        let name = entry::name(digest, &self.compatibility);
        let most = self.shared.max_bytes.min(entry::MAX_BYTES);
        let found = self.shared.folder.find(&name, most).and_then(|found| {
            let open = |(file, bytes)| entry::open(&self.shared.key, digest, &self.compatibility, file, bytes);
            found.map(open).transpose()
        });
        match found {
            Ok(None) => None,
            Ok(Some(Some(found))) => Some(found),
            Err(error) => {
                tracing::warn!(release = %digest, %error, "cannot read compiled code from the cache");
                None
            }
            Ok(Some(None)) => {
                tracing::warn!(release = %digest, "compiled code in the cache is not what this processor wrote: deleted");
                self.shared.folder.remove(&name);
                None
            }
        }
    }

    /// Keeps the code of a release. A failure is logged: the next install compiles again.
    pub(crate) fn store(&self, digest: ReleaseDigest, contract: &ContractVersion, native: &Native) {
        let name = entry::name(digest, &self.compatibility);
        let Some(code) = native.compiled() else { return };
        let stored = entry::seal(&self.shared.key, digest, &self.compatibility, contract, code)
            .and_then(|entry| self.shared.folder.write(&name, &entry));
        match stored {
            Ok(()) => self.shared.folder.shrink(self.shared.max_bytes),
            Err(error) => {
                tracing::warn!(release = %digest, %error, "cannot keep compiled code in the cache");
            }
        }
    }
}
