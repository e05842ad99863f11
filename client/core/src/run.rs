//! One run: files come in, uploads go out, results come back, until nothing is left to wait for.

mod conclude;
mod follow;
mod keep;
mod reconcile;
mod refetch;
mod ruled;
mod select;
mod unplaced;
mod unsent;
mod uploads;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use filemill_seal::{Digest, UploadId};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::awaited::Awaited;
use crate::engines::Engines;
use crate::error::Error;
use crate::home::Home;
use crate::inbox::Inbox;
use crate::notice::{Notice, Progress, WhyNothing};
use crate::out::Out;
use crate::pack::{Packers, Patience};
use crate::parameters::Parameters;
use crate::pipeline::{Pipeline, Recipe, Transferred};
use crate::recipe::Recipes;
use crate::source::Found;
use crate::standing::StandingRules;
use crate::walk::{MET_AT_ONCE, Met, Root};
use crate::watch::Taken;
pub(crate) use keep::Unkept;
use ruled::JudgedBundle;
use select::Handed;
use unplaced::Pause;

/// A bundle is closed when nothing came for this long.
const BUNDLE_PAUSE: Duration = Duration::from_millis(200);
/// Or when its first file has waited for so long: files that come all the time, a few at once, are not to wait for each other.
const BUNDLE_WAIT: Duration = Duration::from_millis(500);
/// Uploads under way of this weight double that wait: while the server is slow, or away, bundles get longer instead of more.
const WEIGHT_PER_DOUBLING: usize = 8;
/// At most so often.
const DOUBLINGS_MAX: usize = 6;
/// Weight of uploads under way, at most: what is known of their files is held in memory.
const WEIGHT_MAX: usize = 64;
/// Files that weigh as much as an upload itself.
const FILES_PER_WEIGHT: usize = 128;
/// Files that changed and wait to be sent again; while there are more, no new ones are taken.
const LATER_MAX: usize = 8192;
/// How long the end of a run waits for uploads whose results are all there.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The same for a run that was stopped.
const LAST_WORDS_STOPPED: Duration = Duration::from_secs(1);

/// What the parts of a run share.
pub(crate) struct Shared {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) notices: mpsc::Sender<Notice>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) awaited: Awaited,
    /// Files that were found and of which the last has not been said.
    pub(crate) pending: watch::Sender<u64>,
    pub(crate) roots: Vec<Root>,
    /// Of a watcher: what they leave out while it waits is not sent.
    pub(crate) rules: Arc<StandingRules>,
    pub(crate) out: Option<Out>,
    /// Results that could not be kept in `out`.
    pub(crate) unkept: Arc<Unkept>,
    pub(crate) account: String,
    pub(crate) home: Home,
    pub(crate) session: String,
    /// Those that the organisation uses now.
    pub(crate) engines: Mutex<Arc<Engines>>,
    /// Those of files that were not sent before.
    pub(crate) parameters: Parameters,
    /// Send even what was sent before.
    pub(crate) again: bool,
    /// What a watcher has handed on.
    pub(crate) taken: Arc<Taken>,
    /// Rung when the server can be reached again whose events are followed.
    pub(crate) reconnected: Notify,
    /// Pages of its events that were taken in so far, twice that: odd while one is.
    pub(crate) pages: AtomicU64,
    /// Rung when its events are to be read from the beginning again.
    pub(crate) start_over: Notify,
    pub(crate) stop: CancellationToken,
}

/// How a run is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ends when every file has its result, and gives up what cannot be sent.
    Send,
    /// The same for what was begun before, each file for the release that it was first sent for.
    Resume,
    /// Goes on until it is stopped, and tries again what cannot be sent.
    Watch,
}

/// What the files of a bundle are sent for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) to: To,
    pub(crate) parameters: Parameters,
}

/// What is to run over them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum To {
    /// The release of this engine that is in use.
    Engine(String),
    /// This release, which they were sent for before.
    Release(Digest),
}

/// What parts of a run ask of it.
#[derive(Debug)]
pub(crate) enum Request {
    /// Go on with this upload, if nobody does.
    Resume(UploadId),
}

