//! Looking at watched folders, on a thread of its own: what the system tells is a hint, and how rarely everything is looked
//! through depends on how far its word may be trusted.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::listen::{Hint, Listener};
use super::mounts::{distrust, mounts_now};
use super::pace::Pace;
use super::settle::{Settling, Sign};
use super::taken::Taken;
use crate::error::Error;
use crate::notice::Notice;
use crate::rules::{Rules, is_rule_file};
use crate::source::{FileStat, Seen};
use crate::tree::link_met;
use crate::walk::{MET_AT_ONCE, Met, Root, classify, root_of, unreachable, walk, walk_folder};

/// Where the system's word is not trusted, folders are looked through this often, or as seldom as makes that a twentieth of the
/// time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_SHARE: u32 = 20;
/// Where it is, the time between two looks doubles up to this.
const LOOK_RARELY: Duration = Duration::from_secs(300);
/// For so long its word is not trusted any more after some of it was lost.
const DISTRUST_FOR: Duration = Duration::from_secs(600);
/// How often to see whether something was mounted, or took a folder's place.
const MOUNTS_EVERY: Duration = Duration::from_secs(5);
/// When to ask the system again that would not watch everything.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Files that have not come to rest are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// How soon a request to stop is noticed.
const STOP_CHECK: Duration = Duration::from_millis(250);

/// A folder that is new is looked through again after these times: what appeared in it before the system watched it was told by
/// nobody.
const LOOK_AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16)];
/// Such folders, at most; more are answered by looking through everything.
const LOOK_AGAIN_MAX: usize = 1024;

/// Files that have not come to rest and are kept in mind, at most; while there are more, no others are looked for.
const SETTLING_MAX: usize = 8192;
/// How long to wait until they are fewer.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// How a folder is looked through: `None` if rarely, because the system's word is trusted; else every few seconds, and why.
pub(super) type Look = Option<String>;

/// Folders that are watched.
pub(super) struct Folders {
    watched: Vec<Watched>,
    met: mpsc::Sender<Vec<Met>>,
    notices: mpsc::Sender<Notice>,
    /// How each is looked through.
    looks: watch::Sender<Vec<(PathBuf, Look)>>,
    stop: CancellationToken,
    settling: Settling,
    taken: Arc<Taken>,
    listener: Listener,
    listening_since: Instant,
    /// Why it does not tell of everything, by the places of folders, as it was said.
    told_deaf: HashSet<(usize, String)>,
    lost_at: Option<Instant>,
    /// A folder can be looked into that could not before: nobody watches it.
    has_opened: bool,
    /// The file systems that are mounted, and which folders the roots are; when that was seen.
    mounts: Option<String>,
    identities: Vec<Option<Seen>>,
    mounts_at: Instant,
    /// Folders to be looked through again, when, and for which time.
    again: VecDeque<(Instant, PathBuf, usize)>,
    /// Rule files whose rules do not hold, and why: said once, and again when it has changed.
    unread_rules: HashSet<(PathBuf, String)>,
    /// Time that looking through the folders did not take, but what was found in them.
    waited: Duration,
}

/// One folder that the user named.
struct Watched {
    root: Root,
    rules: Arc<Rules>,
    next_look: Instant,
    /// From the beginning of a look to that of the next.
    pause: Duration,
    /// Whether everything was looked at since hints come.
    is_known: bool,
    /// A folder in it that cannot be looked into, and so cannot be watched.
    closed: Option<PathBuf>,
    /// How it is looked through, once that is known.
    look: Option<Look>,
}

/// What the folders are for, and who is told.
pub(super) struct Ways {
    pub(super) met: mpsc::Sender<Vec<Met>>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) looks: watch::Sender<Vec<(PathBuf, Look)>>,
    pub(super) taken: Arc<Taken>,
    pub(super) stop: CancellationToken,
}

