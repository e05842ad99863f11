//! Which release each file of an activity is sent for, and files that no engine can be chosen for.

use std::time::Instant;

use filemill_api::LOCAL_PREFIX;

use super::conclude::Conclusion;
use super::pause::Pause;
use super::shared::Kind;
use super::state::Driver;
use super::target::{Target, To, resolve};
use crate::ending::NotSent;
use crate::engines::{EngineRelease, Wanted};
use crate::error::{Error, io_detail};
use crate::event::{AwaitedThing, Event};
use crate::look_into::look_into;
use crate::parameters::Parameters;
use crate::source::Found;
use crate::stat::FileStat;

/// Files that wait for an engine, at most: what is known of each takes some hundred bytes.
const UNASSIGNED_MAX: usize = 32 << 10;

impl Driver {
    /// What the file is to be sent for. One that was sent before goes to the same release. Where that is gone, and the activity does not
    /// only go on with what was begun, it goes to the one in use of the same engine, or, where the organisation uses none of that
    /// any more, to the engine for any such file. One that a processor brought is only away with it: it is waited for, unless
    /// another engine is named.
    pub(super) async fn target_of(&self, file: &mut Found) -> Result<Result<Target, Error>, Error> {
        // What is sent again keeps what was set.
        let parameters = match file.replaces {
            Some((upload, _)) => self.shared.inbox.journal.parameters_of(upload, &self.shared.parameters).await?,
            None => Some(self.shared.parameters.clone()),
        };
        let to = match self.engine_of(file).await? {
            Ok(to) => to,
            Err(error) => return Ok(Err(error)),
        };
        let Some(parameters) = parameters else {
            let engine = resolve(&self.recipe.engines, &to).map(|release| release.engine.clone()).unwrap_or_default();
            return Ok(Err(Error::ParametersLost { engine }));
        };
        Ok(self.fits(&to, &parameters).await?.map(|()| Target { to, parameters }))
    }

