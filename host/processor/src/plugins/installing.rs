//! From a file in the folder to an engine that is ready, and to its component in the pool's storage.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{SignedPut, limits};
use filemill_seal::Digest;
use tokio::sync::Semaphore;

use super::file::{Plugin, Taken};
use super::folder::{EngineFolder, Found, NotTaken};
use crate::net::Storage;
use crate::releases::{NamedLimits, NoRelease, Releases};

/// The largest component that is taken, in bytes.
const COMPONENT_MAX_BYTES: usize = limits::MAX_COMPONENT_BYTES as usize;
/// Components that are in memory at once to be hashed, and to be stored.
const AT_ONCE: usize = 2;

/// Where files are read from. Cheap to clone.
#[derive(Clone)]
pub(super) struct Source {
    dir: PathBuf,
    storage: Arc<Storage>,
    releases: Arc<Releases>,
    limits: Arc<NamedLimits>,
    hashing: Arc<Semaphore>,
    storing: Arc<Semaphore>,
}

impl Source {
    pub(super) fn new(dir: PathBuf, storage: Arc<Storage>, releases: Arc<Releases>, limits: Arc<NamedLimits>) -> Self {
        let [hashing, storing] = [(); 2].map(|()| Arc::new(Semaphore::new(AT_ONCE)));
        Self { dir, storage, releases, limits, hashing, storing }
    }

    /// Makes the engine in a file ready. Dropping it calls off what it does.
    ///
    /// Where the engine was compiled before, the file is read once. Otherwise it is read again when it may be compiled, and
    /// those bytes are hashed again: what waits for its turn takes no memory.
    pub(super) async fn take(&self, found: Found) -> Taken {
        let place = self.hashing.acquire().await;
        let hashed = self.read(&found, |component| (Digest::of(&component), component.len() as u64)).await;
        drop(place);
        let (digest, length) = match hashed {
            Ok(hashed) => hashed,
            Err(NotTaken::Changing) => return Taken::Changing,
            Err(NotTaken::NotNow(why)) => return Taken::NotNow { why, after: Duration::ZERO },
            Err(NotTaken::Refused(why)) => return Taken::Bad(why),
        };
        self.limits.name(digest, &found.name);
        match self.releases.bring(digest, || self.component(&found, digest)).await {
            Ok(ready) => Taken::Ready(Plugin {
                digest,
                length,
                contract: numbers(ready.release.built_for()),
                description: ready.described.document.clone(),
                version: ready.described.version.clone(),
                stored: false,
            }),
            Err(NoRelease::Unfit(why) | NoRelease::Refused(why)) => Taken::Bad(why),
            Err(NoRelease::NotNow { why, after, .. } | NoRelease::Suspect { why, after }) => {
                Taken::NotNow { why, after }
            }
            Err(NoRelease::Fault(why) | NoRelease::Away(why) | NoRelease::Damaged(why)) => {
                Taken::NotNow { why, after: Duration::ZERO }
            }
        }
    }

    /// Stores the component of a file for the pool. Read again rather than kept: what is stored has to be what was offered.
    ///
    /// # Errors
    ///
    /// A text that says why it is not stored.
    pub(super) async fn store(&self, found: Found, digest: Digest, put: &SignedPut) -> Result<(), String> {
        let _place = self.storing.acquire().await;
        let component = self.component(&found, digest).await.map_err(NoRelease::why)?;
        self.storage.put(put, component.into()).await.map_err(|error| error.to_string())
    }

    /// The bytes of a file that were found to have that digest.
    async fn component(&self, found: &Found, digest: Digest) -> Result<Vec<u8>, NoRelease> {
        let changed = || NoRelease::Fault("it changed meanwhile".to_owned());
        match self.read(found, move |component| (Digest::of(&component) == digest).then_some(component)).await {
            Ok(component) => component.ok_or_else(changed),
            Err(NotTaken::Changing) => Err(changed()),
            Err(NotTaken::NotNow(why)) => Err(NoRelease::Fault(why)),
            Err(NotTaken::Refused(why)) => Err(NoRelease::Refused(why)),
        }
    }

    /// What `make` makes of a file's bytes, on a thread that may take long.
    async fn read<T: Send + 'static>(
        &self,
        found: &Found,
        make: impl FnOnce(Vec<u8>) -> T + Send + 'static,
    ) -> Result<T, NotTaken> {
        let (dir, found) = (self.dir.clone(), found.clone());
        let read = tokio::task::spawn_blocking(move || {
            let folder = EngineFolder::open(&dir).map_err(|error| NotTaken::NotNow(error.to_string()))?;
            folder.read(&found, COMPONENT_MAX_BYTES).map(make)
        });
        read.await.unwrap_or_else(|error| Err(NotTaken::NotNow(error.to_string())))
    }
}

/// A version of the engine contract, as it is offered.
fn numbers((major, minor): (u64, u64)) -> (u32, u32) {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (number(major), number(minor))
}