impl Folders {
    /// `rest`: how long each file must stay as it is; what is seen of its writers decides if absent. Blocks until the system
    /// watches all folders.
    pub(super) fn new(roots: Vec<(Root, Arc<Rules>)>, rest: Option<Duration>, ways: Ways) -> Self {
        let Ways { met, notices, looks, taken, stop } = ways;
        let now = Instant::now();
        let watched = |(root, rules)| Watched {
            root,
            rules,
            next_look: now,
            pause: LOOK_EVERY,
            is_known: false,
            closed: None,
            look: None,
        };
        let watched: Vec<Watched> = roots.into_iter().map(watched).collect();
        let identities = watched.iter().map(|watched| identity(&watched.root)).collect();
        let listener = Listener::start(&watched.iter().map(|watched| watched.root.clone()).collect::<Vec<_>>());
        Self {
            watched,
            met,
            notices,
            looks,
            stop,
            settling: Settling::new(rest),
            taken,
            listener,
            listening_since: now,
            told_deaf: HashSet::new(),
            lost_at: None,
            has_opened: false,
            mounts: mounts_now(),
            identities,
            mounts_at: now,
            again: VecDeque::new(),
            unread_rules: HashSet::new(),
            waited: Duration::ZERO,
        }
    }

    /// Looks until it is stopped.
    pub(super) fn look(mut self) {
        self.tell_of_deaf();
        while !self.stop.is_cancelled() {
            self.heed_losses();
            for position in 0..self.watched.len() {
                if self.watched[position].next_look <= Instant::now() && self.look_through(position).is_break() {
                    return;
                }
            }
            let pause = if self.settling.is_empty() { STOP_CHECK } else { TICK };
            if self.attend(pause).is_break() && self.has_ended() {
                return;
            }
        }
    }

    /// Does what has to be done all the time, and waits for hints for so long.
    fn attend(&mut self, wait: Duration) -> ControlFlow<()> {
        self.hand_on()?;
        self.take_hints(wait)?;
        self.look_again()
    }

    /// What makes looking through everything necessary.
    fn heed_losses(&mut self) {
        let now = Instant::now();
        let lost_events = self.listener.has_lost_events();
        let mut look = self.listener.has_lost_hints() || lost_events;
        if look {
            self.lost_at = Some(now);
        }
        // Folders that it was not told of are not watched: all are, anew.
        let mut renew = lost_events;
        if now.saturating_duration_since(self.mounts_at) >= MOUNTS_EVERY {
            self.mounts_at = now;
            let mounts = mounts_now();
            let identities = self.watched.iter().map(|watched| identity(&watched.root)).collect();
            // What is watched is a folder, whatever it is called: another may have been given its name.
            if mounts != self.mounts || identities != self.identities {
                (self.mounts, self.identities) = (mounts, identities);
                renew = true;
            }
        }
        renew |= std::mem::take(&mut self.has_opened);
        if now.saturating_duration_since(self.listening_since) >= LISTEN_AGAIN_AFTER {
            renew |= (0..self.watched.len()).any(|position| self.listener.is_deaf(position).is_some());
        }
        if renew {
            let roots: Vec<Root> = self.watched.iter().map(|watched| watched.root.clone()).collect();
            self.listener = Listener::start(&roots);
            self.listening_since = now;
            self.tell_of_deaf();
            look = true;
        }
        if look {
            for watched in &mut self.watched {
                (watched.next_look, watched.pause, watched.is_known) = (now, LOOK_EVERY, false);
            }
        }
    }

    /// Says once why the system does not tell of everything.
    fn tell_of_deaf(&mut self) {
        for position in 0..self.watched.len() {
            let Some(detail) = self.listener.is_deaf(position) else { continue };
            if self.told_deaf.insert((position, detail.clone())) {
                let error = Error::Watch { path: self.watched[position].root.path.clone(), detail };
                let _ = self.notices.try_send(Notice::Trouble { message: error.to_string(), hint: error.hint() });
            }
        }
    }

