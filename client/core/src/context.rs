//! What one activity works with: a session of its own in the journal, its own events and progress, and what all share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filemill_seal::UploadId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Storage;
use crate::awaited::Awaited;
use crate::base::Base;
use crate::config::Config;
use crate::driver::{Driver, Shared, Unkept};
use crate::engines::Wanted;
use crate::error::Error;
use crate::export::Export;
use crate::home::Home;
use crate::inbox::Inbox;
use crate::journal::{Journal, Session};
use crate::parameters::{GivenParameters, Parameters};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::recipe::{Recipe, Recipes, Verdicts};
use crate::standing::StandingRules;
use crate::taken::Taken;
use crate::teller::Teller;
use crate::walk::Root;

/// Files that are to be sent again are read from the journal in pages of this many.
const AGAIN_PER_PAGE: u32 = 1024;

/// How long somebody who wants this program to end waits for a thread that looks through folders.
const THREADS_WITHIN: Duration = Duration::from_secs(1);

/// What an activity has to do.
#[derive(Default)]
pub(crate) struct Work {
    /// What the user named.
    pub(crate) roots: Vec<Root>,
    /// Of a watcher, what is left out.
    pub(crate) rules: Arc<StandingRules>,
    pub(crate) export: Option<Export>,
    /// Send even what was sent before.
    pub(crate) again: bool,
    /// What a watcher took in already.
    pub(crate) taken: Arc<Taken>,
    /// Results that a watcher could not keep in `export` before.
    pub(crate) unkept: Arc<Unkept>,
    pub(crate) parameters: Parameters,
}

/// What one activity works with.
///
/// Its session owns the uploads that it begins or adopts, so that each upload belongs to one activity, of this program or of another.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) config: Arc<Config>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) session: Session,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) recipes: Arc<Recipes>,
    pub(crate) events: Teller,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: CancellationToken,
}

impl Context {
    pub(crate) fn new(
        base: &Base,
        session: Session,
        events: Teller,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Self {
        let Base { home, config, identity, journal, options, machine, tasks, .. } = base;
        let api = Arc::new(base.api.telling(events.clone()));
        let storage = Storage::new(api.http().clone(), &config.storage_origins, Arc::clone(&progress), events.clone());
        let pipeline = Arc::new(Pipeline::new(
            tasks,
            Arc::clone(machine),
            Arc::clone(&api),
            storage.clone(),
            Arc::clone(journal),
            Arc::clone(&progress),
            events.clone(),
        ));
        let inbox = Arc::new(Inbox {
            api: Arc::clone(&api),
            storage,
            journal: Arc::clone(journal),
            identity: Arc::clone(identity),
            account: config.account(),
            keys: Mutex::default(),
            unfetched: Notify::new(),
            singles: AtomicBool::default(),
        });
        let recipes = Arc::new(Recipes {
            api: Arc::clone(&api),
            journal: Arc::clone(journal),
            events: events.clone(),
            enrolment: config.enrolment.clone(),
            account: config.account(),
            session: session.id().to_owned(),
            uploader: identity.recipient(),
            chunk_size: options.chunk_size,
            lifetime_s: options.lifetime_s,
            verdicts: Verdicts::default(),
            older_told: AtomicBool::default(),
        });
        Self {
            home: home.clone(),
            config: Arc::clone(config),
            journal: Arc::clone(journal),
            session,
            pipeline,
            inbox,
            recipes,
            events,
            progress,
            stop,
        }
    }

    pub(crate) fn shared(&self, recipe: &Recipe, work: Work) -> Arc<Shared> {
        let Work { roots, rules, export, again, taken, unkept, parameters } = work;
        let awaited = Arc::<Awaited>::default();
        self.progress.waits_for(&awaited);
        if export.is_some() {
            self.inbox.keep_singles();
        }
        Arc::new(Shared {
            pipeline: Arc::clone(&self.pipeline),
            inbox: Arc::clone(&self.inbox),
            events: self.events.clone(),
            progress: Arc::clone(&self.progress),
            awaited,
            pending: watch::Sender::new(0),
            roots,
            rules,
            export,
            unkept,
            account: recipe.account.clone(),
            home: self.home.clone(),
            session: recipe.session.clone(),
            engines: Mutex::new(Arc::clone(&recipe.engines)),
            parameters,
            again,
            taken,
            reconnected: Notify::new(),
            pages: AtomicU64::new(0),
            start_over: Notify::new(),
            stop: self.stop.clone(),
        })
    }

    /// Lists the releases, and checks the pool's recipient.
    pub(crate) async fn recipe(&self, wanted: &Wanted, wait_for_descriptions: bool) -> Result<Recipe, Error> {
        tokio::select! {
            recipe = self.recipes.make(wanted, wait_for_descriptions) => recipe,
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Makes parameters of what was set, for the engine that gets them.
    pub(crate) async fn parameters(&self, given: &GivenParameters, recipe: &Recipe) -> Result<Parameters, Error> {
        tokio::select! {
            parameters = self.recipes.parameters(given, recipe) => parameters,
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Adopts what ended programs left, and makes `driver` wait for all of it.
    pub(crate) async fn take_over(&self, shared: &Arc<Shared>, driver: &mut Driver) -> Result<(), Error> {
        let account = self.config.account();
        // Oldest first.
        let unstored = self.journal.adopt(&self.home, &account, &self.session).await?;
        driver.resume(unstored.iter().copied());
        let unstored: HashSet<UploadId> = unstored.into_iter().collect();
        for upload in self.journal.unfinished_uploads(&account, self.session.id()).await? {
            // Of what is still to be stored, the transfer says how much there is already.
            let is_stored = !unstored.contains(&upload);
            for (index, size) in self.journal.open_files(upload).await? {
                if shared.awaited.expect(upload, index) {
                    shared.pending.send_modify(|pending| *pending += 1);
                    shared.progress.found(size);
                    if is_stored {
                        shared.progress.stored(size);
                    }
                }
            }
        }
        self.journal.replace_by_newer(self.session.id().to_owned()).await?;
        let mut after = 0;
        loop {
            let page = self.journal.files_to_send_again(self.session.id(), after, AGAIN_PER_PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            for (_, open) in page {
                let mut found = open.found;
                shared.pending.send_modify(|pending| *pending += 1);
                shared.progress.found(found.stat.size);
                found.replaces = Some((open.upload, open.index));
                driver.send_again(found);
            }
        }
    }

    /// Waits until the `threads` have ended; not for long once the activity is stopped, as a disk that does not answer may hold them.
    pub(crate) async fn wait_for(&self, threads: &TaskTracker) {
        let patience = async {
            self.stop.cancelled().await;
            tokio::time::sleep(THREADS_WITHIN).await;
        };
        tokio::select! {
            () = threads.wait() => {}
            () = patience => {}
        }
    }
}

/// Refuses parameters that several engines would get, before anything is asked of anybody.
pub(crate) fn check_wanted(wanted: &Wanted, given: &GivenParameters) -> Result<(), Error> {
    if *wanted == Wanted::Auto && !given.is_empty() { Err(Error::WhichParameters) } else { Ok(()) }
}
