//! Uploads of an activity: begun, gone on with, ended; and files that have to be sent again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_seal::{Outcome, UploadId, VoidReason};

use super::conclude::Conclusion;
use super::select::Selected;
use super::shared::{HELD_FOR, Kind};
use super::state::{Active, Driver, Later, WEIGHT_MAX, weight};
use super::target::{Target, resolve};
use crate::api::Patience;
use crate::ending::{Ending, NotSent};
use crate::engines::EngineRelease;
use crate::error::{Error, io_detail};
use crate::event::{Event, Note};
use crate::inbox::Reopened;
use crate::journal::FilePlace;
use crate::pack;
use crate::parameters::Parameters;
use crate::pipeline::{self, Judged, Transfer, TransferEnd, Transferred, Voided};
use crate::reason::{AgainReason, SkipReason};
use crate::source::Found;
use crate::stat::{FileKind, Seen};
use crate::tree::link_met;
use crate::wall_clock::now_s;
use crate::why_nothing::WhyNothing;

/// Times that a file which keeps changing is sent, before it counts as failed.
const ATTEMPTS_MAX: u32 = 5;
/// A file that changed is left alone for this long, and for twice as long the next time.
const SETTLE: Duration = Duration::from_millis(200);
/// Times that an upload of which the server has less than it was told is gone on with.
const RESUMES_MAX: u32 = 3;
/// How often to look whether another program still works on an upload that this one waits for.
const LOOK_AFTER_OTHERS: Duration = Duration::from_secs(5);
/// How often it is asked whether a processor is there that reads what may be sealed.
const FORMAT_ASKED_EVERY: Duration = Duration::from_secs(2);
/// An upload that has less time left is given up, and its files are sent again.
const TIME_LEFT_MIN_S: u64 = 3600;

/// Why a file is sent again.
struct Cause {
    reason: AgainReason,
    /// It was sent in vain: after the last attempt it is given up, for this. Not where a rule leaves out a file of the same upload: that
    /// may be as often as somebody writes rules.
    in_vain: Option<NotSent>,
}

impl Cause {
    fn abandoned(reason: AgainReason) -> Self {
        Self { reason, in_vain: Some(NotSent::Abandoned) }
    }
}

impl Driver {
    /// Makes an upload of `files` for `target`, and starts it.
    pub(super) async fn begin(&mut self, target: Target, files: Vec<Found>) -> Result<(), Error> {
        if self.held_until.is_some() {
            self.held.push((target, files));
            return Ok(());
        }
        if self.shared.is_watching() {
            self.judge(target, files);
            return Ok(());
        }
        self.begin_judged(target, files, Instant::now()).await
    }

    /// The same, when the rules have been asked, as they were read then.
    pub(super) async fn begin_judged(
        &mut self,
        target: Target,
        files: Vec<Found>,
        judged_at: Instant,
    ) -> Result<(), Error> {
        match self.refresh().await {
            Ok(()) => {}
            Err(error) if error.is_of_the_recipient() => return self.hold(target, files, &error).await,
            Err(error) => return Err(error),
        }
        if let Err(error) = self.recipe.format.clone() {
            return self.hold(target, files, &error).await;
        }
        let engines = Arc::clone(&self.recipe.engines);
        if let Some(release) = resolve(&engines, &target.to)
            && self.fits(&target.to, &target.parameters).await?.is_ok()
        {
            return self.begin_for(release, target.parameters, files, judged_at).await;
        }
        // It is gone meanwhile, or takes other parameters now: whatever fits.
        let mut groups: HashMap<_, (_, _, Vec<_>)> = HashMap::new();
        for mut file in files {
            let target = self.target_of(&mut file).await?;
            let release = target.and_then(|target| {
                resolve(&engines, &target.to).map(|release| (release, target.parameters)).ok_or(Error::NoEngineFits)
            });
            match release {
                Ok(_) if self.is_looked_up_first(&file) => self.given_back.push(file),
                Ok((release, parameters)) => {
                    let group = groups.entry((release.release, parameters.digest()));
                    group.or_insert((release, parameters, Vec::new())).2.push(file);
                }
                Err(error) => self.no_engine(file, &error).await?,
            }
        }
        for (release, parameters, files) in groups.into_values() {
            self.begin_for(release, parameters, files, judged_at).await?;
        }
        Ok(())
    }