    /// Looks through everything: at once if the system's word is not to be trusted, or is not yet; else in small steps.
    fn look_through(&mut self, position: usize) -> ControlFlow<()> {
        let begun = Instant::now();
        let watched = &mut self.watched[position];
        let (root, rules) = (watched.root.clone(), Arc::clone(&watched.rules));
        let is_rare = watched.is_known && watched.look == Some(None);
        let was_closed = watched.closed.take().is_some();
        rules.read_again();
        self.waited = Duration::ZERO;
        let mut pace = Pace::new();
        let walked = walk(&root, &rules, |met| {
            if let (Met::Unreadable { path, .. }, None) = (&met, &self.watched[position].closed) {
                self.watched[position].closed = Some(path.clone());
            }
            self.consider(met, Sign::None);
            if self.stop.is_cancelled() {
                return ControlFlow::Break(());
            }
            self.make_room()?;
            match pace.step().filter(|_| is_rare) {
                Some(pause) => self.rest_for(pause),
                None => ControlFlow::Continue(()),
            }
        });
        if walked.is_break() && self.has_ended() {
            return ControlFlow::Break(());
        }
        if walked.is_break() && is_rare {
            // There is a reason to look through everything, and at once.
            let watched = &mut self.watched[position];
            (watched.next_look, watched.is_known) = (Instant::now(), false);
            return ControlFlow::Continue(());
        }
        // Those that have changed are looked through already.
        rules.changed();
        self.tell_unread_rules();
        let took = begun.elapsed().saturating_sub(self.waited);
        let now = Instant::now();
        let why = self.distrust(position, walked.is_continue());
        let watched = &mut self.watched[position];
        self.has_opened |= was_closed && watched.closed.is_none();
        watched.is_known = walked.is_continue();
        watched.next_look = if why.is_none() {
            watched.pause = if is_rare { (watched.pause * 2).min(LOOK_RARELY) } else { LOOK_EVERY };
            (begun + watched.pause).max(now + LOOK_EVERY)
        } else {
            now + LOOK_EVERY.max(took * LOOK_SHARE)
        };
        if watched.look.as_ref() != Some(&why) {
            watched.look = Some(why);
            let look = |watched: &Watched| Some((watched.root.path.clone(), watched.look.clone()?));
            self.looks.send_replace(self.watched.iter().filter_map(look).collect());
        }
        ControlFlow::Continue(())
    }

    /// Why the system's word about a folder is not trusted, if it is not.
    fn distrust(&self, position: usize, is_complete: bool) -> Option<String> {
        let watched = &self.watched[position];
        if let Some(why) = self.listener.is_deaf(position) {
            return Some(why);
        }
        if !is_complete {
            return Some("there is more in it than could be looked at".to_owned());
        }
        if self.lost_at.is_some_and(|at| at.elapsed() < DISTRUST_FOR) {
            return Some("more changed than the system could tell".to_owned());
        }
        if let Some(closed) = &watched.closed {
            return Some(format!("`{}` in it cannot be looked into", filemill_text::shown_path(closed)));
        }
        distrust(&watched.root.path, self.mounts.as_deref())
    }

    /// Attends to everything else for so long. Breaks off when there is a reason to look through everything at once.
    fn rest_for(&mut self, pause: Duration) -> ControlFlow<()> {
        let until = Instant::now() + pause;
        loop {
            self.heed_losses();
            if self.watched.iter().any(|watched| !watched.is_known) {
                return ControlFlow::Break(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            self.attend(left.min(if self.settling.is_empty() { STOP_CHECK } else { TICK }))?;
            if self.stop.is_cancelled() {
                return ControlFlow::Break(());
            }
        }
    }

    /// Whether nobody wants to know any more.
    fn has_ended(&self) -> bool {
        self.stop.is_cancelled() || self.met.is_closed()
    }

    fn take_hints(&mut self, wait: Duration) -> ControlFlow<()> {
        let mut next = self.listener.next(wait);
        while let Some(hint) = next {
            if self.follow(&hint).is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
            next = self.listener.next_now();
        }
        ControlFlow::Continue(())
    }

    fn follow(&mut self, hint: &Hint) -> ControlFlow<()> {
        let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &hint.path) else {
            return ControlFlow::Continue(());
        };
        let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
        // Said when the folders are looked through.
        if root.is_own(&hint.path) {
            return ControlFlow::Continue(());
        }
        if is_rule_file(&hint.path)
            && let Some(folder) = hint.path.parent()
        {
            rules.read_again();
            rules.look_at(folder);
            self.look_again_at(folder.to_owned(), Duration::ZERO, LOOK_AGAIN_AFTER.len());
        }
        if hint.is_gone {
            return ControlFlow::Continue(());
        }
        let seen = match root.below(&hint.path).and_then(|(tree, below)| tree.look(below)) {
            Ok(seen) => seen,
            Err(error) => {
                // It may be gone again.
                if link_met(&error).is_some() {
                    self.consider(unreachable(&root, hint.path.clone(), &error), Sign::None);
                }
                return ControlFlow::Continue(());
            }
        };
        if !seen.is_folder() {
            self.consider(classify(&root, hint.path.clone(), seen, &rules), hint.sign);
            return self.make_room();
        }
        self.look_again_at(hint.path.clone(), LOOK_AGAIN_AFTER[0], 1);
        self.look_into(&root, &rules, &hint.path)
    }

    /// Looks through one folder of a root.
    fn look_into(&mut self, root: &Root, rules: &Rules, folder: &Path) -> ControlFlow<()> {
        if root.is_own(folder) || rules.left_out(folder, true).is_some() {
            return ControlFlow::Continue(());
        }
        // Files may have been put into a new folder before it was watched.
        walk_folder(root, folder, rules, &mut |met| {
            self.consider(met, Sign::None);
            self.make_room()
        })
    }

    /// Has a folder looked through again in a while; `times`: which time that will be.
    fn look_again_at(&mut self, folder: PathBuf, wait: Duration, times: usize) {
        let at = Instant::now() + wait;
        // One that is about to come sees all that this one would.
        let is_same = |(other_at, other, _): &(Instant, PathBuf, usize)| {
            *other == folder && *other_at <= at && *other_at + LOOK_AGAIN_AFTER[0] >= at
        };
        if self.again.iter().any(is_same) {
            return;
        }
        if self.again.len() < LOOK_AGAIN_MAX {
            self.again.push_back((at, folder, times));
        } else if let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &folder) {
            // At once, not in small steps.
            let watched = &mut self.watched[position];
            (watched.next_look, watched.is_known) = (watched.next_look.min(at + LOOK_EVERY), false);
        }
    }

