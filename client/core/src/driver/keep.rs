//! Keeping results as files, and what follows when they cannot be: a full disk, a folder that may not be written to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use filemill_seal::Artifact;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::unkept::ToKeep;
use crate::error::Error;
use crate::event::{Event, Recovery, Trouble};
use crate::export::{Export, Exported};
use crate::inbox::Reopened;
use crate::source::path_from_bytes;

/// Results that wait to be kept, at most: no others are taken in while there are more.
const WAITING_MAX: usize = 16 << 10;
/// When to try again, at first and later.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(30);
/// Results in a row that cannot be kept before the others are left for the next time.
const FAILURES_MAX: usize = 4;

impl Shared {
    /// Keeps a sealed result and what lies in it, and says where that is. If that cannot be done now, it is told once, and done
    /// later.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub(super) async fn keep(
        &self,
        export: &Export,
        result: ToKeep,
        sealed: Vec<u8>,
        artifacts: Arc<[Artifact]>,
    ) -> Result<Vec<PathBuf>, Error> {
        let (paths, error) = match self.keep_now(export, &result, sealed, artifacts).await {
            Ok(Exported { artifacts, trouble: Some(error), is_passing: true }) => (artifacts, error),
            Ok(Exported { artifacts, trouble, .. }) => {
                if let Some(error) = trouble {
                    self.tell_blocked(error).await;
                }
                return Ok(artifacts);
            }
            Err(error @ Error::File { .. }) => (Vec::new(), error),
            Err(error) => return Err(error),
        };
        self.put_off(export, result, error).await?;
        Ok(paths)
    }

    /// An engine chooses what its artifacts are called, and anybody may put something in the way: that must not end the activity before
    /// everything else is kept.
    async fn tell_blocked(&self, error: Error) {
        self.unkept.lock().is_any_blocked = true;
        self.events.tell(Event::Trouble(Trouble::InTheWay { error })).await;
    }

    async fn keep_now(
        &self,
        export: &Export,
        result: &ToKeep,
        sealed: Vec<u8>,
        artifacts: Arc<[Artifact]>,
    ) -> Result<Exported, Error> {
        let (name, sealed) = (path_from_bytes(result.name.clone()), Arc::new(sealed));
        let formers = match (result.place, &result.path) {
            (Some(place), Some(path)) => self.inbox.journal.formers(place, path).await?,
            _ => Vec::new(),
        };
        // One after the other: each may be as long as a result can be.
        for place in formers {
            let Some(Reopened { sealed: Some(former), artifacts: of_former, .. }) =
                self.inbox.reopen(&[place]).await?.remove(&place)
            else {
                continue;
            };
            let (export, name, sealed, artifacts) =
                (export.clone(), name.clone(), Arc::clone(&sealed), Arc::clone(&artifacts));
            let kept = tokio::task::spawn_blocking(move || {
                export.keep_in_place_of((&former, &of_former), &name, &sealed, &artifacts)
            });
            if let Some(kept) = kept.await.map_err(|_| Error::Stopped)?? {
                return Ok(kept);
            }
        }
        let export = export.clone();
        let kept = tokio::task::spawn_blocking(move || export.keep(&name, &sealed, &artifacts));
        kept.await.map_err(|_| Error::Stopped)?
    }

    /// Remembers a result that could not be kept.
    async fn put_off(&self, export: &Export, result: ToKeep, error: Error) -> Result<(), Error> {
        let is_news = loop {
            {
                // Together: whoever finds nothing waiting says that all are kept.
                let mut unkept = self.unkept.lock();
                if unkept.waiting.len() < WAITING_MAX {
                    unkept.waiting.push_back(result);
                    unkept.count += 1;
                    break !std::mem::replace(&mut unkept.told, true);
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(Error::Stopped),
                () = tokio::time::sleep(TRY_AGAIN) => self.keep_waiting(export).await?,
            }
        };
        if is_news {
            let trouble = Trouble::ResultsNotKept { folder: export.folder().to_owned(), error };
            self.events.tell(Event::Trouble(trouble)).await;
        }
        Ok(())
    }

    /// Keeps what waits, as far as that can be done now.
    pub(super) async fn keep_waiting(&self, export: &Export) -> Result<(), Error> {
        let _trying = self.unkept.trying.lock().await;
        let mut failures = 0;
        let rounds = self.unkept.lock().waiting.len();
        for _ in 0..rounds {
            let Some(result) = self.unkept.lock().waiting.pop_front() else { break };
            let is_kept = self.keep_again(export, &result).await;
            if matches!(is_kept, Ok(true)) {
                continue;
            }
            self.unkept.lock().waiting.push_back(result);
            is_kept?;
            failures += 1;
            if failures == FAILURES_MAX {
                return Ok(());
            }
        }
        let done = {
            let mut unkept = self.unkept.lock();
            let is_done = unkept.told && unkept.waiting.is_empty();
            is_done.then(|| {
                unkept.told = false;
                std::mem::take(&mut unkept.count)
            })
        };
        if let Some(count) = done {
            let recovery = Recovery::ResultsKept { folder: export.folder().to_owned(), count };
            self.events.tell(Event::Recovered(recovery)).await;
        }
        Ok(())
    }

    /// Whether a result that waited need not wait any more.
    async fn keep_again(&self, export: &Export, result: &ToKeep) -> Result<bool, Error> {
        let Some(place) = result.place else { return Ok(true) };
        // The journal has it, or nobody does.
        let Some(Reopened { sealed: Some(sealed), artifacts, .. }) = self.inbox.reopen(&[place]).await?.remove(&place)
        else {
            return Ok(true);
        };
        match self.keep_now(export, result, sealed, artifacts).await {
            Ok(Exported { trouble: Some(error), is_passing, .. }) => {
                if !is_passing {
                    self.tell_blocked(error).await;
                }
                Ok(!is_passing)
            }
            Ok(_) => Ok(true),
            Err(Error::File { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Keeps results that could not be kept, now and then, until `stop`.
pub(super) async fn keep_later(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), Error> {
    let Some(export) = shared.export.clone() else { return Ok(()) };
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
        shared.keep_waiting(&export).await?;
        pause = (pause * 2).min(TRY_AGAIN_MAX);
    }
}
