//! Files that are new or changed, until they have come to rest.

mod aside;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::rest::{AFTER_CLOSE, REST_MAX, Rests};
use super::writers::{Writers, identity, writers_now};
use crate::source::Found;
use crate::stat::FileStat;
use crate::tree::{is_absent, link_met};
use aside::Aside;

/// A file that must rest for longer is looked at this often meanwhile, so that a pause is told from slow writing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nobody is waited for longer because of pauses that others make: a file that is written to for ever is sent now and then.
const PATIENCE: Duration = Duration::from_secs(600);
/// Files that have not come to rest and are kept in mind, at most: of one root, and of all; and those that each root has room for
/// however many these are. Where there are more, those give way that do not come to rest.
pub(super) const SETTLING_MAX: usize = 8192;
const SETTLING_MAX_ALL: usize = 4 * SETTLING_MAX;
const SETTLING_MIN: usize = 1024;
/// Of these, those that are looked at again after they gave way, at most.
const AGAIN_MAX: usize = SETTLING_MAX / 2;
/// How long a file is looked at before it gives way.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(10);
/// How often to see whether any give way.
const ROOM_CHECK: Duration = Duration::from_millis(100);
/// Files that were handed on and may still grow, at most.
const RECENT_MAX: usize = 8192;
/// Looking for writers is this part of the time at most.
const SEARCH_SHARE: u32 = 20;
/// Nobody waits for longer until they are looked for.
const SEARCH_PAUSE_MAX: Duration = Duration::from_secs(2);
/// And nobody who has closed the file: mostly nobody else has it open.
const SEARCH_PAUSE_CLOSED_MAX: Duration = Duration::from_millis(250);

/// What the system tells of a file's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing.
    None,
    /// Somebody writes to it.
    Written,
    /// Whoever wrote it has closed it, or it came here as a whole.
    Closed,
}

/// Files that have not come to rest.
pub(super) struct Settling {
    files: HashMap<PathBuf, Restless>,
    /// How many of these are kept in mind for each root.
    kept: HashMap<usize, usize>,
    aside: Aside,
    /// When it was seen last whether files of a root give way.
    room_checked: HashMap<usize, Instant>,
    rests: Rests,
    /// What was handed on last, oldest first: if it is written to again, its writer had only paused.
    recent: VecDeque<(PathBuf, Instant)>,
    handed_on: HashMap<PathBuf, (FileStat, Instant)>,
    /// When writers were looked for last, and how long they are not looked for again.
    searched: Option<(Instant, Duration)>,
}

struct Restless {
    found: Found,
    /// The place of the root that it was met in.
    root: usize,
    /// Since when it is kept in mind, and how long it had given way before.
    kept_since: Instant,
    gave_way_for: Option<Duration>,
    unchanged_since: Instant,
    /// When it was last seen to be as it is.
    looked: Instant,
    restless_since: Instant,
    closed: bool,
    /// The system told of a writer, and not that it has closed the file.
    written: bool,
    /// It was found open for writing as it is now: whoever waits for that needs no rest time.
    is_open: bool,
}