pub(crate) struct Run {
    shared: Arc<Shared>,
    kind: Kind,
    recipe: Recipe,
    recipes: Arc<Recipes>,
    packers: Packers<Target>,
    /// Bundles that nothing may be made of now, and when to try again.
    held: Vec<(Target, Vec<Found>)>,
    held_until: Option<Instant>,
    /// Files that no engine can be chosen for now, and when to look for one again: a watcher's, and others that engines are only
    /// to be described for.
    unplaced: HashMap<PathBuf, Found>,
    look_again: Option<Instant>,
    look_pause: Pause,
    /// There are other engines since they were looked for.
    engines_changed: bool,
    /// Files that are to be looked up in the journal: an engine was found that nobody looked them up for.
    given_back: Vec<Found>,
    /// Some were: they come back in parts, for each of which a bundle would be too much.
    gave_back: bool,
    /// Why nothing can be sent, as it was told last.
    told: WhyNothing,
    /// Bundles whose files the rules are asked of, and what they weigh.
    judging: JoinSet<JudgedBundle>,
    judging_weight: usize,
    transfers: JoinSet<(UploadId, Transferred)>,
    active: HashMap<UploadId, Active>,
    /// Uploads to go on with when there is room.
    resumes: VecDeque<UploadId>,
    /// Files to be sent again, and when; uploads to be tried again, and when.
    later: Vec<(Instant, Later)>,
    /// Places whose files are in `later` or were sent again.
    sent_again: HashSet<(UploadId, u32)>,
    chores: JoinSet<()>,
    /// Why an upload does not go on whose files are left to the next time.
    unsent: Option<Error>,
}

enum Later {
    File(Box<Found>),
    Upload(UploadId),
}

/// An upload under way.
struct Active {
    weight: usize,
    files: Arc<[Found]>,
    /// Chunks went missing meanwhile: resume when it ends.
    resume: bool,
    /// How often it ended incomplete.
    attempts: u32,
}

impl Shared {
    /// Whether files come from a watcher.
    fn is_watching(&self) -> bool {
        !self.rules.is_empty()
    }

