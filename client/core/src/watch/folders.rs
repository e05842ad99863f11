//! Looking at watched folders, on a thread of its own: what the system tells is a hint, and how rarely everything is looked
//! through depends on how far its word may be trusted.

mod hints;

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::listen::Listener;
use super::mounts::{distrust, mounts_now, relevant};
use super::pace::Pace;
use super::settle::{Settling, Sign};
use super::taken::Taken;
use crate::error::Error;
use crate::notice::Notice;
use crate::rules::Rules;
use crate::source::{FileStat, Seen};
use crate::walk::{MET_AT_ONCE, Met, Root, root_of, walk};

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
    /// Everything is to be watched anew, as soon as that may be done again.
    must_listen_again: bool,
    /// When to ask the system again that would not watch everything.
    listen_again_after: Duration,
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
    /// A folder in it that cannot be looked into, and so cannot be watched; nobody tells when it can.
    closed: Option<PathBuf>,
    /// How it is looked through, once that is known.
    look: Option<Look>,
}

impl Watched {
    /// Whether it is looked through in small steps.
    fn is_rare(&self) -> bool {
        self.is_known && self.look == Some(None)
    }
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
        // What changes while the system is asked is seen, then.
        let mounts = mounts_of(&watched);
        let listener = listen(&watched);
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
            must_listen_again: false,
            listen_again_after: LISTEN_AGAIN_AFTER,
            told_deaf: HashSet::new(),
            lost_at: None,
            has_opened: false,
            mounts,
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
        if self.settling.is_empty() {
            self.let_go();
        }
        self.hand_on()?;
        self.take_hints(wait)?;
        self.look_again()
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
        let has_lost = self.listener.has_lost_hints() || lost_events;
        if has_lost {
            self.lost_at = Some(now);
        }
        // Folders that it was not told of are not watched: all are, anew.
        let mut renew = lost_events | std::mem::take(&mut self.has_opened);
        if now.saturating_duration_since(self.mounts_at) >= MOUNTS_EVERY {
            self.mounts_at = now;
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
        if has_lost || renew || self.taken.has_let_go() {
            self.look_at_once(now);
        }
        for position in 0..self.watched.len() {
            if self.watched[position].rules.unknown().is_some() {
                self.look_soon(position);
            }
        }
        self.must_listen_again |= renew;
        if self.must_listen_again && since >= LISTEN_AGAIN_MIN {
            self.listen_again(now);
        }
    }