impl Settling {
    /// `rest`: how long each file must stay as it is; what is seen of the writers of each folder decides if absent.
    pub(super) fn new(rest: Option<Duration>) -> Self {
        Self {
            files: HashMap::new(),
            kept: HashMap::new(),
            aside: Aside::default(),
            room_checked: HashMap::new(),
            rests: Rests::new(rest),
            recent: VecDeque::new(),
            handed_on: HashMap::new(),
            searched: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the file at `path` is kept in mind.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Whether files of the root at this place gave way, and are looked at only now and then.
    pub(super) fn has_aside(&self, root: usize) -> bool {
        self.aside.has(root)
    }

    /// Files of the root at this place that gave way before that time were met since if they are still there.
    pub(super) fn forget_aside(&mut self, root: usize, before: Instant) {
        self.aside.forget(root, before);
    }

    /// Whether one more file of the root at this place can be kept in mind. If there is no room, those give way that were seen not to
    /// come to rest.
    pub(super) fn make_room(&mut self, root: usize, now: Instant) -> bool {
        if self.has_room(root, SETTLING_MAX) {
            return true;
        }
        let checked = self.room_checked.get(&root);
        if checked.is_some_and(|at| now.saturating_duration_since(*at) < ROOM_CHECK) {
            return false;
        }
        self.room_checked.insert(root, now);
        let rests = &self.rests;
        let gives_way = |file: &Restless| file.root == root && file.gives_way(file.rest(rests, now), now);
        let mut giving: Vec<(Instant, PathBuf)> = (self.files.iter())
            .filter(|(_, file)| gives_way(file))
            .map(|(path, file)| (file.kept_since, path.clone()))
            .collect();
        // Half of them, so that it is not as before a moment later; who came first has had its turn.
        giving.sort_unstable();
        giving.truncate(self.kept(root).div_ceil(2));
        for (_, path) in giving {
            self.give_way(&path, now);
        }
        self.has_room(root, SETTLING_MAX)
    }

    /// How many files of the root at this place are kept in mind.
    pub(super) fn kept(&self, root: usize) -> usize {
        self.kept.get(&root).copied().unwrap_or_default()
    }

    fn has_room(&self, root: usize, most: usize) -> bool {
        let kept = self.kept(root);
        kept < most && (kept < SETTLING_MIN || self.files.len() < SETTLING_MAX_ALL)
    }

    fn give_way(&mut self, path: &Path, now: Instant) {
        if let Some(file) = self.remove(path) {
            self.aside.put(path, file.root, (file.written, file.restless_since, file.gave_way_for), now);
        }
    }

    fn remove(&mut self, path: &Path) -> Option<Restless> {
        let file = self.files.remove(path)?;
        forget_one(&mut self.kept, file.root);
        Some(file)
    }

    /// Takes in a file that was met in the root at this place. `false` if there is no room for it.
    pub(super) fn met(&mut self, root: usize, found: Found, sign: Sign, now: Instant) -> bool {
        let sign = if sign == Sign::Closed && self.is_written_elsewhere(&found) { Sign::Written } else { sign };
        let closed = sign == Sign::Closed;
        if let Some(file) = self.files.get_mut(&found.path) {
            if file.found.stat != found.stat {
                file.changed(&mut self.rests, found, now);
            }
            match sign {
                Sign::None => {}
                Sign::Written => (file.closed, file.written) = (false, true),
                Sign::Closed => (file.closed, file.written) = (true, false),
            }
            return true;
        }
        let mut written = sign == Sign::Written;
        let (mut restless_since, mut gave_way_for) = (now, None);
        if closed {
            // Whoever kept it from coming to rest has let go of it.
            self.aside.take(&found.path);
        } else if let Some(aside) = self.aside.met(&found.path, written, now) {
            if now < aside.until || !self.has_room(root, AGAIN_MAX) {
                return true;
            }
            (written, restless_since, gave_way_for) = (aside.written, aside.restless_since, Some(aside.wait));
            self.aside.take(&found.path);
        }
        if gave_way_for.is_none() && !self.make_room(root, now) {
            return false;
        }
        self.was_it_paused(&found, now);
        let file = Restless {
            root,
            kept_since: now,
            gave_way_for,
            unchanged_since: now,
            looked: now,
            restless_since,
            closed,
            written,
            is_open: false,
            found,
        };
        self.files.insert(file.found.path.clone(), file);
        *self.kept.entry(root).or_default() += 1;
        true
    }

    /// Whether it came here under another name while somebody wrote to it, who has not closed it.
    fn is_written_elsewhere(&self, found: &Found) -> bool {
        let is_it = |file: &Restless| file.written && identity(&file.found.stat) == identity(&found.stat);
        !self.files.contains_key(&found.path) && self.files.values().any(is_it)
    }

    /// Looks at each file again, and takes out those that have come to rest. Files that are gone are forgotten, not those that
    /// cannot be looked at for a while.
    pub(super) fn take_ready(&mut self, now: Instant) -> Vec<Found> {
        self.take_ready_unless(now, writers_now)
    }

    /// As [`Self::take_ready`]; `search` finds who has some files open for writing.
    fn take_ready_unless(&mut self, now: Instant, search: impl FnOnce(&[&Found]) -> Writers) -> Vec<Found> {
        let mut perhaps = Vec::new();
        let rests = &mut self.rests;
        let searched = self.searched;
        // Until they are looked for, nothing is decided of any file, and it needs not be looked at.
        let may_search = |closed: bool| {
            let most = if closed { SEARCH_PAUSE_CLOSED_MAX } else { SEARCH_PAUSE_MAX };
            searched.is_none_or(|(at, pause)| now.saturating_duration_since(at) >= pause.min(most))
        };
        let (kept, mut giving) = (&mut self.kept, Vec::new());
        self.files.retain(|path, file| {
            let root = file.root;
            let mut forget = || {
                forget_one(kept, root);
                false
            };
            let rest = file.rest(rests, now);
            let waited = now.saturating_duration_since(file.unchanged_since);
            let is_due = waited >= rest && may_search(file.closed);
            if !is_due && now.saturating_duration_since(file.looked) < LOOK_EVERY {
                return true;
            }
            let seen = match file.found.look() {
                Ok(seen) => seen,
                Err(error) => {
                    file.looked = now;
                    let is_kept = may_pass(&error) && now.saturating_duration_since(file.restless_since) < PATIENCE;
                    return is_kept || forget();
                }
            };
            let Ok(found) = Found::at(path.clone(), file.found.name.clone(), seen) else {
                return forget();
            };
            if found.stat != file.found.stat {
                file.changed(rests, found, now);
                return true;
            }
            file.looked = now;
            if file.gave_way_for.is_some() && file.gives_way(rest, now) {
                giving.push(path.clone());
            }
            if is_due {
                perhaps.push((found, file.closed, file.written, waited));
            }
            true
        });
        let ready = self.without_writer(perhaps, now, search);
        // Those of them that are ready are not kept in mind any more.
        for path in giving {
            self.give_way(&path, now);
        }
        ready
    }

    /// Those of files that rested for long enough, each with whether it was closed, was written to, and how long it rested, that nobody
    /// has open for writing. They are taken out.
    fn without_writer(
        &mut self,
        perhaps: Vec<(Found, bool, bool, Duration)>,
        now: Instant,
        search: impl FnOnce(&[&Found]) -> Writers,
    ) -> Vec<Found> {
        if perhaps.is_empty() {
            return Vec::new();
        }
        let asked: Vec<&Found> = perhaps.iter().map(|(found, ..)| found).collect();
        let begun = Instant::now();
        let Writers { written, unknown } = search(&asked);
        // From the time that the caller has: what it took is over when it asks again.
        self.searched = Some((now, begun.elapsed() * SEARCH_SHARE));
        let mut ready = Vec::new();
        for (found, closed, is_written, waited) in perhaps {
            let id = identity(&found.stat);
            if written.contains(&id) {
                if let Some(file) = self.files.get_mut(&found.path) {
                    file.is_open = true;
                }
                continue;
            }
            // Its writer may be somebody whose files nobody may see: the system would tell if it had closed it.
            if !closed && is_written && waited < REST_MAX && unknown.contains(&id) {
                continue;
            }
            // Its writer may have written and closed it before the writers were looked for, which takes a while.
            let still = || found.look().is_ok_and(|now| now.stat == found.stat);
            if !closed && !still() {
                continue;
            }
            self.remove(&found.path);
            self.remember(&found, now);
            ready.push(found);
        }
        ready
    }

    /// Keeps in mind how a file was that is handed on.
    fn remember(&mut self, found: &Found, now: Instant) {
        while self.recent.len() >= RECENT_MAX
            || self.recent.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > REST_MAX * 2)
        {
            let Some((path, at)) = self.recent.pop_front() else { break };
            if self.handed_on.get(&path).is_some_and(|(_, latest)| *latest == at) {
                self.handed_on.remove(&path);
            }
        }
        self.handed_on.insert(found.path.clone(), (found.stat, now));
        self.recent.push_back((found.path.clone(), now));
    }

    /// Learns from a file that was handed on and is written to again: its writer had only paused.
    fn was_it_paused(&mut self, found: &Found, now: Instant) {
        let (Some((former, at)), Some(folder)) = (self.handed_on.get(&found.path), found.path.parent()) else { return };
        let pause = match identity(former) == identity(&found.stat) {
            true => pause_between(former, &found.stat),
            // A program that saves by putting a new file in the place of the former; the times of that may be any.
            false => Some(now.saturating_duration_since(*at) + AFTER_CLOSE),
        };
        if let Some(pause) = pause {
            self.rests.paused(folder, pause, now);
        }
    }
}

impl Restless {
    /// It is another now.
    fn changed(&mut self, rests: &mut Rests, found: Found, now: Instant) {
        if let (Some(pause), Some(folder)) = (pause_between(&self.found.stat, &found.stat), found.path.parent())
            && !self.is_open
        {
            // For so long it is known to have been as it was; what lies between two looks may have been slow writing.
            let seen = self.looked.saturating_duration_since(self.unchanged_since) + LOOK_EVERY;
            rests.paused(folder, pause.min(seen), now);
        }
        *self = Self { found, unchanged_since: now, looked: now, closed: false, is_open: false, ..*self };
    }

