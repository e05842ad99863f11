//! How long files of a folder must stay as they are: as long as the longest pause that a writer was seen to make there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that whoever wrote it has closed, or that was renamed, must stay as it is for this long.
pub(super) const AFTER_CLOSE: Duration = Duration::from_millis(300);
/// Any other for this long.
pub(super) const AFTER_CHANGE: Duration = Duration::from_millis(1500);
/// Longer pauses are not waited for: then whoever writes has begun anew.
pub(super) const REST_MAX: Duration = Duration::from_secs(60);
/// A rest time is forgotten by half when no such pause was seen for so many times as long, but for this long at least.
const FORGET_AFTER: u32 = 10;
const FORGET_MIN: Duration = Duration::from_secs(60);
/// Folders whose writers make pauses, at most; the shortest pause is forgotten first.
const FOLDERS_MAX: usize = 4096;

/// Rest times of folders.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// What the user asked for: the same for all.
    fixed: Option<Duration>,
    learned: HashMap<PathBuf, Learned>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    rest: Duration,
    at: Instant,
}

impl Rests {
    pub(super) fn new(fixed: Option<Duration>) -> Self {
        Self { fixed, learned: HashMap::new() }
    }

    /// How long a file in `folder` must stay as it is. `closed`: whoever wrote it has closed it.
    pub(super) fn of(&self, folder: &Path, closed: bool, now: Instant) -> Duration {
        let least = self.least(closed);
        match (self.fixed, self.learned.get(folder)) {
            (None, Some(learned)) => least.max(learned.at(now)),
            _ => least,
        }
    }

    /// What is waited for at least, whatever was seen.
    pub(super) fn least(&self, closed: bool) -> Duration {
        self.fixed.unwrap_or(if closed { AFTER_CLOSE } else { AFTER_CHANGE })
    }

    /// A file in `folder` grew after it had been as it was for `pause`.
    pub(super) fn paused(&mut self, folder: &Path, pause: Duration, now: Instant) {
        // As long as everybody waits anyway.
        if pause > REST_MAX || pause < AFTER_CLOSE * 4 / 5 || self.fixed.is_some() {
            return;
        }
        // The next pause is rarely shorter by a hair.
        let rest = (pause * 5 / 4).min(REST_MAX);
        if let Some(learned) = self.learned.get_mut(folder) {
            let known = learned.at(now);
            if rest >= known / 2 {
                *learned = Learned { rest: rest.max(known), at: now };
            }
            return;
        }
        if self.learned.len() >= FOLDERS_MAX {
            let shortest = self.learned.iter().min_by_key(|(_, learned)| learned.at(now));
            if let Some(shortest) = shortest.map(|(folder, _)| folder.clone()) {
                self.learned.remove(&shortest);
            }
        }
        self.learned.insert(folder.to_owned(), Learned { rest, at: now });
    }
}

impl Learned {
    /// What is left of it.
    fn at(&self, now: Instant) -> Duration {
        let mut rest = self.rest;
        let mut since = now.saturating_duration_since(self.at);
        while rest > AFTER_CLOSE {
            let period = (rest * FORGET_AFTER).max(FORGET_MIN);
            if since < period {
                return rest;
            }
            since -= period;
            rest /= 2;
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_folder_rests_as_long_as_the_longest_pause_in_it_and_forgets_it_again() {
        let (folder, start) = (Path::new("/a"), Instant::now());
        let mut rests = Rests::default();
        assert_eq!((rests.of(folder, true, start), rests.of(folder, false, start)), (AFTER_CLOSE, AFTER_CHANGE));
        rests.paused(folder, 4 * SECOND, start);
        assert_eq!((rests.of(folder, true, start), rests.of(folder, false, start)), (5 * SECOND, 5 * SECOND));
        assert_eq!(rests.of(Path::new("/b"), true, start), AFTER_CLOSE);
        // A shorter one changes nothing, a longer one does, and nobody waits for more than a minute.
        rests.paused(folder, SECOND, start);
        assert_eq!(rests.of(folder, true, start), 5 * SECOND);
        rests.paused(folder, 59 * SECOND, start);
        assert_eq!(rests.of(folder, true, start), REST_MAX);
        rests.paused(folder, 61 * SECOND, start);
        assert_eq!(rests.of(folder, true, start + 599 * SECOND), REST_MAX);
        assert_eq!(rests.of(folder, true, start + 600 * SECOND), REST_MAX / 2);
        assert_eq!(rests.of(folder, true, start + 3600 * SECOND), AFTER_CLOSE);
    }

    #[test]
    fn what_the_user_asked_for_holds_whatever_is_seen() {
        let (folder, now) = (Path::new("/a"), Instant::now());
        let mut rests = Rests::new(Some(2 * SECOND));
        rests.paused(folder, 30 * SECOND, now);
        assert_eq!((rests.of(folder, true, now), rests.of(folder, false, now)), (2 * SECOND, 2 * SECOND));
    }

    #[test]
    fn no_more_folders_are_remembered_than_fit() {
        let now = Instant::now();
        let mut rests = Rests::default();
        for number in 0..FOLDERS_MAX as u32 + 10 {
            rests.paused(Path::new(&format!("/{number}")), SECOND + Duration::from_millis(number.into()), now);
        }
        assert_eq!(rests.learned.len(), FOLDERS_MAX);
        assert_eq!(rests.of(Path::new("/0"), true, now), AFTER_CLOSE);
    }
}
