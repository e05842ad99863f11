//! Looking at watched folders, on a thread of its own: what the system tells is a hint, and how rarely everything is looked
//! through depends on how far its word may be trusted. Each folder that the user named has its turn: whoever writes to one, however
//! much, keeps the others from nothing.

mod gone;
mod hints;
mod looks;
mod steps;

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::listen::Listener;
use super::mounts::{distrust, mounts_now, relevant};
use super::settle::{Settling, Sign};
use crate::error::Error;
use crate::event::{Event, Trouble};
use crate::reason::SkipReason;
use crate::rules::Rules;
use crate::source::Found;
use crate::stat::{FileStat, Seen};
use crate::taken::Taken;
use crate::teller::Teller;
use crate::tree::is_absent;
use crate::walk::{MET_AT_ONCE, Met, Root, root_of};
use steps::{Part, Whole};

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
/// Everything is watched anew at most this often.
const LISTEN_AGAIN_MIN: Duration = Duration::from_secs(30);
/// When to ask the system again that would not watch everything: later each time that it says the same, up to the second.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(60);
const LISTEN_AGAIN_MAX: Duration = Duration::from_secs(3600);
/// Files that have not come to rest are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// How soon a request to stop is noticed.
const STOP_CHECK: Duration = Duration::from_millis(250);

/// How long a root has its turn to follow hints, then to look through folders, and then to hand on files; a step that is begun is
/// ended. Patterns of rule files take some milliseconds a file.
const TURN: Duration = Duration::from_millis(20);
/// Files that have come to rest and wait until the rules are asked and somebody takes them, at most; while there are more, no others
/// of that root are looked for.
const READY_MAX: usize = 4096;

/// Why a folder is not looked through rarely in which some files gave way.
const MANY_RESTLESS: &str =
    "so many files in it are written to or held open at once that some are looked at only now and then";

/// How a folder is looked through: `None` if rarely, because the system's word is trusted.
pub(super) type Look = Option<Often>;

/// That a folder is looked through often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Often {
    pub(super) why: String,
    /// About so often.
    pub(super) every: Duration,
}

/// Folders that are watched.
pub(super) struct Folders {
    watched: Vec<Watched>,
    met: mpsc::Sender<Vec<Met>>,
    events: Teller,
    /// How each is looked through.
    looks: watch::Sender<Vec<(PathBuf, Look)>>,
    stop: CancellationToken,
    settling: Settling,
    taken: Arc<Taken>,
    listener: Listener,
    listening_since: Instant,
    /// Everything is to be watched anew, as soon as that may be done again.
    must_listen_again: bool,
    /// When to ask the system again that would not watch everything.
    listen_again_after: Duration,
    /// Why it does not tell of everything, by the places of folders, as it was said.
    told_deaf: HashSet<(usize, String)>,
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
    /// When it was seen last what has come to rest.
    rested_at: Option<Instant>,
    /// Whose turn is the first of the next round.
    first: usize,
}

/// One folder that the user named.
struct Watched {
    root: Root,
    rules: Arc<Rules>,
    next_look: Instant,
    /// From the beginning of a look to that of the next.
    pause: Duration,
    /// What the last look took; nothing before there was one.
    took: Duration,
    /// Whether everything was looked at since hints come.
    is_known: bool,
    /// A folder in it that cannot be looked into, and so cannot be watched, and why; nobody tells when it can.
    closed: Option<(PathBuf, String)>,
    /// A rule file in it that the system cannot read.
    unknown_rules: Option<PathBuf>,
    /// How it is looked through, once that is known.
    look: Option<Look>,
    /// When some of what the system told was lost.
    lost_at: Option<Instant>,
    /// Something in it went unseen since the look through all of it began.
    has_missed: bool,
    /// The look through all of it that goes on.
    whole: Option<Whole>,
    /// Folders in it to be looked through, and the one of which that goes on.
    parts: VecDeque<PathBuf>,
    part: Option<Part>,
    /// It was said that it is not there.
    is_gone: bool,
    /// What has come to rest.
    ready: VecDeque<Found>,
}

