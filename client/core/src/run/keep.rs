//! Keeping results as files, and what follows when they cannot be: a full disk, a folder that may not be written to.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filemill_seal::{Artifact, UploadId};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::error::Error;
use crate::inbox::Reopened;
use crate::notice::Notice;
use crate::out::{Kept, Out};
use crate::source::path_from_bytes;

/// Results that wait to be kept, at most: no others are taken in while there are more.
const WAITING_MAX: usize = 16 << 10;
/// When to try again, at first and later.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(30);
/// Results in a row that cannot be kept before the others are left for the next time.
const FAILURES_MAX: usize = 4;

/// A result that is to be kept.
#[derive(Clone, Debug)]
pub(super) struct ToKeep {
    /// The file's name in the header.
    pub(super) name: Vec<u8>,
    pub(super) place: Option<(UploadId, u32)>,
    /// Of a file that has grown: where it is. Its former results are replaced.
    pub(super) path: Option<PathBuf>,
}

/// Results that could not be kept. The journal has them: only where they are is remembered.
#[derive(Default)]
pub(crate) struct Unkept {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<ToKeep>,
    /// Whether it was said that some wait, and how many there were since.
    told: bool,
    count: u64,
}

impl Unkept {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some wait.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }
}

impl Shared {
    /// Keeps a sealed result and what lies in it, and says where that is. If that cannot be done now, it is told once, and done
    /// later.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if nobody listens any more; errors of the journal.
    pub(super) async fn keep(
        &self,
        out: &Out,
        result: ToKeep,
        sealed: Vec<u8>,
        artifacts: Arc<[Artifact]>,
    ) -> Result<Vec<PathBuf>, Error> {
        let (paths, error) = match self.keep_now(out, &result, sealed, artifacts).await {
            Ok(Kept { artifacts, trouble: Some(error), is_passing: true }) => (artifacts, error),
            Ok(Kept { artifacts, trouble, .. }) => {
                if let Some(error) = trouble {
                    // An engine chooses what its artifacts are called: that must not end the run.
                    let trouble = Notice::Trouble { message: error.to_string(), hint: error.hint() };
                    self.notices.send(trouble).await.map_err(|_| Error::Stopped)?;
                }
                return Ok(artifacts);
            }
            Err(error @ Error::File { .. }) => (Vec::new(), error),
            Err(error) => return Err(error),
        };
        self.put_off(out, result, &error).await?;
        Ok(paths)
    }

    async fn keep_now(
        &self,
        out: &Out,
        result: &ToKeep,
        sealed: Vec<u8>,
        artifacts: Arc<[Artifact]>,
    ) -> Result<Kept, Error> {
        let formers = match (result.place, &result.path) {
            (Some(place), Some(path)) => self.inbox.journal.formers(place, path).await?,
            _ => Vec::new(),
        };
        let mut opened = self.inbox.reopen(&formers).await?;
        let formers: Vec<(Vec<u8>, Arc<[Artifact]>)> = formers
            .iter()
            .filter_map(|place| opened.remove(place))
            .filter_map(|former: Reopened| Some((former.sealed?, former.artifacts)))
            .collect();
        let (out, name) = (out.clone(), path_from_bytes(result.name.clone()));
        let kept = tokio::task::spawn_blocking(move || out.keep_newest(&name, &sealed, &artifacts, &formers));
        kept.await.map_err(|_| Error::Stopped)?
    }

    /// Remembers a result that could not be kept.
    async fn put_off(&self, out: &Out, result: ToKeep, error: &Error) -> Result<(), Error> {
        let is_news = {
            let mut unkept = self.unkept.lock();
            unkept.count += 1;
            !std::mem::replace(&mut unkept.told, true)
        };
        if is_news {
            let folder = filemill_text::shown_path(out.folder());
            let message = format!("results cannot be kept in `{folder}` now, and follow when they can: {error}");
            let hint = Some("free some space there, or let it be written to; nothing is lost".to_owned());
            self.notices.send(Notice::Trouble { message, hint }).await.map_err(|_| Error::Stopped)?;
        }
        while self.unkept.lock().waiting.len() >= WAITING_MAX {
            tokio::select! {
                () = self.stop.cancelled() => return Err(Error::Stopped),
                () = tokio::time::sleep(TRY_AGAIN) => self.keep_waiting(out).await?,
            }
        }
        self.unkept.lock().waiting.push_back(result);
        Ok(())
    }

    /// Keeps what waits, as far as that can be done now.
    pub(super) async fn keep_waiting(&self, out: &Out) -> Result<(), Error> {
        let mut failures = 0;
        let rounds = self.unkept.lock().waiting.len();
        for _ in 0..rounds {
            let Some(result) = self.unkept.lock().waiting.pop_front() else { break };
            let Some(place) = result.place else { continue };
            // The journal has it, or nobody does.
            let Some(Reopened { sealed: Some(sealed), artifacts, .. }) =
                self.inbox.reopen(&[place]).await?.remove(&place)
            else {
                continue;
            };
            let is_kept = match self.keep_now(out, &result, sealed, artifacts).await {
                Ok(Kept { trouble, is_passing, .. }) => trouble.is_none() || !is_passing,
                Err(Error::File { .. }) => false,
                Err(error) => return Err(error),
            };
            if !is_kept {
                failures += 1;
                self.unkept.lock().waiting.push_back(result);
                if failures == FAILURES_MAX {
                    return Ok(());
                }
            }
        }
        let done = {
            let mut unkept = self.unkept.lock();
            let is_done = unkept.told && unkept.waiting.is_empty();
            is_done.then(|| std::mem::take(&mut *unkept).count)
        };
        if let Some(count) = done {
            let folder = filemill_text::shown_path(out.folder());
            let results = if count == 1 { "one result that waited is" } else { "all results that waited are" };
            let message = format!("results are kept in `{folder}` again: {results} there");
            self.notices.send(Notice::Recovered { message }).await.map_err(|_| Error::Stopped)?;
        }
        Ok(())
    }
}

/// Keeps results that could not be kept, now and then, until `stop`.
pub(super) async fn keep_later(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), Error> {
    let Some(out) = shared.out.clone() else { return Ok(()) };
    let mut pause = TRY_AGAIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        if shared.unkept.is_empty() {
            pause = TRY_AGAIN;
            continue;
        }
        shared.keep_waiting(&out).await?;
        pause = (pause * 2).min(TRY_AGAIN_MAX);
    }
}