    async fn begin_for(
        &mut self,
        engine: &Arc<EngineRelease>,
        parameters: Parameters,
        files: Vec<Found>,
        judged_at: Instant,
    ) -> Result<(), Error> {
        let (pipeline, recipe, engine) = (Arc::clone(&self.shared.pipeline), self.recipe.clone(), Arc::clone(engine));
        let rules = Judged::at(&self.shared.rules, judged_at);
        let format = recipe.format.clone()?;
        self.recipes.tell_older_format(format).await;
        let begun = move || pipeline::begin(pipeline, &recipe, (&*engine, parameters), format, files, rules);
        let transfer = tokio::task::spawn_blocking(begun).await.map_err(|_| Error::Stopped)??;
        for index in (0..).take(transfer.files().len()) {
            self.shared.awaited.expect(transfer.id(), index);
        }
        self.start(transfer, 0);
        Ok(())
    }

    /// Makes sure that recipient and releases are those of now.
    pub(super) async fn refresh(&mut self) -> Result<(), Error> {
        if !self.recipe.is_stale() {
            return Ok(());
        }
        let mut recipe = tokio::select! {
            recipe = self.recipes.make(&self.recipe.wanted, false) => recipe?,
            () = self.shared.stop.cancelled() => return Err(Error::Stopped),
        };
        if let Some(engines) = Arc::get_mut(&mut recipe.engines) {
            engines.take_meanwhile_what(&self.recipe.engines);
        }
        if !recipe.engines.are_those(&self.recipe.engines) {
            self.shared.taken.find_again();
            if !self.unassigned.is_empty() {
                self.engines_changed = true;
                self.look_again = Some(Instant::now());
            }
        }
        if recipe.engines.undescribable() != self.recipe.engines.undescribable() {
            self.recipes.tell_undescribable(&recipe.engines).await;
        }
        if recipe.engines.check().is_ok() && recipe.format.is_ok() {
            // It is over: the next time is told again.
            self.told = WhyNothing::default();
        }
        self.shared.set_engines(Arc::clone(&recipe.engines));
        self.recipe = recipe;
        Ok(())
    }

    /// Nothing may be sealed now. A watcher keeps the files until it may, others say why not; unless a processor has to come that reads what is
    /// sealed, which all wait for.
    async fn hold(&mut self, target: Target, files: Vec<Found>, error: &Error) -> Result<(), Error> {
        let waits_for_processor = matches!(error, Error::NoFormat { .. } | Error::NoFormatThere { .. });
        if self.kind != Kind::Watch && !waits_for_processor {
            for file in &files {
                self.shared.conclude(Conclusion::of_found(file, NotSent::Refused, error.to_string())).await?;
            }
            return Ok(());
        }
        self.tell_why_nothing_is_sent(error).await;
        self.held.push((target, files));
        self.held_until = Some(Instant::now() + if waits_for_processor { FORMAT_ASKED_EVERY } else { HELD_FOR });
        Ok(())
    }

    /// Begins what was held, if it is time.
    pub(super) async fn start_held(&mut self) -> Result<(), Error> {
        if self.held_until.is_some_and(|until| until <= Instant::now()) {
            self.held_until = None;
            for (target, files) in std::mem::take(&mut self.held) {
                self.begin(target, files).await?;
            }
        }
        Ok(())
    }

    /// Takes in a file that was selected. If it was looked up in the journal for another release than it would go to now, or for
    /// none, it is looked up first.
    pub(super) async fn take_in(&mut self, selected: Selected) -> Result<(), Error> {
        let Selected { mut file, looked_up } = selected;
        let target = self.assign(&mut file).await?;
        if let Ok(target) = &target
            && self.is_looked_up_first(&file)
            && resolve(&self.recipe.engines, &target.to).is_some_and(|release| Some(release.release) != looked_up)
        {
            self.given_back.push(file);
            return Ok(());
        }
        self.pack_for(target, file).await
    }