    fn look_at_once(&mut self, now: Instant) {
        for watched in &mut self.watched {
            (watched.next_look, watched.pause, watched.is_known) = (now, LOOK_EVERY, false);
        }
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
            let error = Error::Watch { path: self.watched[position].root.path.clone(), detail: detail.clone() };
            let notice = Notice::Trouble { message: error.to_string(), hint: error.hint() };
            // If nobody takes it now, it is said the next time.
            if self.notices.try_send(notice).is_ok() {
                self.told_deaf.insert((position, detail));
            }
        }
    }

    /// Looks through everything: at once if the system's word is not to be trusted, or is not yet; else in small steps.
    fn look_through(&mut self, position: usize) -> ControlFlow<()> {
        let begun = Instant::now();
        let watched = &mut self.watched[position];
        let (root, rules) = (watched.root.clone(), Arc::clone(&watched.rules));
        let is_rare = watched.is_rare();
        let was_closed = watched.closed.take().is_some();
        rules.read_again();
        rules.unknown();
        let others_waited = std::mem::take(&mut self.waited);
        let mut pace = Pace::new();
        let walked = walk(&root, &rules, |met| {
            if let Some(met) = met {
                self.note_closed(position, &met);
                self.consider(met, Sign::None);
            }
            if self.stop.is_cancelled() {
                return ControlFlow::Break(());
            }
            self.make_room()?;
            match pace.step().filter(|_| is_rare) {
                Some(pause) => self.rest_for(position, pause),
                None => ControlFlow::Continue(()),
            }
        });
        let took = begun.elapsed().saturating_sub(self.waited);
        // It may have been a pause of another look.
        self.waited = others_waited + begun.elapsed();
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

    /// Notes a folder that nobody can look into, and so cannot watch, and says whether it is one. Not one that its rights keep
    /// shut: that these change is told by the folder that it lies in.
    fn note_closed(&mut self, position: usize, met: &Met) -> bool {
        let watched = &mut self.watched[position];
        let Met::Unreadable { path, .. } = met else { return false };
        if *path != watched.root.path && is_told_of(&watched.root, path).unwrap_or(false) {
            return false;
        }
        watched.closed.get_or_insert_with(|| path.clone());
        true
    }

    /// Something in the folder went unseen: it is looked through soon, and not in small steps.
    fn look_soon(&mut self, position: usize) {
        let watched = &mut self.watched[position];
        (watched.next_look, watched.is_known) = (watched.next_look.min(Instant::now() + LOOK_EVERY), false);
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
        if self.must_listen_again || self.lost_at.is_some_and(|at| at.elapsed() < DISTRUST_FOR) {
            return Some("more changed than the system could tell".to_owned());
        }
        if let Some(closed) = &watched.closed {
            return Some(format!("`{}` in it cannot be looked into", filemill_text::shown_path(closed)));
        }
        if let Some(file) = watched.rules.unknown() {
            return Some(format!("the rules of `{}` in it cannot be read", filemill_text::shown_path(&file)));
        }
        distrust(&watched.root.path, self.mounts.as_deref())
    }

    /// Attends to everything else for so long, while the folder at `position` is looked through in small steps. Breaks off when
    /// there is a reason to look through it at once.
    fn rest_for(&mut self, position: usize, pause: Duration) -> ControlFlow<()> {
        let until = Instant::now() + pause;
        loop {
            self.heed_losses();
            // These are not looked through in small steps, and do not come here again.
            for other in 0..self.watched.len() {
                if other != position
                    && !self.watched[other].is_rare()
                    && self.watched[other].next_look <= Instant::now()
                {
                    self.look_through(other)?;
                }
            }
            if !self.watched[position].is_known {
                return ControlFlow::Break(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            let tick = if self.settling.is_empty() { STOP_CHECK } else { TICK };
            if self.attend(left.min(tick)).is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
        }
    }

    /// Whether nobody wants to know any more.
    fn has_ended(&self) -> bool {
        self.stop.is_cancelled() || self.met.is_closed()
    }

    /// Hands on what has come to rest if very many files have not, until they are fewer. Breaks off when that does not
    /// help: a look through the folders finds the others.
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
                if !self.taken.is_taken(&path, &reason) {
                    let notice = Notice::Skipped { path: path.clone(), reason: reason.clone() };
                    // If nobody takes it now, it is said the next time.
                    if self.notices.try_send(notice).is_ok() {
                        self.taken.take(&path, &reason);
                    }
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
        // What is watched and held open is a folder, whatever it is called by now: what lies in it was not asked for any more.
        let moved: Vec<bool> =
            self.watched.iter().map(|watched| crate::tree::close_if_moved(&watched.root.path)).collect();
        for position in (0..moved.len()).filter(|position| moved[*position]) {
            self.mounts_at = self.mounts_at.checked_sub(MOUNTS_EVERY).unwrap_or(self.mounts_at);
            // It may be back a moment later, and what was about to be handed on is not kept in mind any more.
            self.look_soon(position);
        }
        // Rules may have been written a moment before the file.
        for watched in &self.watched {
            watched.rules.read_again();
        }
        ready.retain(|found| {
            let position = root_of(self.watched.iter().map(|watched| &watched.root), &found.path);
            position.is_some_and(|position| {
                !moved[position] && self.watched[position].rules.left_out(&found.path, false).is_none()
            })
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
        let mut unread: HashSet<(PathBuf, String)> =
            self.watched.iter().flat_map(|watched| watched.rules.unread()).collect();
        unread.retain(|(path, reason)| {
            let told = self.unread_rules.contains(&(path.clone(), reason.clone()));
            told || self.notices.try_send(Notice::Skipped { path: path.clone(), reason: reason.clone() }).is_ok()
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

/// Which folder a root is, if it is there.
fn identity(root: &Root) -> Option<Seen> {
    let metadata = std::fs::symlink_metadata(&root.path).ok()?;
    let stat = FileStat { size: 0, modified_ns: 0, changed_ns: 0, ..FileStat::of(&metadata) };
    Some(Seen { stat, ..Seen::from(&metadata) })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