impl Watched {
    /// Whether it is looked through in small steps.
    fn is_rare(&self) -> bool {
        self.is_known && self.look == Some(None)
    }

    fn look_at_once(&mut self, now: Instant) {
        (self.next_look, self.pause, self.is_known, self.has_missed) = (now, LOOK_EVERY, false, true);
    }
}

/// What the folders are for, and who is told.
pub(super) struct Ways {
    pub(super) met: mpsc::Sender<Vec<Met>>,
    pub(super) events: Teller,
    pub(super) looks: watch::Sender<Vec<(PathBuf, Look)>>,
    pub(super) taken: Arc<Taken>,
    pub(super) stop: CancellationToken,
}

impl Folders {
    /// `rest`: how long each file must stay as it is; what is seen of its writers decides if absent. Blocks until the system
    /// watches all folders.
    pub(super) fn new(roots: Vec<(Root, Arc<Rules>)>, rest: Option<Duration>, ways: Ways) -> Self {
        let Ways { met, events, looks, taken, stop } = ways;
        let now = Instant::now();
        let watched = |(root, rules)| Watched {
            root,
            rules,
            next_look: now,
            pause: LOOK_EVERY,
            took: Duration::ZERO,
            is_known: false,
            closed: None,
            unknown_rules: None,
            look: None,
            lost_at: None,
            has_missed: false,
            whole: None,
            parts: VecDeque::new(),
            part: None,
            is_gone: false,
            ready: VecDeque::new(),
        };
        let watched: Vec<Watched> = roots.into_iter().map(watched).collect();
        let identities = watched.iter().map(|watched| identity(&watched.root)).collect();
        // What changes while the system is asked is seen, then.
        let mounts = mounts_of(&watched);
        let listener = listen(&watched);
        Self {
            watched,
            met,
            events,
            looks,
            stop,
            settling: Settling::new(rest),
            taken,
            listener,
            listening_since: now,
            must_listen_again: false,
            listen_again_after: LISTEN_AGAIN_AFTER,
            told_deaf: HashSet::new(),
            has_opened: false,
            mounts,
            identities,
            mounts_at: now,
            again: VecDeque::new(),
            unread_rules: HashSet::new(),
            rested_at: None,
            first: 0,
        }
    }

    /// Looks until it is stopped.
    pub(super) fn look(mut self) {
        self.tell_of_deaf();
        while !self.has_ended() {
            self.heed_losses();
            if self.settling.is_empty() {
                self.let_go();
            }
            self.take_rested();
            self.look_again();
            if !self.take_turns() {
                self.listener.wait(if self.settling.is_empty() { STOP_CHECK } else { TICK });
            }
        }
    }

    /// Gives each root its turn, and says whether any did something.
    fn take_turns(&mut self) -> bool {
        // Where there is room for something of one only, it is not always the same.
        self.first = (self.first + 1) % self.watched.len().max(1);
        let mut did_something = false;
        for position in (self.first..self.watched.len()).chain(0..self.first) {
            if self.has_ended() {
                break;
            }
            did_something |= self.follow_hints(position);
            did_something |= self.look_into_parts(position);
            did_something |= self.look_through(position);
            did_something |= self.hand_on(position);
        }
        did_something
    }

    /// Keeps no folder open, so that a file system that is only watched can be unmounted.
    fn let_go(&self) {
        for watched in &self.watched {
            crate::tree::close(&watched.root.path);
        }
    }