    /// Takes a file into the next bundle, and begins that if it is full.
    pub(super) async fn pack(&mut self, mut file: Found) -> Result<(), Error> {
        let target = self.assign(&mut file).await?;
        self.pack_for(target, file).await
    }

    async fn pack_for(&mut self, target: Result<Target, Error>, mut file: Found) -> Result<(), Error> {
        // What was looked into is sent as it was then. A watcher waits until it has come to rest again.
        if self.kind != Kind::Watch
            && let Some((stat, seen_ns)) = file.content.as_ref().and_then(|content| content.seen)
            // Another file in its place is one that changed, and is found out when it is read.
            && (stat.device, stat.inode) == (file.stat.device, file.stat.inode)
            && stat != file.stat
        {
            (file.stat, file.seen_ns) = (stat, seen_ns);
        }
        if let Some(message) = pack::too_long(&file, self.recipe.chunk_size) {
            if let Some((upload, index)) = file.replaces {
                self.shared.inbox.journal.fail_file(upload, index, message.clone()).await?;
            }
            return self.shared.conclude(Conclusion::of_found(&file, NotSent::TooLong, message)).await;
        }
        let target = match target {
            Ok(target) => target,
            Err(error) => return self.no_engine(file, &error).await,
        };
        match self.packers.push(target, file) {
            Some((target, bundle)) => self.begin(target, bundle).await,
            None => Ok(()),
        }
    }

    fn start(&mut self, transfer: Transfer, attempts: u32) {
        let upload = transfer.id();
        let files = Arc::clone(transfer.files());
        let active = Active { weight: weight(files.len()), files, resume: false, attempts };
        self.active.insert(upload, active);
        self.transfers.spawn(async move { (upload, transfer.run().await) });
    }

    pub(super) fn asked_to_resume(&mut self, upload: UploadId) {
        match self.active.get_mut(&upload) {
            Some(active) => active.resume = true,
            None if !self.resumes.contains(&upload) => self.resumes.push_back(upload),
            None => {}
        }
    }

    /// Goes on with uploads of the journal, as far as there is room.
    pub(super) async fn start_resumes(&mut self) -> Result<(), Error> {
        while self.weight() < WEIGHT_MAX {
            let Some(upload) = self.resumes.pop_front() else {
                return Ok(());
            };
            self.resume_upload(upload, 0).await?;
        }
        Ok(())
    }

    async fn resume_upload(&mut self, upload: UploadId, attempts: u32) -> Result<(), Error> {
        if self.active.contains_key(&upload) {
            return Ok(());
        }
        let journal = Arc::clone(&self.shared.inbox.journal);
        let Some(owner) = journal.owner(upload).await? else {
            return Ok(());
        };
        if owner != self.shared.session {
            if self.shared.awaited.of_upload(upload).is_empty() {
                return Ok(());
            }
            // Another program works on it, whose work this one waits for.
            if !journal.adopt_from(&self.shared.home, owner, self.shared.session.clone()).await? {
                self.left_behind(upload).await?;
                self.later.push((Instant::now() + LOOK_AFTER_OTHERS, Later::Upload(upload)));
                return Ok(());
            }
            self.left_behind(upload).await?;
            // Of two that adopt it at the same moment, one has it.
            if journal.owner(upload).await?.as_ref() != Some(&self.shared.session) {
                self.later.push((Instant::now() + LOOK_AFTER_OTHERS, Later::Upload(upload)));
                return Ok(());
            }
        }
        let Some(stored) = journal.load_upload(upload).await? else {
            return Ok(());
        };
        // Nothing is left to be sent.
        if stored.state != "uploading" {
            return Ok(());
        }
        // By a clock that is ahead everything is over.
        let judged = self.shared.pipeline.api.clock_ahead().is_none();
        if judged && stored.upload.not_after < now_s().saturating_add(TIME_LEFT_MIN_S) {
            return self.abandon(upload, &Cause::abandoned(AgainReason::TimeOver)).await;
        }
        // It was begun before the enrolment said so.
        if self.recipes.enrolment.lowest_format().is_some_and(|lowest| stored.upload.format < lowest) {
            return self.abandon(upload, &Cause::abandoned(AgainReason::FormatNotAllowed)).await;
        }
        let rules = Judged::long_ago(&self.shared.rules);
        let transfer = pipeline::resume(Arc::clone(&self.shared.pipeline), stored, rules)?;
        self.start(transfer, attempts);
        Ok(())
    }

