//! The pool's identities, as its folder has them.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use filemill_seal::Identity;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until, timeout};

use super::error::PoolFolderError;
use super::folder::{PoolFolder, Renewal};

/// However many headers do not open, the folder is read no more often than this for their sake.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a disk may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens headers; knows where there may be newer identities.
pub(crate) struct Keys {
    dir: PathBuf,
    identities: RwLock<Arc<[Identity]>>,
    /// When it was last begun to read the folder. Held meanwhile, so that what is older never replaces what is newer.
    looked: Mutex<Instant>,
    newer: Notify,
}

impl Keys {
    pub(crate) fn new(folder: &PoolFolder) -> Self {
        Self {
            dir: folder.dir().to_owned(),
            identities: RwLock::new(folder.identities().into()),
            looked: Mutex::new(Instant::now()),
            newer: Notify::new(),
        }
    }

    /// The identities that were last read, the newest last.
    pub(crate) fn identities(&self) -> Arc<[Identity]> {
        Arc::clone(&self.identities.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the folder, and renews its statement where that is due and `may_sign`: this machine knows what time it is. Cancel safe;
    /// the disk may go on.
    ///
    /// # Errors
    ///
    /// A text and a hint.
    pub(crate) async fn look(&self, may_sign: bool) -> Result<PoolFolder, (String, String)> {
        let mut looked = self.looked.lock().await;
        *looked = Instant::now();
        self.read(may_sign).await
    }

    /// Signs a statement with a serial above this one, if the root is here. Cancel safe; the disk may go on.
    ///
    /// # Errors
    ///
    /// A text and a hint.
    pub(crate) async fn renew_above(&self, serial: u64) -> Result<(), (String, String)> {
        let mut looked = self.looked.lock().await;
        *looked = Instant::now();
        let dir = self.dir.clone();
        let renewing = tokio::task::spawn_blocking(move || {
            let told = |error: PoolFolderError| (error.to_string(), error.hint());
            let mut folder = PoolFolder::open(&dir).map_err(told)?;
            // Another processor that shares the folder may have been first.
            if folder.serial() <= serial {
                folder.renew_above(serial, Renewal::SameIdentity, None).map_err(told)?;
            }
            Ok(())
        });
        renewing.await.unwrap_or_else(|error| Err((error.to_string(), String::new())))
    }

    /// Reads the folder for a header that no identity opens: `pool renew --rotate` may have made one just now. Says whether
    /// it was read since this was called; many callers share one look.
    pub(crate) async fn look_again(&self) -> bool {
        let asked = Instant::now();
        let looking = async {
            let mut looked = self.looked.lock().await;
            if *looked >= asked {
                return true;
            }
            sleep_until(*looked + PAUSE).await;
            *looked = Instant::now();
            // Nothing is signed on behalf of somebody's header.
            self.read(false).await.is_ok()
        };
        let read = timeout(PATIENCE, looking).await.unwrap_or(false);
        if read {
            self.newer.notify_one();
        }
        read
    }

    /// Waits until the folder was read on behalf of a header: there may be a newer statement. Cancel safe.
    pub(crate) async fn newer(&self) {
        self.newer.notified().await;
    }

    async fn read(&self, may_sign: bool) -> Result<PoolFolder, (String, String)> {
        let dir = self.dir.clone();
        // Locks and file writes; small, but a disk may hang.
        let looked = tokio::task::spawn_blocking(move || {
            let told = |error: PoolFolderError| (error.to_string(), error.hint());
            let mut folder = PoolFolder::open(&dir).map_err(told)?;
            if may_sign && folder.renew_if_due().map_err(told)? {
                let pool = folder.enrolment().pool();
                tracing::info!(pool, serial = folder.serial(), "the pool's recipient was renewed");
            }
            Ok(folder)
        });
        let folder = looked.await.unwrap_or_else(|error| Err((error.to_string(), String::new())))?;
        *self.identities.write().unwrap_or_else(PoisonError::into_inner) = folder.identities().into();
        Ok(folder)
    }
}
