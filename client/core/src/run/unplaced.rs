//! Which release each file of a run is sent for, and files that no engine can be chosen for.

use std::sync::Arc;
use std::time::Instant;

use filemill_api::LOCAL_PREFIX;

use super::conclude::Conclusion;
use super::uploads::HELD_FOR;
use super::{Kind, Run, Target};
use crate::engines::{EngineRelease, Engines, Wanted};
use crate::error::{Error, io_detail};
use crate::notice::Notice;
use crate::source::Found;

/// Files that wait for an engine, at most: what is known of each takes some hundred bytes.
const UNPLACED_MAX: usize = 32 << 10;

/// The release that stands for `target` now, if there is one.
pub(super) fn resolve<'a>(engines: &'a Engines, target: &Target) -> Option<&'a Arc<EngineRelease>> {
    match target {
        Target::Engine(name) => engines.named(name),
        Target::Release(digest) => engines.offered(digest),
    }
}

impl Run {
    /// What the file is to be sent for. One that was sent before goes to the same release. Where that is gone, and the run does not
    /// only go on with what was begun, it goes to the one in use of the same engine, or, where the organisation uses none of that
    /// any more, to the engine for any such file. One that a processor brought is only away with it: it is waited for, unless
    /// another engine is named.
    pub(super) async fn target_of(&self, file: &Found) -> Result<Result<Target, Error>, Error> {
        let engines = &self.recipe.engines;
        let former = match file.replaces {
            Some((upload, _)) => self.shared.inbox.journal.made_for(upload).await?,
            None => None,
        };
        if let Some(EngineRelease { engine, version, release }) = former {
            if engines.offered(&release).is_some() {
                return Ok(Ok(Target::Release(release)));
            }
            let is_in_use = engines.named(&engine).is_some();
            let is_named = matches!(self.recipe.wanted, Wanted::Named(_));
            if engine.starts_with(LOCAL_PREFIX) && (self.kind == Kind::Resume || !is_in_use && !is_named) {
                return Ok(Err(Error::EngineAway { engine, version }));
            }
            if self.kind == Kind::Resume {
                return Ok(Err(Error::ReleaseGone { engine, version }));
            }
            if is_in_use {
                return Ok(Ok(Target::Engine(engine)));
            }
        }
        Ok(engines.for_file(&file.path).map(|release| Target::Engine(release.engine.clone())))
    }

    /// As [`Self::target_of`]; where none is found, what there is now is asked for if that was long ago.
    pub(super) async fn place(&mut self, file: &Found) -> Result<Result<Target, Error>, Error> {
        let target = self.target_of(file).await?;
        if target.is_ok() || !self.recipe.is_stale() {
            return Ok(target);
        }
        match self.refresh().await {
            Ok(()) => self.target_of(file).await,
            Err(Error::Pool(_)) => Ok(target),
            Err(error) => Err(error),
        }
    }

    /// Whether the file is to be looked up in the journal before it is sent for an engine that was chosen only now: it may have
    /// been sent for that before. Not one that is known to have to be sent again. Only a watcher has somebody who looks it up
    /// as long as it runs.
    pub(super) fn is_looked_up_first(&self, file: &Found) -> bool {
        self.kind == Kind::Watch && !self.shared.again && file.replaces.is_none()
    }

    /// No engine can be chosen for the file now. A watcher keeps it until one can, others say why not, and give it up unless
    /// its engine is only away.
    pub(super) async fn no_engine(&mut self, file: Found, error: &Error) -> Result<(), Error> {
        if self.kind == Kind::Watch && (self.unplaced.len() < UNPLACED_MAX || !matches!(error, Error::NoEngineFits)) {
            return self.wait_for_engine(file, error).await;
        }
        let message = error.with_hint();
        let kind = match error {
            Error::EngineAway { .. } => "engine_away",
            Error::ReleaseGone { .. } => "release_gone",
            _ => "no_engine",
        };
        if let Some((upload, index)) = file.replaces
            && kind != "engine_away"
        {
            self.shared.inbox.journal.fail_file(upload, index, message.clone()).await?;
        }
        self.shared.conclude(Conclusion::of_found(&file, kind, message)).await
    }

    async fn wait_for_engine(&mut self, file: Found, error: &Error) -> Result<(), Error> {
        let path = self.shared.named(&file.path);
        self.look_again.get_or_insert_with(|| Instant::now() + HELD_FOR);
        if self.unplaced.insert(file.path.clone(), file).is_some() {
            // A newer version of one that waits already.
            self.shared.forget_file();
            return Ok(());
        }
        if matches!(error, Error::NoEngineFits | Error::EngineAway { .. }) {
            let reason = format!("{error}; it is sent when one does");
            return self.shared.notices.send(Notice::Waiting { path, reason }).await.map_err(|_| Error::Stopped);
        }
        // The same for all files.
        self.tell_why_nothing_is_sent(error).await
    }

    /// Says it once.
    pub(super) async fn tell_why_nothing_is_sent(&mut self, error: &Error) -> Result<(), Error> {
        let message = format!("nothing can be sent now: {error}; what is to be sent waits");
        if self.told.as_ref() == Some(&message) {
            return Ok(());
        }
        self.told = Some(message.clone());
        let trouble = Notice::Trouble { message, hint: error.hint() };
        self.shared.notices.send(trouble).await.map_err(|_| Error::Stopped)
    }

    /// Whether another file may be taken that perhaps has to wait for an engine. Where some engine takes files, those that none
    /// takes do not keep the others waiting.
    pub(super) fn has_room_unplaced(&self) -> bool {
        self.unplaced.len() < UNPLACED_MAX || self.recipe.engines.check().is_ok()
    }

    /// Looks, if it is time, whether there is an engine now for files that had none.
    pub(super) async fn place_again(&mut self) -> Result<(), Error> {
        if self.look_again.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        let due = Instant::now() + HELD_FOR;
        self.recipe.outdated = true;
        let refreshed = self.refresh().await;
        self.look_again = Some(due);
        match refreshed {
            Ok(()) => {}
            Err(error @ Error::Pool(_)) => return self.tell_why_nothing_is_sent(&error).await,
            Err(error) => return Err(error),
        }
        for (path, file) in std::mem::take(&mut self.unplaced) {
            if self.is_seen_by_watcher(&file) {
                // It is handed on as it is now.
                self.shared.forget_file();
                continue;
            }
            if let Err(error) = std::fs::symlink_metadata(&path) {
                let message = io_detail(&error);
                if let Some((upload, index)) = file.replaces {
                    self.shared.inbox.journal.fail_file(upload, index, message.clone()).await?;
                }
                self.shared.conclude(Conclusion::of_found(&file, "vanished", message)).await?;
                continue;
            }
            match self.target_of(&file).await? {
                Ok(_) => {
                    self.told = None;
                    if self.is_looked_up_first(&file) {
                        self.given_back.push(file);
                    } else {
                        self.pack(file).await?;
                    }
                }
                Err(_) => {
                    self.unplaced.insert(path, file);
                }
            }
        }
        if self.unplaced.is_empty() {
            self.look_again = None;
        }
        Ok(())
    }
}