    /// What makes looking through everything necessary.
    fn heed_losses(&mut self) {
        let now = Instant::now();
        let lost_events = self.listener.has_lost_events();
        for position in 0..self.watched.len() {
            if self.listener.has_lost_hints(position) || lost_events {
                self.watched[position].lost_at = Some(now);
                self.watched[position].look_at_once(now);
            }
        }
        // Folders that it was not told of are not watched: all are, anew.
        let mut renew = lost_events | std::mem::take(&mut self.has_opened);
        if now.saturating_duration_since(self.mounts_at) >= MOUNTS_EVERY {
            self.mounts_at = now;
            self.tell_of_gone();
            self.tell_of_deaf();
            let mounts = mounts_of(&self.watched);
            let identities = self.watched.iter().map(|watched| identity(&watched.root)).collect();
            // What is watched is a folder, whatever it is called: another may have been given its name.
            if mounts != self.mounts || identities != self.identities {
                (self.mounts, self.identities) = (mounts, identities);
                renew = true;
            }
        }
        let since = now.saturating_duration_since(self.listening_since);
        renew |= since >= self.listen_again_after && self.deaf().iter().any(Option::is_some);
        if renew || self.taken.has_let_go() {
            self.look_at_once(now);
        }
        for position in 0..self.watched.len() {
            if let Some(file) = self.watched[position].rules.unknown() {
                self.watched[position].unknown_rules = Some(file);
                self.look_soon(position);
            }
        }
        self.must_listen_again |= renew;
        if self.must_listen_again && since >= LISTEN_AGAIN_MIN {
            self.listen_again(now);
        }
    }

    fn look_at_once(&mut self, now: Instant) {
        self.watched.iter_mut().for_each(|watched| watched.look_at_once(now));
    }

    /// Has everything watched anew.
    fn listen_again(&mut self, now: Instant) {
        let deaf = self.deaf();
        // What is watched twice counts twice, and there is a limit.
        self.listener.stop();
        self.listener = listen(&self.watched);
        (self.listening_since, self.must_listen_again) = (now, false);
        let as_before = deaf.iter().any(Option::is_some) && deaf == self.deaf();
        self.listen_again_after =
            if as_before { (self.listen_again_after * 2).min(LISTEN_AGAIN_MAX) } else { LISTEN_AGAIN_AFTER };
        self.tell_of_deaf();
        self.look_at_once(now);
    }

    /// For each folder why the system does not tell of everything, if so.
    fn deaf(&self) -> Vec<Option<String>> {
        (0..self.watched.len()).map(|position| self.listener.is_deaf(position)).collect()
    }

    /// Says once why the system does not tell of everything.
    fn tell_of_deaf(&mut self) {
        for (position, detail) in self.deaf().into_iter().enumerate() {
            let Some(detail) = detail.filter(|detail| !self.told_deaf.contains(&(position, detail.clone()))) else {
                continue;
            };
            let (path, is_denied) = (self.watched[position].root.path.clone(), self.listener.is_denied(position));
            let error = Error::Watch { path, detail: detail.clone(), is_denied };
            // If nobody takes it now, it is said the next time.
            if self.events.try_tell(Event::Trouble(Trouble::FolderNotWatched { error })) {
                self.told_deaf.insert((position, detail));
            }
        }
    }

    /// Notes a folder that nobody can look into, and so cannot watch, and says whether it is one. Not one that its rights keep
    /// shut: that these change is told by the folder that it lies in.
    fn note_closed(&mut self, position: usize, met: &Met) -> bool {
        let watched = &mut self.watched[position];
        let Met::Unreadable { path, reason } = met else { return false };
        if *path != watched.root.path && is_told_of(&watched.root, path).unwrap_or(false) {
            return false;
        }
        watched.closed.get_or_insert_with(|| (path.clone(), reason.clone()));
        true
    }

    /// Something in the folder went unseen: it is looked through soon, and not in small steps.
    fn look_soon(&mut self, position: usize) {
        let watched = &mut self.watched[position];
        watched.next_look = watched.next_look.min(Instant::now() + LOOK_EVERY);
        (watched.is_known, watched.has_missed) = (false, true);
    }