    /// Whether it is to give way: it was looked at for a while, and somebody has it open, changed it meanwhile, or it should have come to
    /// rest long ago. A file that only has to rest for a long time does not.
    fn gives_way(&self, rest: Duration, now: Instant) -> bool {
        let since = |then: Instant| now.saturating_duration_since(then);
        since(self.kept_since) >= GIVES_WAY_AFTER
            && (self.is_open
                || self.unchanged_since > self.kept_since
                || since(self.unchanged_since) >= rest + GIVES_WAY_AFTER)
    }

    fn rest(&self, rests: &Rests, now: Instant) -> Duration {
        if now.saturating_duration_since(self.restless_since) > PATIENCE {
            return rests.least(self.closed);
        }
        rests.of(self.found.path.parent().unwrap_or(Path::new("")), self.closed, now)
    }
}

fn forget_one(kept: &mut HashMap<usize, usize>, root: usize) {
    if let Some(kept) = kept.get_mut(&root) {
        *kept = kept.saturating_sub(1);
    }
}

/// For how long a file was not written to, if it is the same one and was written to since. It need not have grown: one that has all of
/// its length from the beginning is filled in parts.
fn pause_between(former: &FileStat, now: &FileStat) -> Option<Duration> {
    let pause_ns = u64::try_from(now.modified_ns.saturating_sub(former.modified_ns)).ok()?;
    (identity(former) == identity(now)).then(|| Duration::from_nanos(pause_ns))
}

/// Whether a file that cannot be looked at may be as it was: too many files are open, a disk or a network does not answer, …
fn may_pass(error: &io::Error) -> bool {
    // Of a folder that is opened again the system tells.
    !is_absent(error) && link_met(error).is_none() && error.kind() != io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests;
