//! A client: one home, one login, one running program.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filemill_api::ErrorBody;
use filemill_seal::{CHUNK_SIZE_DEFAULT, Identity, UploadId};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{Api, Patience, Storage};
use crate::awaited::Awaited;
use crate::config::Config;
use crate::engines::Wanted;
use crate::error::Error;
use crate::home::{Home, on_thread};
use crate::inbox::Inbox;
use crate::journal::{Journal, Session};
use crate::keys::load_identity;
use crate::notice::{Notice, Progress};
use crate::out::Out;
use crate::parameters::{GivenParameters, Parameters};
use crate::pipeline::{Pipeline, Recipe};
use crate::recipe::{Recipes, Verdicts};
use crate::rules::Rules;
use crate::run::{Kind, Run, Shared, Unkept};
use crate::standing::StandingRules;
use crate::walk::{Met, Root, Walk, walk_into};
use crate::watch::Taken;

/// Files that are to be sent again are read from the journal in pages of this many.
const AGAIN_PER_PAGE: u32 = 1024;

/// How long somebody who wants this program to end waits for a thread that looks through folders.
const THREADS_WITHIN: Duration = Duration::from_secs(1);
/// How long the end waits for requests under way.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How a client is to work.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Memory for buffers, in bytes; at least four chunks make sense.
    pub budget_bytes: usize,
    /// In bytes: a power of two from 64 KiB to 64 MiB.
    pub chunk_size: u32,
    /// For how long a processor may run what is sent, in seconds.
    pub lifetime_s: u64,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { budget_bytes: 96 << 20, chunk_size: CHUNK_SIZE_DEFAULT, lifetime_s: 7 * 24 * 3600 }
    }
}

/// What to send.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Name of the engine, or `auto`: for each file the one that fits it. The only one, or `size`, if absent.
    pub engine: Option<String>,
    /// Send even what was sent before.
    pub again: bool,
    /// gitignore patterns of what to leave out.
    pub ignore: Vec<String>,
    /// Where to keep sealed results as `NAME.age`.
    pub out: Option<PathBuf>,
    /// Send what programs and desktops leave in folders, too: temporary and system files, and what version control keeps there.
    pub temporary: bool,
    /// What to set of the engine's parameters; one engine's only.
    pub parameters: GivenParameters,
}

/// What a run has to do.
#[derive(Default)]
pub(crate) struct Work {
    /// What the user named.
    pub(crate) roots: Vec<Root>,
    /// Of a watcher, what is left out.
    pub(crate) rules: Arc<StandingRules>,
    pub(crate) out: Option<Out>,
    /// Send even what was sent before.
    pub(crate) again: bool,
    /// What a watcher took in already.
    pub(crate) taken: Arc<Taken>,
    /// Results that a watcher could not keep in `out` before.
    pub(crate) unkept: Arc<Unkept>,
    pub(crate) parameters: Parameters,
}

/// A client that is logged in.
pub struct Client {
    pub(crate) home: Home,
    pub(crate) config: Config,
    pub(crate) identity: Arc<Identity>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) session: Session,
    pub(crate) api: Arc<Api>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) recipes: Arc<Recipes>,
    pub(crate) notices: mpsc::Sender<Notice>,
    pub(crate) progress: Arc<Progress>,
    tasks: TaskTracker,
}

impl Client {
    /// Opens the client of `home`. Whatever is to be told goes to `notices`.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoggedIn`], [`Error::NoKey`] or [`Error::NoKeychain`], errors of the journal; [`Error::Stopped`] as soon as nobody
    /// is to [wait](Home::waiting) any more.
    pub async fn open(home: Home, options: ClientOptions, notices: mpsc::Sender<Notice>) -> Result<Self, Error> {
        Self::open_in_time(home, options, notices, false).await
    }