    /// Why the system's word about a folder is not trusted, if it is not.
    fn distrust(&self, position: usize, is_complete: bool) -> Option<String> {
        let watched = &self.watched[position];
        if let Some(why) = why_not_there(&watched.root.path) {
            return Some(why);
        }
        if let Some((_, reason)) = watched.closed.as_ref().filter(|(path, _)| *path == watched.root.path) {
            return Some(reason.clone());
        }
        if let Some(why) = self.listener.is_deaf(position) {
            return Some(why);
        }
        if self.settling.has_aside(position) {
            return Some(MANY_RESTLESS.to_owned());
        }
        if self.must_listen_again || watched.lost_at.is_some_and(|at| at.elapsed() < DISTRUST_FOR) {
            return Some("more changed than the system could tell".to_owned());
        }
        if let Some((closed, _)) = &watched.closed {
            return Some(format!("`{}` in it cannot be looked into", filemill_text::shown_path(closed)));
        }
        if let Some(file) = watched.unknown_rules.clone().or_else(|| watched.rules.unknown()) {
            return Some(format!("the rules of `{}` in it cannot be read", filemill_text::shown_path(&file)));
        }
        if !is_complete {
            return Some("there is more in it than could be looked at".to_owned());
        }
        distrust(&watched.root.path, self.mounts.as_deref())
    }

    /// Notes how a folder is looked through, and why.
    fn note_look(&mut self, position: usize, why: Look) {
        if self.watched[position].look.as_ref() != Some(&why) {
            self.watched[position].look = Some(why);
            let look = |watched: &Watched| Some((watched.root.path.clone(), watched.look.clone()?));
            self.looks.send_replace(self.watched.iter().filter_map(look).collect());
        }
    }

    /// Whether nobody wants to know any more.
    fn has_ended(&self) -> bool {
        self.stop.is_cancelled() || self.met.is_closed()
    }

    /// Whether there is room for one more file of this root.
    fn has_room(&mut self, position: usize) -> bool {
        if self.watched[position].ready.len() >= READY_MAX {
            return false;
        }
        let had_aside = self.settling.has_aside(position);
        let has_room = self.settling.make_room(position, Instant::now());
        if !had_aside && self.settling.has_aside(position) {
            self.note_look(position, Some(Often { why: MANY_RESTLESS.to_owned(), every: LOOK_EVERY }));
            self.look_soon(position);
        }
        has_room
    }

    /// Takes in something that was met in a root: a file that is new or has changed is watched until it has come to rest.
    fn consider(&mut self, position: usize, met: Met, sign: Sign) {
        if self.is_of_gone(position, &met) {
            return;
        }
        match met {
            Met::File(found) => {
                if self.taken.is_taken(&found.path, found.stat) {
                    return;
                }
                let is_followed = self.settling.has(&found.path) || self.has_room(position);
                if !is_followed || !self.settling.met(position, found, sign, Instant::now()) {
                    self.look_soon(position);
                }
            }
            Met::Skipped { path, reason } => self.skip(path, reason),
            Met::Unreadable { path, reason: detail } => self.skip(path, SkipReason::Unreadable { detail }),
            Met::Ignored { .. } | Met::Unruled { .. } => {}
        }
    }