    /// Sends what this activity waits for in another program's upload and what that one could not send intact.
    async fn left_behind(&mut self, upload: UploadId) -> Result<(), Error> {
        let journal = Arc::clone(&self.shared.inbox.journal);
        for index in self.shared.awaited.of_upload(upload) {
            let places = journal.places(&[(upload, index)]).await?;
            let void = |place: &FilePlace| place.verdict.is_some_and(|verdict| !verdict.is_intact());
            if let Some(place) = places.iter().find(|place| !place.reused && (place.abandoned || void(place))) {
                let found = journal.found(place.row).await?;
                self.again(upload, index, found, &Cause::abandoned(AgainReason::NotSentElsewhere)).await?;
            }
        }
        Ok(())
    }

    /// Takes in how a transfer ended.
    pub(super) async fn ended(&mut self, upload: UploadId, transferred: Transferred) -> Result<(), Error> {
        let Some(active) = self.active.remove(&upload) else {
            return Ok(());
        };
        let Transferred { end, voided } = transferred;
        for file in voided {
            if matches!(end, Ok(TransferEnd::Cancelled)) {
                self.void_and_cancelled(upload, &file).await?;
            } else {
                self.voided(upload, &active.files, file).await?;
            }
        }
        match end {
            Ok(TransferEnd::Stored) if active.resume => self.resumes.push_back(upload),
            Ok(TransferEnd::Stored | TransferEnd::Cancelled) => {
                self.shared.inbox.journal.finish_upload(upload).await?;
            }
            Ok(TransferEnd::Abandoned(reason)) => {
                self.recipe.outdated = true;
                self.abandon(upload, &Cause::abandoned(reason)).await?;
            }
            Ok(TransferEnd::LeftOut(rule)) => {
                self.abandon(upload, &Cause { reason: AgainReason::LeftOut { rule }, in_vain: None }).await?;
            }
            Ok(TransferEnd::Incomplete) if active.attempts < RESUMES_MAX => {
                self.resume_upload(upload, active.attempts + 1).await?;
            }
            Ok(TransferEnd::Incomplete) => {
                let error = Error::Protocol {
                    server: self.shared.pipeline.api.server().to_owned(),
                    detail: "it keeps forgetting chunks that storage confirmed".to_owned(),
                };
                self.not_sent(upload, error).await?;
            }
            Err(error @ (Error::Storage { .. } | Error::Refused { .. } | Error::Protocol { .. })) => {
                self.not_sent(upload, error).await?;
            }
            // What concerns one upload of the kind concerns all.
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Gives an upload up, and sends what is open of it again.
    async fn abandon(&mut self, upload: UploadId, cause: &Cause) -> Result<(), Error> {
        let journal = Arc::clone(&self.shared.inbox.journal);
        journal.abandon_upload(upload).await?;
        let note = Note::UploadGivenUp { upload, reason: cause.reason.clone() };
        self.shared.events.tell(Event::Note(note)).await;
        let shared = Arc::clone(&self.shared);
        self.chores.spawn(async move {
            // If it fails, the server gives the upload up by itself later.
            let _ = shared.pipeline.api.cancel(&[upload], Patience::Brief).await;
        });
        for index in self.shared.awaited.of_upload(upload) {
            let places = journal.places(&[(upload, index)]).await?;
            let Some(place) = places.iter().find(|place| !place.reused) else {
                continue;
            };
            let found = journal.found(place.row).await?;
            self.again(upload, index, found, cause).await?;
        }
        Ok(())
    }

    /// A file was not intact, and its upload was cancelled: it is not sent again. What the server says of it is not its last
    /// word, see [`Shared::arrived`](super::shared::Shared).
    async fn void_and_cancelled(&mut self, upload: UploadId, voided: &Voided) -> Result<(), Error> {
        let waiters = self.shared.awaited.arrived(upload, voided.index);
        let journal = Arc::clone(&self.shared.inbox.journal);
        self.others_again(upload, voided.index, waiters.others).await?;
        let outcome = Outcome::Cancelled;
        journal.fail_file(upload, voided.index, outcome.to_string()).await?;
        let places = journal.places(&[(upload, voided.index)]).await?;
        if let Some(place) = places.iter().find(|place| !place.reused && waiters.itself) {
            let ending = Ending::EndedByServer { outcome, message: format!("{outcome} (said by the server)") };
            self.shared
                .conclude(Conclusion::of_place(place, Reopened { sealed: None, artifacts: Arc::default(), ending }))
                .await?;
        }
        Ok(())
    }

    /// A file of an upload was not intact.
    async fn voided(&mut self, upload: UploadId, files: &Arc<[Found]>, voided: Voided) -> Result<(), Error> {
        let Some(found) = files.get(voided.index as usize).cloned() else {
            return Ok(());
        };
        match voided.reason {
            VoidReason::Vanished => self.give_up(upload, voided.index, &found, NotSent::Vanished, voided.detail).await,
            VoidReason::Unreadable if self.no_file(&found, &look(&found).await?).is_none() => {
                self.give_up(upload, voided.index, &found, NotSent::Unreadable, voided.detail).await
            }
            VoidReason::Changed | VoidReason::Shrank | VoidReason::Unreadable => {
                let reason = AgainReason::Changed { detail: voided.detail };
                self.again(upload, voided.index, found, &Cause { reason, in_vain: Some(NotSent::Changing) }).await
            }
        }
    }

    /// Sends a file again, in a while; unless it was sent in vain too often, or nobody waits for it.
    async fn again(&mut self, upload: UploadId, index: u32, mut found: Found, cause: &Cause) -> Result<(), Error> {
        let Cause { reason, in_vain } = cause;
        let seen = look(&found).await?;
        // A watcher of this activity sees that the file has changed, and hands it on when it has come to rest.
        if seen.as_ref().is_ok_and(|now| now.stat != found.stat) && self.is_handed_on(&found).await? {
            return self.leave_to_watcher(upload, index, &found, reason).await;
        }
        if let Some(code) = in_vain {
            found.attempt += 1;
            if found.attempt >= ATTEMPTS_MAX {
                let message =
                    format!("it was sent {ATTEMPTS_MAX} times in vain, the last time because of this: {reason}");
                return self.give_up(upload, index, &found, *code, message).await;
            }
        }
        if !self.sent_again.insert((upload, index)) {
            return Ok(());
        }
        let waiters = self.shared.awaited.arrived(upload, index);
        self.others_again(upload, index, waiters.others).await?;
        if !waiters.itself {
            return Ok(());
        }
        if let Some(reason) = self.no_file(&found, &seen) {
            found.replaces = Some((upload, index));
            return self.leave_out(found, reason).await;
        }
        let event = Event::SentAgain { path: self.shared.named(&found.path), reason: reason.clone() };
        self.shared.events.tell(event).await;
        found.replaces = Some((upload, index));
        self.later.push((Instant::now() + SETTLE * (1 << found.attempt.min(8)), Later::File(Box::new(found))));
        Ok(())
    }

    /// The watcher sends the file again, as it is then: nothing else is said of this version.
    async fn leave_to_watcher(
        &mut self,
        upload: UploadId,
        index: u32,
        found: &Found,
        reason: &AgainReason,
    ) -> Result<(), Error> {
        let waiters = self.shared.awaited.arrived(upload, index);
        self.others_again(upload, index, waiters.others).await?;
        if waiters.itself {
            let event = Event::SentAgain { path: self.shared.named(&found.path), reason: reason.clone() };
            self.shared.events.tell(event).await;
            self.shared.forget_file(found.stat.size);
        }
        // It may have been handed on already.
        self.shared.inbox.journal.replace_by_newer(self.shared.session.clone()).await
    }

    /// Files that waited for the result of another's content, which will not come: each is sent by itself.
    async fn others_again(&mut self, upload: UploadId, index: u32, paths: HashSet<PathBuf>) -> Result<(), Error> {
        if paths.is_empty() {
            return Ok(());
        }
        for found in self.shared.inbox.journal.detach(upload, index).await? {
            if paths.contains(&found.path) {
                self.shared.progress.copy_waits_no_more(found.stat.size);
                self.later.push((Instant::now(), Later::File(Box::new(found))));
            }
        }
        Ok(())
    }

    async fn give_up(
        &mut self,
        upload: UploadId,
        index: u32,
        found: &Found,
        code: NotSent,
        message: String,
    ) -> Result<(), Error> {
        let waiters = self.shared.awaited.arrived(upload, index);
        self.others_again(upload, index, waiters.others).await?;
        if !waiters.itself {
            return Ok(());
        }
        self.shared.inbox.journal.fail_file(upload, index, message.clone()).await?;
        self.shared.conclude(Conclusion::of_found(found, code, message)).await
    }

    /// Does what was put off until now.
    pub(super) async fn start_later(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let mut position = 0;
        while position < self.later.len() {
            if self.later[position].0 > now {
                position += 1;
                continue;
            }
            match self.later.swap_remove(position).1 {
                Later::Upload(upload) => self.asked_to_resume(upload),
                Later::File(found) => self.pack_again(*found).await?,
            }
        }
        Ok(())
    }

    /// Takes a file in again as it is now.
    async fn pack_again(&mut self, former: Found) -> Result<(), Error> {
        let seen = look(&former).await?;
        if let Some(reason) = self.no_file(&former, &seen) {
            return self.leave_out(former, reason).await;
        }
        let again = match seen {
            Ok(seen) => Found::at(former.path.clone(), former.name.clone(), seen).map_err(|reason| reason.to_string()),
            Err(error) => Err(io_detail(&error)),
        };
        match again {
            Ok(found) => {
                let Found { attempt, replaces, watched, .. } = former;
                self.pack(Found { attempt, replaces, watched, ..found }).await
            }
            Err(message) => {
                if let Some((upload, index)) = former.replaces {
                    self.shared.inbox.journal.fail_file(upload, index, message.clone()).await?;
                }
                self.shared.conclude(Conclusion::of_found(&former, NotSent::Vanished, message)).await
            }
        }
    }

    /// What took the place of a file, if a walk would have left that out: a pipe, a folder, a link, or one on the way to it, behind
    /// which lies what was never asked for. It is a failure where the user named the file itself, unless it is a link.
    fn no_file(&self, former: &Found, seen: &io::Result<Seen>) -> Option<SkipReason> {
        match seen {
            Ok(seen) => {
                let is_named = || self.shared.roots.iter().any(|root| root.path == former.path);
                SkipReason::instead_of_a_file(seen.kind).filter(|_| seen.kind == FileKind::Link || !is_named())
            }
            Err(error) => link_met(error).map(|_| SkipReason::Link),
        }
    }

    /// Says that it is left out, as a walk does.
    async fn leave_out(&mut self, former: Found, reason: SkipReason) -> Result<(), Error> {
        if let Some((upload, index)) = former.replaces {
            self.shared.inbox.journal.leave_out(upload, index).await?;
        }
        let event = Event::Skipped { path: self.shared.named(&former.path), reason };
        self.shared.events.tell(event).await;
        self.shared.forget_file(former.stat.size);
        Ok(())
    }
}

/// Looks at the file as it is now, on a thread that may block: its file system may be far away.
async fn look(found: &Found) -> Result<io::Result<Seen>, Error> {
    let found = found.clone();
    tokio::task::spawn_blocking(move || found.look()).await.map_err(|_| Error::Stopped)
}