    pub(crate) fn engines(&self) -> Arc<Engines> {
        Arc::clone(&self.engines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_engines(&self, engines: Arc<Engines>) {
        *self.engines.lock().unwrap_or_else(PoisonError::into_inner) = engines;
    }
}

impl Run {
    pub(crate) fn new(shared: Arc<Shared>, kind: Kind, recipe: Recipe, recipes: Arc<Recipes>) -> Self {
        Self {
            shared,
            kind,
            recipe,
            recipes,
            packers: Packers::new(),
            held: Vec::new(),
            held_until: None,
            unplaced: HashMap::new(),
            look_again: None,
            look_pause: Pause::default(),
            engines_changed: false,
            given_back: Vec::new(),
            gave_back: false,
            told: WhyNothing::default(),
            judging: JoinSet::new(),
            judging_weight: 0,
            transfers: JoinSet::new(),
            active: HashMap::new(),
            resumes: VecDeque::new(),
            later: Vec::new(),
            sent_again: HashSet::new(),
            chores: JoinSet::new(),
            unsent: None,
        }
    }

    /// Goes on with these uploads, too.
    pub(crate) fn resume(&mut self, uploads: impl IntoIterator<Item = UploadId>) {
        self.resumes.extend(uploads);
    }

    /// Takes in a file that has to be sent again and that is counted as pending already.
    pub(crate) fn send_again(&mut self, found: Found) {
        if let Some(place) = found.replaces {
            self.sent_again.insert(place);
        }
        self.later.push((Instant::now(), Later::File(Box::new(found))));
    }

    /// Runs until `found` has ended and everything has its result, or the run is stopped.
    ///
    /// # Errors
    ///
    /// What concerns all files: [`Error::Unauthenticated`], errors of the journal, … Nothing is lost: the journal knows
    /// what to go on with, and so it does of uploads that storage does not take. [`Error::Stopped`] if it was stopped before.
    pub(crate) async fn run(mut self, found: mpsc::Receiver<Vec<Met>>) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        // Before anything is looked up: a result is either in the journal then or comes by this stream.
        let position = shared.inbox.journal.position(&shared.account).await?;
        let stop = shared.stop.child_token();
        let (requests, mut requested) = mpsc::channel(64);
        let (selected, mut new_files) = mpsc::channel(4);
        let (give_back, given_back) = mpsc::channel(1);
        let mut parts = JoinSet::new();
        parts.spawn(follow::follow(Arc::clone(&shared), position, requests.clone(), stop.clone()));
        parts.spawn(refetch::refetch(Arc::clone(&shared), stop.clone()));
        parts.spawn(reconcile::reconcile(Arc::clone(&shared), requests.clone(), stop.clone()));
        let ways = select::Ways { met: found, given_back, selected, requests };
        parts.spawn(keep::keep_later(Arc::clone(&shared), stop.clone()));
        parts.spawn(select::select(Arc::clone(&shared), ways, stop.clone()));

        let result = tokio::select! {
            result = self.work(&mut parts, &mut requested, &mut new_files, &give_back) => result,
            // Whatever it waits for: a file that lies on a disk that does not answer is looked at, too.
            () = shared.stop.cancelled() => Err(Error::Stopped),
        };
        stop.cancel();
        while parts.join_next().await.is_some() {}
        self.transfers.shutdown().await;
        if let Some(out) = &shared.out {
            if !shared.unkept.is_empty() {
                shared.keep_waiting(out).await?;
            }
            if self.kind != Kind::Watch && result.is_ok() && !shared.unkept.is_none() {
                return Err(Error::NotKept { folder: out.folder().to_owned() });
            }
        }
        // Whoever stopped it does not want to wait for what the server would find out by itself.
        let limit = if shared.stop.is_cancelled() { LAST_WORDS_STOPPED } else { LAST_WORDS };
        let _ = tokio::time::timeout(limit, async { while self.chores.join_next().await.is_some() {} }).await;
        result.and(self.unsent.map_or(Ok(()), Err))
    }

    async fn work(
        &mut self,
        parts: &mut JoinSet<Result<(), Error>>,
        requested: &mut mpsc::Receiver<Request>,
        new_files: &mut mpsc::Receiver<Handed>,
        give_back: &mpsc::Sender<Vec<Found>>,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let mut pending = shared.pending.subscribe();
        let (mut all_selected, mut is_selecting) = (false, true);
        let mut last_words: Option<Instant> = None;
        loop {
            for (target, bundle) in self.packers.closed(all_selected && !self.gave_back, self.patience()) {
                self.begin(target, bundle).await?;
            }
            self.start_held().await?;
            self.place_again().await?;
            // Uploads among them are resumed at once.
            self.start_later().await?;
            self.start_resumes().await?;
            if all_selected && *pending.borrow_and_update() == 0 {
                let until = *last_words.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                if self.active.is_empty() || Instant::now() >= until {
                    return Ok(());
                }
            }
            let wake = self.wake_at().into_iter().chain(last_words).min();
            let room = is_selecting
                && self.held_until.is_none()
                && self.has_room_unplaced()
                && self.weight() < WEIGHT_MAX
                && self.later.len() < LATER_MAX;
            tokio::select! {
                files = new_files.recv(), if room => match files {
                    Some(Handed::Files(files)) => for file in files {
                        self.take_in(file).await?;
                    },
                    Some(Handed::AllMet) => all_selected = true,
                    // Why, that part says itself.
                    None => is_selecting = false,
                },
                // Never waited for alone: whoever takes them may be waiting for this loop.
                permit = give_back.reserve(), if !self.given_back.is_empty() => {
                    let from = self.given_back.len().saturating_sub(MET_AT_ONCE);
                    permit.map_err(|_| Error::Stopped)?.send(self.given_back.split_off(from));
                    self.gave_back = true;
                }
                Some(Request::Resume(upload)) = requested.recv() => self.asked_to_resume(upload),
                Some(bundle) = self.judging.join_next() => self.judged(bundle.map_err(|_| Error::Stopped)?).await?,
                Some(ended) = self.transfers.join_next() => {
                    let (upload, end) = ended.map_err(|_| Error::Stopped)?;
                    self.ended(upload, end).await?;
                }
                Some(part) = parts.join_next() => part.map_err(|_| Error::Stopped)??,
                _ = pending.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    fn weight(&self) -> usize {
        self.judging_weight + self.active.values().map(|active| active.weight).sum::<usize>()
    }

    fn patience(&self) -> Patience {
        let doublings = (self.weight() / WEIGHT_PER_DOUBLING).min(DOUBLINGS_MAX);
        Patience { pause: BUNDLE_PAUSE, wait: BUNDLE_WAIT * (1 << doublings) }
    }

    /// When something is to be done that nobody asks for.
    fn wake_at(&self) -> Option<Instant> {
        let bundle = self.packers.due(self.patience());
        let later = self.later.iter().map(|(at, _)| *at).min();
        bundle.into_iter().chain(later).chain(self.held_until).chain(self.look_again).min()
    }
}

fn weight(files: usize) -> usize {
    1 + files / FILES_PER_WEIGHT
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