    /// Says that it is not sent: once, and again when it has changed.
    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        if self.taken.is_taken(&path, &reason) {
            return;
        }
        // If nobody takes it now, it is said the next time.
        if self.events.try_tell(Event::Skipped { path: path.clone(), reason: reason.clone() }) {
            self.taken.take(&path, &reason);
        }
    }

    /// Takes what has come to rest, every now and then.
    fn take_rested(&mut self) {
        let now = Instant::now();
        if self.rested_at.is_some_and(|at| now.saturating_duration_since(at) < TICK) {
            return;
        }
        self.rested_at = Some(now);
        for found in self.settling.take_ready(now) {
            if let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &found.path) {
                self.watched[position].ready.push_back(found);
            }
        }
    }

    /// Hands on what has come to rest in a root, and what the rules, as they are now, do not leave out, if somebody takes it now. Says
    /// whether it did.
    fn hand_on(&mut self, position: usize) -> bool {
        let watched = &mut self.watched[position];
        if watched.ready.is_empty() {
            return false;
        }
        let Ok(permit) = self.met.try_reserve() else { return false };
        // What is watched and held open is a folder, whatever it is called by now: what lies in it was not asked for any more.
        if crate::tree::close_if_moved(&watched.root.path) {
            watched.ready.clear();
            self.mounts_at = self.mounts_at.checked_sub(MOUNTS_EVERY).unwrap_or(self.mounts_at);
            // It may be back a moment later, and what was about to be handed on is not kept in mind any more.
            drop(permit);
            self.look_soon(position);
            return true;
        }
        // Rules may have been written a moment before the file.
        watched.rules.read_again();
        let until = Instant::now() + TURN;
        let mut batch = Vec::new();
        while let Some(found) = watched.ready.pop_front() {
            // One that has changed meanwhile is kept in mind again.
            if !self.settling.has(&found.path)
                && !self.taken.is_taken(&found.path, found.stat)
                && watched.rules.left_out(&found.path, false).is_none()
            {
                self.taken.hand_on(&found.path, found.stat);
                batch.push(Met::File(found));
            }
            if batch.len() >= MET_AT_ONCE || Instant::now() >= until {
                break;
            }
        }
        if batch.is_empty() {
            drop(permit);
        } else {
            permit.send(batch);
        }
        self.tell_unread_rules();
        true
    }

    fn tell_unread_rules(&mut self) {
        let mut unread: HashSet<(PathBuf, String)> =
            self.watched.iter().flat_map(|watched| watched.rules.unread()).collect();
        unread.retain(|(path, reason)| {
            let told = self.unread_rules.contains(&(path.clone(), reason.clone()));
            let skipped = || {
                let reason = SkipReason::RulesUnread { detail: reason.clone() };
                Event::Skipped { path: path.clone(), reason }
            };
            told || self.events.try_tell(skipped())
        });
        self.unread_rules = unread;
    }
}

/// Has the system tell of what changes in these.
fn listen(watched: &[Watched]) -> Listener {
    Listener::start(&watched.iter().map(|watched| watched.root.clone()).collect::<Vec<_>>())
}

/// What of the mounts matters for these.
fn mounts_of(watched: &[Watched]) -> Option<String> {
    let roots: Vec<&Path> = watched.iter().map(|watched| &*watched.root.path).collect();
    mounts_now().map(|mounts| relevant(&mounts, &roots))
}

/// Whether the system tells when what cannot be looked into now can be: it is gone, or only its rights keep it shut.
fn is_told_of(root: &Root, path: &Path) -> io::Result<bool> {
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    let (tree, below) = root.below(path)?;
    match tree.list(below) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) if is_denied(&error) => {}
        other => return other.map(|_| false),
    }
    let device = |below: &Path| tree.look(below).map(|seen| seen.stat.device);
    match device(below) {
        // The folder that a file system is mounted in is not told of its rights.
        Ok(own) => Ok(own == device(below.parent().unwrap_or(below))?),
        Err(error) => Ok(is_denied(&error)),
    }
}

/// Why nothing can be found below the root at `path`, if it is not there.
fn why_not_there(path: &Path) -> Option<String> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some("it is no folder any more".to_owned()),
        Err(error) if is_absent(&error) => Some("it is gone: removed, or moved away".to_owned()),
        // Said by whoever looks into it.
        Err(_) => None,
    }
}

/// Which folder a root is, if it is there.
fn identity(root: &Root) -> Option<Seen> {
    let metadata = std::fs::symlink_metadata(&root.path).ok()?;
    let stat = FileStat { size: 0, modified_ns: 0, changed_ns: 0, ..FileStat::of(&metadata) };
    Some(Seen { stat, ..Seen::from(&metadata) })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