    /// The same for whoever mainly reads what is in the journal: on a full disk it is read as it is, which is told, and what would be
    /// written is an [`Error::JournalFull`]. Other programs of the home wait then until this client is closed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_to_read(
        home: Home,
        options: ClientOptions,
        notices: mpsc::Sender<Notice>,
    ) -> Result<Self, Error> {
        Self::open_in_time(home, options, notices, true).await
    }

    async fn open_in_time(
        home: Home,
        options: ClientOptions,
        notices: mpsc::Sender<Notice>,
        to_read: bool,
    ) -> Result<Self, Error> {
        let stopped = home.clone();
        tokio::select! {
            opened = Self::open_now(home, options, notices, to_read) => opened,
            () = stopped.stopped() => Err(Error::Stopped),
        }
    }

    async fn open_now(
        home: Home,
        options: ClientOptions,
        notices: mpsc::Sender<Notice>,
        to_read: bool,
    ) -> Result<Self, Error> {
        let config = on_thread(&home, Config::load).await?;
        // A keychain may ask its owner for a password.
        let identity = Arc::new(on_thread(&home, load_identity).await?);
        let opened = if to_read { Journal::open_to_read(&home).await? } else { Journal::open(&home).await? };
        let journal = Arc::new(opened);
        let session = if journal.is_as_it_was() { Session::without_lock() } else { Session::begin(&home)? };
        if journal.is_as_it_was() {
            let full = Error::JournalFull { path: home.journal() };
            let message = format!("{full}: it is read as it is, and nothing new is kept");
            let hint = Some("free some space".to_owned());
            // Nobody has told anything before.
            let _ = notices.try_send(Notice::Trouble { message, hint });
        }
        let api = Arc::new(Api::new(config.server.clone(), &config.token, notices.clone())?);
        let progress = Arc::new(Progress::default());
        let storage = Storage::new(api.http().clone(), &config.storage_origins, Arc::clone(&progress), notices.clone());
        let tasks = TaskTracker::new();
        let pipeline = Arc::new(Pipeline::new(
            &tasks,
            Arc::clone(&api),
            storage.clone(),
            Arc::clone(&journal),
            Arc::clone(&progress),
            notices.clone(),
            options.budget_bytes,
        ));
        tasks.close();
        let inbox = Arc::new(Inbox {
            api: Arc::clone(&api),
            storage,
            journal: Arc::clone(&journal),
            identity: Arc::clone(&identity),
            account: config.account(),
            keys: Mutex::default(),
            unfetched: Notify::new(),
        });
        let recipes = Arc::new(Recipes {
            api: Arc::clone(&api),
            journal: Arc::clone(&journal),
            notices: notices.clone(),
            enrolment: config.enrolment.clone(),
            account: config.account(),
            session: session.id().to_owned(),
            uploader: identity.recipient(),
            chunk_size: options.chunk_size,
            lifetime_s: options.lifetime_s,
            verdicts: Verdicts::default(),
        });
        Ok(Self { home, config, identity, journal, session, api, pipeline, inbox, recipes, notices, progress, tasks })
    }

    /// What the login pinned.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How far the work is.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Sends files and folders, and returns when each has its last word.
    ///
    /// # Errors
    ///
    /// What concerns all files, before or while they are sent. [`Error::Stopped`] if `stop` was cancelled; what was begun
    /// goes on with the next [`send`](Self::send) of the same files, or [`resume`](Self::resume).
    pub async fn send(&self, options: SendOptions, stop: &CancellationToken) -> Result<(), Error> {
        // Before anything is asked of anybody.
        for glob in &options.ignore {
            Rules::globs_only(Path::new("/"), std::slice::from_ref(glob))?;
        }
        let out = options.out.as_deref().map(Out::new).transpose()?;
        let wanted = Wanted::parse(options.engine.as_deref());
        check_wanted(&wanted, &options.parameters)?;
        let recipe = self.recipe(&wanted, true, stop).await?;
        recipe.engines.check()?;
        self.recipes.tell_undescribable(&recipe.engines).await?;
        let parameters = self.parameters(&options.parameters, &recipe, stop).await?;
        let account = self.config.account();
        self.journal.adopt(&self.home, &account, &self.session).await?;
        self.catch_up_with_the_begun(stop).await?;
        let outs = self.journal.out_folders(out.as_ref().map(Out::folder)).await?;
        let (mut roots, mut unreadable) = (Vec::new(), Vec::new());
        for path in &options.paths {
            match Root::new(path) {
                Ok(root) => roots.push(root.without(self.home.path(), &outs)),
                Err(reason) => unreadable.push(Met::Unreadable { path: path.clone(), reason }),
            }
        }
        let shared = self.shared(
            &recipe,
            Work { roots: roots.clone(), out, again: options.again, parameters, ..Work::default() },
            stop,
        );
        let (met, found) = mpsc::channel(4);
        let walks = TaskTracker::new();
        walks.spawn_blocking(move || {
            if !unreadable.is_empty() && met.blocking_send(unreadable).is_err() {
                return;
            }
            for root in &roots {
                // Checked above.
                let Ok(mut rules) = Rules::globs_only(&root.path, &options.ignore) else {
                    return;
                };
                if !options.temporary {
                    rules = rules.without_temporary();
                }
                if walk_into(Walk::new(root), root, &rules, &met).is_break() {
                    return;
                }
            }
        });
        walks.close();
        let result = Run::new(shared, Kind::Send, recipe, Arc::clone(&self.recipes)).run(found).await;
        wait_for(&walks, stop).await;
        result
    }

    /// Learns what became meanwhile of what earlier programs began: what was cancelled since is sent anew, not waited for.
    async fn catch_up_with_the_begun(&self, stop: &CancellationToken) -> Result<(), Error> {
        if self.journal.unfinished_uploads(&self.config.account(), self.session.id()).await?.is_empty() {
            return Ok(());
        }
        tokio::select! {
            caught_up = self.inbox.read_on() => match caught_up {
                // Whoever follows the events waits for the server, and reads them from the beginning where it must.
                Err(Error::Unreachable { .. } | Error::Refused { .. } | Error::Protocol { .. }) | Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
            () = stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Goes on with everything that earlier programs of this home began and did not finish, and returns when each file
    /// has its last word.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn resume(&self, stop: &CancellationToken) -> Result<(), Error> {
        // Each file goes to the release that it was sent for: nothing is chosen.
        let recipe = self.recipe(&Wanted::Auto, false, stop).await?;
        let shared = self.shared(&recipe, Work::default(), stop);
        let mut run = Run::new(Arc::clone(&shared), Kind::Resume, recipe, Arc::clone(&self.recipes));
        self.take_over(&shared, &mut run).await?;
        let (met, found) = mpsc::channel(1);
        drop(met);
        run.run(found).await
    }

    /// Adopts what ended programs left, and makes `run` wait for all of it.
    pub(crate) async fn take_over(&self, shared: &Arc<Shared>, run: &mut Run) -> Result<(), Error> {
        let account = self.config.account();
        // Oldest first.
        let unstored = self.journal.adopt(&self.home, &account, &self.session).await?;
        run.resume(unstored.iter().copied());
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
                run.send_again(found);
            }
        }
    }

    /// Cancels these uploads, or all that are not finished if none is named, and tells of each how many files that were, or
    /// why it could not be. Returns how many files were cancelled.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked.
    pub async fn cancel(
        &self,
        uploads: &[UploadId],
        mut tell: impl FnMut(UploadId, Result<u32, Error>),
    ) -> Result<u64, Error> {
        let mut cancelled = 0;
        let mut asked = HashSet::new();
        let mut after = None;
        loop {
            let (uploads, next): (Vec<UploadId>, Option<UploadId>) = if uploads.is_empty() {
                let page = self.api.uploads(after).await?;
                let ids = page.uploads.iter().filter_map(|upload| upload.id.parse().ok()).collect();
                (ids, page.next.and_then(|next| next.parse().ok()))
            } else {
                (uploads.to_vec(), None)
            };
            // The server lists so many at once, and those that cannot be cancelled again and again.
            let uploads: Vec<UploadId> = uploads.into_iter().filter(|upload| asked.insert(*upload)).collect();
            if uploads.is_empty() && (next.is_none() || next == after) {
                return Ok(cancelled);
            }
            after = next.or(after);
            for uploads in uploads.chunks(filemill_api::limits::MAX_UPLOADS_PER_REQUEST) {
                let items = self.api.cancel(uploads, Patience::Brief).await?;
                for (upload, item) in uploads.iter().zip(items) {
                    let files = item.into_result().map_err(|body| self.refused(body));
                    cancelled += files.as_ref().map_or(0, |files| u64::from(*files));
                    tell(*upload, files);
                }
            }
        }
    }

    /// Lists files of these uploads no more that were given up, of all if none is named. Returns how many those were.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn forget_failed(&self, uploads: &[UploadId]) -> Result<u64, Error> {
        let account = self.config.account();
        if uploads.is_empty() {
            return self.journal.forget_failed(account, None).await;
        }
        let mut forgotten = 0;
        for upload in uploads {
            forgotten += self.journal.forget_failed(account.clone(), Some(*upload)).await?;
        }
        Ok(forgotten)
    }

    /// Ends in order: what is written is written. Dropping a client loses nothing either.
    pub async fn close(self) {
        let Self { journal, session, pipeline, inbox, recipes, tasks, .. } = self;
        drop((pipeline, inbox, recipes));
        // They end when nobody asks them anything any more. A thread that reads from a dead disk may still hold them.
        let _ = tokio::time::timeout(CLOSE_WITHIN, tasks.wait()).await;
        crate::tree::close_all();
        journal.close().await;
        drop(session);
    }

    pub(crate) fn shared(&self, recipe: &Recipe, work: Work, stop: &CancellationToken) -> Arc<Shared> {
        let Work { roots, rules, out, again, taken, unkept, parameters } = work;
        Arc::new(Shared {
            pipeline: Arc::clone(&self.pipeline),
            inbox: Arc::clone(&self.inbox),
            notices: self.notices.clone(),
            progress: Arc::clone(&self.progress),
            awaited: Awaited::default(),
            pending: watch::Sender::new(0),
            roots,
            rules,
            out,
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
            stop: stop.clone(),
        })
    }

    /// Lists the releases, and checks the pool's recipient.
    pub(crate) async fn recipe(
        &self,
        wanted: &Wanted,
        wait_for_descriptions: bool,
        stop: &CancellationToken,
    ) -> Result<Recipe, Error> {
        tokio::select! {
            recipe = self.recipes.make(wanted, wait_for_descriptions) => recipe,
            () = stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Makes parameters of what was set, for the engine that gets them.
    pub(crate) async fn parameters(
        &self,
        given: &GivenParameters,
        recipe: &Recipe,
        stop: &CancellationToken,
    ) -> Result<Parameters, Error> {
        tokio::select! {
            parameters = self.recipes.parameters(given, recipe) => parameters,
            () = stop.cancelled() => Err(Error::Stopped),
        }
    }

    fn refused(&self, body: ErrorBody) -> Error {
        Error::Refused { server: self.api.server().to_owned(), body }
    }
}

/// Refuses parameters that several engines would get, before anything is asked of anybody.
pub(crate) fn check_wanted(wanted: &Wanted, given: &GivenParameters) -> Result<(), Error> {
    if *wanted == Wanted::Auto && !given.is_empty() { Err(Error::WhichParameters) } else { Ok(()) }
}

/// Waits until the `threads` have ended; not for long once `stop` is cancelled, as a disk that does not answer may hold them.
pub(crate) async fn wait_for(threads: &TaskTracker, stop: &CancellationToken) {
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(THREADS_WITHIN).await;
    };
    tokio::select! {
        () = threads.wait() => {}
        () = patience => {}
    }
}