    /// Looks through folders again for which it is time.
    fn look_again(&mut self) -> ControlFlow<()> {
        for position in 0..self.watched.len() {
            for folder in self.watched[position].rules.changed() {
                self.look_again_at(folder, Duration::ZERO, LOOK_AGAIN_AFTER.len());
            }
        }
        let now = Instant::now();
        let due: Vec<(PathBuf, usize)> = {
            let (due, later) = std::mem::take(&mut self.again).into_iter().partition(|(at, ..)| *at <= now);
            self.again = later;
            let due: VecDeque<(Instant, PathBuf, usize)> = due;
            due.into_iter().map(|(_, folder, times)| (folder, times)).collect()
        };
        for (folder, times) in due {
            let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &folder) else { continue };
            let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
            if let Some(wait) = LOOK_AGAIN_AFTER.get(times) {
                self.look_again_at(folder.clone(), *wait, times + 1);
            }
            if self.look_into(&root, &rules, &folder).is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
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
    fn consider(&mut self, met: Met, sign: Sign) {
        match met {
            Met::File(found) => {
                if !self.taken.is_taken(&found.path, found.stat) {
                    self.settling.met(found, sign, Instant::now());
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

    /// Hands on what has come to rest, and what the rules, as they are now, do not leave out.
    fn hand_on(&mut self) -> ControlFlow<()> {
        let mut ready = self.settling.take_ready(Instant::now());
        if ready.is_empty() {
            return ControlFlow::Continue(());
        }
        // Rules may have been written a moment before the file.
        for watched in &self.watched {
            watched.rules.read_again();
        }
        ready.retain(|found| {
            let position = root_of(self.watched.iter().map(|watched| &watched.root), &found.path);
            position.is_some_and(|position| self.watched[position].rules.left_out(&found.path, false).is_none())
        });
        self.tell_unread_rules();
        for found in &ready {
            self.taken.hand_on(&found.path, found.stat);
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

    fn tell_unread_rules(&mut self) {
        let unread: HashSet<(PathBuf, String)> =
            self.watched.iter().flat_map(|watched| watched.rules.unread()).collect();
        for (path, reason) in unread.difference(&self.unread_rules).cloned() {
            let _ = self.notices.try_send(Notice::Skipped { path, reason });
        }
        self.unread_rules = unread;
    }
}

/// Which folder a root is, if it is there.
fn identity(root: &Root) -> Option<Seen> {
    let metadata = std::fs::symlink_metadata(&root.path).ok()?;
    let stat = FileStat { size: 0, modified_ns: 0, changed_ns: 0, ..FileStat::of(&metadata) };
    Some(Seen { stat, ..Seen::from(&metadata) })
}
