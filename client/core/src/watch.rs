//! Watching folders. What the system tells of changes are hints only: every few seconds the folders are looked through,
//! and a file is taken when it has come to rest.

mod settle;
mod taken;
mod writers;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::engines::Wanted;
use crate::error::Error;
use crate::notice::Notice;
use crate::out::Out;
use crate::rules::Rules;
use crate::run::{Kind, Run};
use crate::tree::link_met;
use crate::walk::{MET_AT_ONCE, Met, Root, classify, folder_root, unreachable, walk, walk_folder};
use settle::Settling;
pub(crate) use taken::Taken;

/// The folders are looked through this often, or as seldom as makes that a twentieth of the time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_SHARE: u32 = 20;
/// Files that have not come to rest are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// How soon a request to stop is noticed.
const STOP_CHECK: Duration = Duration::from_millis(250);
/// Hints that wait to be looked at; more are answered by looking through everything.
const HINTS_MAX: usize = 16 << 10;

/// Files that have not come to rest and are kept in mind, at most; while there are more, no others are looked for.
const SETTLING_MAX: usize = 8192;
/// How long to wait until they are fewer.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Folders.
    pub folders: Vec<PathBuf>,
    /// Name of the engine, or `auto`: for each file the one that fits it. The only one, or `size`, if absent.
    pub engine: Option<String>,
    /// Send even content that was sent before.
    pub again: bool,
    /// gitignore patterns of what to leave out, over those of the folders' own rule files.
    pub ignore: Vec<String>,
    /// Where to keep sealed results as `NAME.age`.
    pub out: Option<PathBuf>,
}

impl Client {
    /// Sends what is in folders and what appears in them, until `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] for a folder that is none, [`Error::Glob`], and what concerns all files. Nothing is lost: the next
    /// watcher goes on.
    pub async fn watch(&self, options: WatchOptions, stop: &CancellationToken) -> Result<(), Error> {
        let roots = options.folders.iter().map(|folder| folder_root(folder)).collect::<Result<Vec<_>, _>>()?;
        for root in &roots {
            Rules::new(&root.path, &options.ignore)?;
        }
        let out = options.out.as_deref().map(Out::new).transpose()?;
        let results = out.as_ref().map(Out::folder);
        if let Some(root) = roots.iter().find(|root| Some(&*root.path) == results) {
            let detail = "it is watched itself, and they would be sent again".to_owned();
            return Err(Error::File { action: "keep results in", path: root.given.clone(), detail });
        }
        let roots: Vec<Root> = roots.into_iter().map(|root| root.without(self.home.path(), results)).collect();
        let ignore = |root: &Root| {
            options.ignore.iter().cloned().chain(results.and_then(|out| pattern(root, out))).collect::<Vec<_>>()
        };
        let ignored: Vec<Vec<String>> = roots.iter().map(ignore).collect();
        let recipe = self.recipe(&Wanted::parse(options.engine.as_deref()), true, stop).await?;
        // Now somebody sits there who can name one; what happens to the releases later only makes files wait.
        recipe.engines.check()?;
        let shared = self.shared(&recipe, roots.clone(), out, options.again, stop);
        let mut run = Run::new(Arc::clone(&shared), Kind::Watch, recipe, Arc::clone(&self.recipes));
        self.take_over(&shared, &mut run).await?;
        for (root, ignored) in roots.iter().zip(&ignored) {
            self.journal.watch(self.session.id(), &root.path, ignored, options.engine.as_deref()).await?;
        }
        let (met, found) = mpsc::channel(4);
        let looking = TaskTracker::new();
        let folders = Folders::new(
            roots,
            options.ignore,
            met,
            self.notices.clone(),
            Arc::clone(&shared.taken),
            stop.child_token(),
        );
        // A thread does not end by itself when this future is dropped.
        let guard = folders.stop.clone().drop_guard();
        looking.spawn_blocking(move || folders.look());
        looking.close();
        let result = run.run(found).await;
        drop(guard);
        looking.wait().await;
        match result {
            Err(Error::Stopped) if stop.is_cancelled() => Ok(()),
            other => other,
        }
    }
}