    /// Whether what stands for `to` now takes the parameters.
    pub(super) async fn fits(&self, to: &To, parameters: &Parameters) -> Result<Result<(), Error>, Error> {
        let engines = &self.recipe.engines;
        let Some(release) = resolve(engines, to) else {
            return Ok(Ok(()));
        };
        match self.recipes.check(release, parameters, engines).await {
            Ok(()) => Ok(Ok(())),
            Err(
                error @ (Error::Parameters { .. } | Error::ParametersUnknown { .. } | Error::LongParameters { .. }),
            ) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    async fn engine_of(&self, file: &mut Found) -> Result<Result<To, Error>, Error> {
        let engines = &self.recipe.engines;
        let former = match file.replaces {
            Some((upload, _)) => self.shared.inbox.journal.made_for(upload).await?,
            None => None,
        };
        if let Some(EngineRelease { engine, version, release }) = former {
            if engines.offered(&release).is_some() {
                return Ok(Ok(To::Release(release)));
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
                return Ok(Ok(To::Engine(engine)));
            }
        }
        look_into(engines, std::slice::from_mut(file)).await?;
        Ok(engines.for_file(file).map(|release| To::Engine(release.engine.clone())))
    }

    /// As [`Self::target_of`]; where none is found, what there is now is asked for if that was long ago.
    pub(super) async fn assign(&mut self, file: &mut Found) -> Result<Result<Target, Error>, Error> {
        let target = self.target_of(file).await?;
        if target.is_ok() || !self.recipe.is_stale() {
            return Ok(target);
        }
        match self.refresh().await {
            Ok(()) => self.target_of(file).await,
            Err(error) if error.is_of_the_recipient() => Ok(target),
            Err(error) => Err(error),
        }
    }

    /// Whether the file is to be looked up in the journal before it is sent for an engine that was chosen only now: it may have
    /// been sent for that before. Not one that is known to have to be sent again.
    pub(super) fn is_looked_up_first(&self, file: &Found) -> bool {
        self.kind != Kind::Resume && !self.shared.again && file.replaces.is_none()
    }

    /// No engine can be chosen for the file now. Where it is only to be described, or a watcher runs, the file is kept until one
    /// can; else it is said why not, and the file is given up unless its engine is only away.
    pub(super) async fn no_engine(&mut self, file: Found, error: &Error) -> Result<(), Error> {
        if self.waits_for_engine(error) {
            return self.wait_for_engine(file, error).await;
        }
        let code = match error {
            Error::EngineAway { .. } => NotSent::EngineAway,
            Error::ReleaseGone { .. } => NotSent::ReleaseGone,
            Error::Parameters { .. }
            | Error::ParametersUnknown { .. }
            | Error::ParametersLost { .. }
            | Error::LongParameters { .. } => NotSent::Parameters,
            _ => NotSent::NoEngine,
        };
        // What may come yet is waited for, by whoever goes on.
        let may_come =
            matches!(error, Error::EngineAway { .. } | Error::ParametersUnknown { .. } | Error::LongParameters { .. });
        if let Some((upload, index)) = file.replaces
            && !may_come
        {
            self.shared.inbox.journal.fail_file(upload, index, error.to_string()).await?;
        }
        self.shared.conclude(Conclusion::because_of(&file, code, error)).await
    }

    /// Whether a file waits for an engine, of which this is said, for as long as the activity goes on.
    fn waits_for_engine(&self, error: &Error) -> bool {
        match error {
            // The server does not say so any more once nobody can describe it.
            Error::Undescribed { .. } => true,
            // They do not come back.
            Error::ParametersLost { .. } => false,
            _ => self.kind == Kind::Watch,
        }
    }

    async fn wait_for_engine(&mut self, mut file: Found, error: &Error) -> Result<(), Error> {
        let path = self.shared.named(&file.path);
        let reason = match error {
            Error::Undescribed { .. } => AwaitedThing::Descriptions { error: error.clone() },
            _ => AwaitedThing::Engine { error: error.clone() },
        };
        // It may wait for long, and is looked into again then.
        file.content = None;
        let is_new = !self.unassigned.contains_key(&file.path);
        // Where nothing can be sent at all, no more files are taken; and few have to be sent again.
        let may_be_left = matches!(error, Error::NoEngineFits | Error::Undescribed { .. }) && file.replaces.is_none();
        if self.unassigned.len() >= UNASSIGNED_MAX && is_new && may_be_left && self.is_handed_on(&file).await? {
            // It is found again where it is when there are other engines.
            self.shared.taken.leave(&file.path);
            self.shared.forget_file(file.stat.size);
            self.shared.events.tell(Event::Waiting { path, reason }).await;
            return Ok(());
        }
        if self.look_again.is_none() {
            self.look_pause = self.pause();
            self.look_again = Some(Instant::now() + self.look_pause.next());
        }
        if let Some(former) = self.unassigned.insert(file.path.clone(), file) {
            // A newer version of one that waits already.
            self.shared.forget_file(former.stat.size);
            return Ok(());
        }
        if matches!(error, Error::NoEngineFits | Error::EngineAway { .. } | Error::Undescribed { .. }) {
            self.shared.events.tell(Event::Waiting { path, reason }).await;
            return Ok(());
        }
        // The same for all files.
        self.tell_why_nothing_is_sent(error).await;
        Ok(())
    }

    /// Says it once, until something can be sent again.
    pub(super) async fn tell_why_nothing_is_sent(&mut self, error: &Error) {
        if let Some(event) = self.told.event(error) {
            self.shared.events.tell(event).await;
        }
    }

    /// Descriptions come within seconds of a processor, engines when somebody brings one.
    fn pause(&self) -> Pause {
        match self.recipe.engines.undescribed().is_empty() {
            true => Pause::default(),
            false => Pause::for_descriptions(),
        }
    }

    /// Whether another file may be taken that perhaps has to wait for an engine. Where some engine takes files, those that none
    /// takes do not keep a watcher's others waiting: it finds them again.
    pub(super) fn has_room_unassigned(&self) -> bool {
        self.unassigned.len() < UNASSIGNED_MAX || self.kind == Kind::Watch && self.recipe.engines.check().is_ok()
    }

    /// Looks, if it is time, whether there is an engine now for files that had none.
    pub(super) async fn assign_again(&mut self) -> Result<(), Error> {
        if self.look_again.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        if !self.engines_changed {
            self.recipe.outdated = true;
            match self.refresh().await {
                Ok(()) => {}
                Err(error) if error.is_of_the_recipient() => {
                    self.look_again = Some(Instant::now() + self.look_pause.next());
                    self.tell_why_nothing_is_sent(&error).await;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        // Before anything is packed, which may find other engines once more.
        if !std::mem::take(&mut self.engines_changed) {
            self.look_again = Some(Instant::now() + self.look_pause.next());
            return Ok(());
        }
        self.look_pause = self.pause();
        self.look_again = Some(Instant::now() + self.look_pause.next());
        let mut assigned = Vec::new();
        for (path, mut file) in std::mem::take(&mut self.unassigned) {
            match self.target_of(&mut file).await? {
                Ok(_) => assigned.push(file),
                Err(error) if self.waits_for_engine(&error) => {
                    self.unassigned.insert(path, file);
                }
                // Everything is described by now, and none of it takes such a file.
                Err(error) => self.no_engine(file, &error).await?,
            }
        }
        let assigned = tokio::task::spawn_blocking(move || assigned.into_iter().map(with_stat).collect::<Vec<_>>());
        for (file, now) in assigned.await.map_err(|_| Error::Stopped)? {
            match now {
                // The watcher hands it on as it is now.
                Ok(now) if now != file.stat && self.is_handed_on(&file).await? => {
                    self.shared.forget_file(file.stat.size);
                }
                Ok(_) if self.is_looked_up_first(&file) => self.given_back.push(file),
                Ok(_) => self.pack(file).await?,
                Err(message) => {
                    if let Some((upload, index)) = file.replaces {
                        self.shared.inbox.journal.fail_file(upload, index, message.clone()).await?;
                    }
                    self.shared.conclude(Conclusion::of_found(&file, NotSent::Vanished, message)).await?;
                }
            }
        }
        if self.unassigned.is_empty() {
            self.look_again = None;
        }
        Ok(())
    }
}

/// The file, and how it looks now; or why nobody can tell.
fn with_stat(file: Found) -> (Found, Result<FileStat, String>) {
    let now = file.look().map(|seen| seen.stat).map_err(|error| io_detail(&error));
    (file, now)
}
