//! What programs of one home hold while others must not be at the same thing.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::waiting::Waiting;
use super::{Home, open_regular};
use crate::error::Error;

/// For how long a lock is waited for without a word: whoever holds one does so for a moment.
const SAY_AFTER: Duration = Duration::from_secs(1);
/// How soon a request to stop is noticed.
const STOP_CHECK: Duration = Duration::from_millis(50);

impl Home {
    /// The same home. Whoever uses it waits for another program that holds a lock of it, such as one that is frozen while it starts,
    /// only until `stop` is cancelled; and once that takes a second, `tell` is called, once, with the home's path.
    #[must_use]
    pub fn waiting(self, stop: CancellationToken, tell: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        Self { waiting: Some(Waiting { stop, tell: Arc::new(tell), told: Arc::default() }), ..self }
    }

    /// Waits until nobody is to wait any more; for ever if nobody said when that is.
    pub(crate) async fn stopped(&self) {
        match &self.waiting {
            Some(waiting) => waiting.stop.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until no other program holds the lock of this name, and holds it until the file is dropped. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if it is not to be waited for any more, [`Error::File`] if it cannot be locked.
    pub(crate) fn lock(&self, name: &str) -> Result<File, Error> {
        let path = self.path().join(name);
        let failed = |error: std::io::Error| Error::file("lock", &path, &error);
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = open_regular(&mut options, &path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => self.wait_for(file, &path),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn wait_for(&self, file: File, path: &Path) -> Result<File, Error> {
        let failed = |error: std::io::Error| Error::file("lock", path, &error);
        // Nothing but the end of the process ends such a call. Whoever tried again and again instead would hardly ever be the one that
        // comes first.
        let (done, locked) = mpsc::channel();
        let thread = std::thread::Builder::new().name("home-lock".to_owned());
        thread
            .spawn(move || {
                let result = file.lock().map(|()| file);
                // If nobody waits any more, it is let go of.
                let _ = done.send(result);
            })
            .map_err(failed)?;
        let begun = Instant::now();
        loop {
            match locked.recv_timeout(STOP_CHECK) {
                Ok(result) => return result.map_err(failed),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Stopped),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let Some(waiting) = &self.waiting else { continue };
            if waiting.stop.is_cancelled() {
                return Err(Error::Stopped);
            }
            if begun.elapsed() >= SAY_AFTER && !waiting.told.swap(true, Ordering::Relaxed) {
                (waiting.tell)(self.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_lock_is_as_private_as_what_lies_beside_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let lock = Home::at(folder.path()).unwrap().lock("key.lock").unwrap();
        assert_eq!(lock.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn whoever_waits_for_another_program_says_so_once_and_ends_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let held = ["config.lock", "journal.lock"].map(|name| home.lock(name).unwrap());
        let (stop, said) = (CancellationToken::new(), Arc::<Mutex<Vec<std::path::PathBuf>>>::default());
        let waiting = home.clone().waiting(stop.clone(), {
            let (stop, said) = (stop.clone(), Arc::clone(&said));
            move |path| {
                said.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
                stop.cancel();
            }
        });
        for name in ["config.lock", "journal.lock"] {
            assert!(matches!(waiting.lock(name), Err(Error::Stopped)), "{name}");
        }
        assert_eq!(*said.lock().unwrap(), [home.path()]);
        // Nobody holds it who went away while it waited.
        drop(held);
        home.lock("config.lock").unwrap();
    }
}