/// The folder for results as a pattern, for those who only know the patterns of a watcher; `None` if it is not below `root`.
fn pattern(root: &Root, out: &Path) -> Option<String> {
    let below =
        out.strip_prefix(&root.path).ok()?.to_str().filter(|below| !below.is_empty() && !below.contains('\n'))?;
    let escaped = below.chars().flat_map(|character| {
        let escape = "\\*?[]{}!# ".contains(character);
        escape.then_some('\\').into_iter().chain([character])
    });
    Some(format!("/{}/", escaped.collect::<String>()))
}

/// A hint that something happened to a path.
struct Hint {
    path: PathBuf,
    /// Whoever wrote it has closed it, or it came here as a whole.
    complete: bool,
}

/// Folders that are watched, on a thread of its own.
struct Folders {
    roots: Vec<Root>,
    globs: Vec<String>,
    met: mpsc::Sender<Vec<Met>>,
    notices: mpsc::Sender<Notice>,
    stop: CancellationToken,
    settling: Settling,
    taken: Arc<Taken>,
    /// Rule files whose rules do not hold, and why: said once, and again when it has changed.
    unread_rules: HashSet<(PathBuf, String)>,
    /// Time that looking through the folders did not take, but what was found in them.
    waited: Duration,
}

impl Folders {
    fn new(
        roots: Vec<Root>,
        globs: Vec<String>,
        met: mpsc::Sender<Vec<Met>>,
        notices: mpsc::Sender<Notice>,
        taken: Arc<Taken>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            roots,
            globs,
            met,
            notices,
            stop,
            settling: Settling::default(),
            taken,
            unread_rules: HashSet::new(),
            waited: Duration::ZERO,
        }
    }

    /// Looks until it is stopped.
    fn look(mut self) {
        let (sender, hints) = sync_channel(HINTS_MAX);
        let overflow = Arc::new(AtomicBool::new(false));
        let _watcher = self.listen(sender, Arc::clone(&overflow));
        let mut rules = self.rules();
        let mut next_look = Instant::now();
        while !self.stop.is_cancelled() {
            let now = Instant::now();
            if overflow.swap(false, Ordering::Relaxed) || now >= next_look {
                rules = self.rules();
                self.waited = Duration::ZERO;
                if self.look_through(&rules).is_break() {
                    return;
                }
                next_look = Instant::now() + LOOK_EVERY.max(now.elapsed().saturating_sub(self.waited) * LOOK_SHARE);
            }
            if self.hand_on().is_break() {
                return;
            }
            let pause = if self.settling.is_empty() { STOP_CHECK } else { TICK };
            if self.take_hints(&hints, pause, &rules).is_break() {
                return;
            }
        }
    }

    /// Asks the system for hints. Without them everything is found all the same, only later.
    fn listen(&self, hints: SyncSender<Hint>, overflow: Arc<AtomicBool>) -> Option<RecommendedWatcher> {
        let on_event = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else {
                overflow.store(true, Ordering::Relaxed);
                return;
            };
            if event.need_rescan() {
                overflow.store(true, Ordering::Relaxed);
            }
            let complete = match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_)) => {
                    true
                }
                EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => false,
                EventKind::Access(_) | EventKind::Remove(_) => return,
            };
            for path in event.paths {
                if hints.try_send(Hint { path, complete }).is_err() {
                    overflow.store(true, Ordering::Relaxed);
                }
            }
        };
        let tell = |path: &Path, error: &notify::Error| {
            let error = Error::Watch { path: path.to_owned(), detail: error.to_string() };
            let _ = self.notices.try_send(Notice::Trouble { message: error.to_string(), hint: error.hint() });
        };
        let first = self.roots.first().map(|root| root.path.clone()).unwrap_or_default();
        // Whoever can write to a folder would else have another one watched.
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(on_event, config).map_err(|error| tell(&first, &error)).ok()?;
        for root in &self.roots {
            if let Err(error) = watcher.watch(&root.path, RecursiveMode::Recursive) {
                tell(&root.path, &error);
            }
        }
        Some(watcher)
    }

    /// The rules of each folder, as they are now.
    fn rules(&mut self) -> Vec<Rules> {
        // The globs were checked before.
        let rules: Vec<Rules> = self
            .roots
            .iter()
            .map(|root| Rules::new(&root.path, &self.globs).unwrap_or_else(|_| Rules::none()))
            .collect();
        let unread: HashSet<(PathBuf, String)> =
            rules.iter().flat_map(Rules::unread).map(|(path, reason)| (path.to_owned(), reason)).collect();
        for (path, reason) in unread.difference(&self.unread_rules).cloned() {
            let _ = self.notices.try_send(Notice::Skipped { path, reason });
        }
        self.unread_rules = unread;
        rules
    }

    fn look_through(&mut self, rules: &[Rules]) -> ControlFlow<()> {
        for (root, rules) in self.roots.clone().iter().zip(rules) {
            let stop = self.stop.clone();
            let walked = walk(root, rules, |met| {
                self.consider(met, false);
                if stop.is_cancelled() { ControlFlow::Break(()) } else { self.make_room() }
            });
            if walked.is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether nobody wants to know any more.
    fn has_ended(&self) -> bool {
        self.stop.is_cancelled() || self.met.is_closed()
    }

    fn take_hints(&mut self, hints: &Receiver<Hint>, pause: Duration, rules: &[Rules]) -> ControlFlow<()> {
        let mut next = match hints.recv_timeout(pause) {
            Ok(hint) => Some(hint),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // No watcher: only looking through is left.
                std::thread::park_timeout(pause);
                None
            }
        };
        while let Some(hint) = next {
            if self.follow(&hint, rules).is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
            next = hints.try_recv().ok();
        }
        ControlFlow::Continue(())
    }

    fn follow(&mut self, hint: &Hint, rules: &[Rules]) -> ControlFlow<()> {
        let Some(position) = self.roots.iter().position(|root| hint.path.starts_with(&root.path)) else {
            return ControlFlow::Continue(());
        };
        let (root, rules) = (self.roots[position].clone(), &rules[position]);
        // Said when the folders are looked through.
        if root.is_own(&hint.path) {
            return ControlFlow::Continue(());
        }
        let seen = match root.below(&hint.path).and_then(|(tree, below)| tree.look(below)) {
            Ok(seen) => seen,
            Err(error) => {
                // It may be gone again.
                if link_met(&error).is_some() {
                    self.consider(unreachable(&root, hint.path.clone(), &error), false);
                }
                return ControlFlow::Continue(());
            }
        };
        if hint.path != root.path && rules.ignore_deep(&hint.path, seen.is_folder()) {
            return ControlFlow::Continue(());
        }
        if seen.is_folder() {
            // Files may have been put into a new folder before it was watched.
            walk_folder(&root, &hint.path, rules, &mut |met| {
                self.consider(met, false);
                self.make_room()
            })
        } else {
            self.consider(classify(&root, hint.path.clone(), seen, rules), hint.complete);
            self.make_room()
        }
    }

    /// Hands on what has come to rest if very many files have not, until they are fewer. Breaks off when that does not
    /// help: the next look through the folders finds the others.
    fn make_room(&mut self) -> ControlFlow<()> {
        if self.settling.len() < SETTLING_MAX {
            return ControlFlow::Continue(());
        }
        let start = Instant::now();
        let mut made = ControlFlow::Break(());
        while start.elapsed() < ROOM_WITHIN && !self.stop.is_cancelled() {
            self.hand_on()?;
            if self.settling.len() < SETTLING_MAX / 2 {
                made = ControlFlow::Continue(());
                break;
            }
            std::thread::sleep(TICK);
        }
        self.waited += start.elapsed();
        made
    }

    /// Takes in something that was met: a file that is new or has changed is watched until it has come to rest.
    fn consider(&mut self, met: Met, complete: bool) {
        match met {
            Met::File(found) => {
                if !self.taken.is_taken(&found.path, found.stat) {
                    self.settling.met(found, complete, Instant::now());
                }
            }
            // Said once, and again when it has changed.
            Met::Skipped { path, reason } | Met::Unreadable { path, reason } => {
                if self.taken.take(&path, &reason) {
                    let _ = self.notices.try_send(Notice::Skipped { path, reason });
                }
            }
            Met::Ignored { .. } => {}
        }
    }

    /// Hands on what has come to rest.
    fn hand_on(&mut self) -> ControlFlow<()> {
        let ready = self.settling.take_ready(Instant::now());
        for found in &ready {
            self.taken.take(&found.path, found.stat);
        }
        let mut ready = ready.into_iter().map(Met::File).peekable();
        while ready.peek().is_some() {
            let batch: Vec<Met> = ready.by_ref().take(MET_AT_ONCE).collect();
            if self.met.blocking_send(batch).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
