//! Files that are new or changed, until they have come to rest.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::writers::written_now;
use crate::source::{FileStat, Found};

/// A file that whoever wrote it has closed, or that was renamed, must stay as it is for this long.
const AFTER_CLOSE: Duration = Duration::from_millis(300);
/// Any other for this long, and nobody may have it open for writing.
const AFTER_CHANGE: Duration = Duration::from_millis(1500);

/// Files that have not come to rest.
#[derive(Default)]
pub(super) struct Settling {
    files: HashMap<PathBuf, Restless>,
}

struct Restless {
    found: Found,
    unchanged_since: Instant,
    closed: bool,
}

impl Settling {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Takes in a file that was met. `closed`: nobody writes to it any more, as far as the system says.
    pub(super) fn met(&mut self, found: Found, closed: bool, now: Instant) {
        match self.files.get_mut(&found.path) {
            Some(file) if file.found.stat == found.stat => file.closed |= closed,
            Some(file) => *file = Restless { found, unchanged_since: now, closed },
            None => {
                self.files.insert(found.path.clone(), Restless { found, unchanged_since: now, closed });
            }
        }
    }

    /// Looks at each file again, and takes out those that have come to rest. Files that are gone are forgotten.
    pub(super) fn take_ready(&mut self, now: Instant) -> Vec<Found> {
        self.take_ready_unless(now, written_now)
    }

    /// As [`Self::take_ready`]; `written` finds which of some files (device, inode) are open for writing.
    fn take_ready_unless(
        &mut self,
        now: Instant,
        written: impl FnOnce(&HashSet<(u64, u64)>) -> HashSet<(u64, u64)>,
    ) -> Vec<Found> {
        let mut perhaps = Vec::new();
        self.files.retain(|path, file| {
            let waited = now.saturating_duration_since(file.unchanged_since);
            if waited < if file.closed { AFTER_CLOSE } else { AFTER_CHANGE } {
                return true;
            }
            let Ok(seen) = file.found.look() else {
                return false;
            };
            let Ok(found) = Found::at(path.clone(), file.found.name.clone(), seen) else {
                return false;
            };
            if found.stat == file.found.stat {
                perhaps.push((found, file.closed));
            } else {
                *file = Restless { found, unchanged_since: now, closed: false };
            }
            true
        });
        let asked: HashSet<(u64, u64)> =
            perhaps.iter().filter(|(_, closed)| !closed).map(|(found, _)| identity(&found.stat)).collect();
        let written = if asked.is_empty() { HashSet::new() } else { written(&asked) };
        let mut ready = Vec::new();
        for (found, closed) in perhaps {
            if !closed && written.contains(&identity(&found.stat)) {
                continue;
            }
            // Its writer may have written and closed it before the writers were looked for, which takes a while.
            let still = || found.look().is_ok_and(|now| now.stat == found.stat);
            if !closed && !still() {
                continue;
            }
            self.files.remove(&found.path);
            ready.push(found);
        }
        ready
    }
}

fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.device, stat.inode)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn found(path: &Path) -> Found {
        Found::at(path.to_owned(), b"n".to_vec(), &fs::symlink_metadata(path).unwrap()).unwrap()
    }

    #[test]
    fn a_closed_file_is_ready_soon_and_an_open_one_only_without_a_writer() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::write(&closed, "1").unwrap();
        let open = folder.path().join("open");
        let mut writer = fs::File::create(&open).unwrap();
        writer.write_all(b"1").unwrap();
        let start = Instant::now();
        let mut settling = Settling::default();
        settling.met(found(&closed), true, start);
        settling.met(found(&open), false, start);
        assert!(settling.take_ready(start + AFTER_CLOSE / 2).is_empty());
        let ready = settling.take_ready(start + AFTER_CLOSE);
        assert_eq!(ready.len(), 1);
        assert_eq!(ready[0].path, closed);
        if cfg!(target_os = "linux") {
            assert!(settling.take_ready(start + AFTER_CHANGE).is_empty(), "taken from under its writer");
        }
        drop(writer);
        assert_eq!(settling.take_ready(start + AFTER_CHANGE).len(), 1);
        assert!(settling.is_empty());
    }

    #[test]
    fn a_file_that_is_written_and_closed_while_its_writer_is_looked_for_is_not_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = Settling::default();
        settling.met(found(&path), false, start);
        let ready = settling.take_ready_unless(start + AFTER_CHANGE, |_| {
            fs::write(&path, "12").unwrap();
            HashSet::new()
        });
        assert!(ready.is_empty(), "{ready:?}");
        assert!(settling.take_ready(start + AFTER_CHANGE * 2).is_empty(), "its change went unnoticed");
        assert_eq!(settling.take_ready(start + AFTER_CHANGE * 4).len(), 1);
    }

    #[test]
    fn a_file_that_changes_starts_anew_and_one_that_goes_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1").unwrap();
        let start = Instant::now();
        let mut settling = Settling::default();
        settling.met(found(&path), true, start);
        fs::write(&path, "12").unwrap();
        assert!(settling.take_ready(start + AFTER_CHANGE).is_empty());
        assert_eq!(settling.take_ready(start + AFTER_CHANGE * 2).len(), 1);
        settling.met(found(&path), true, start);
        fs::remove_file(&path).unwrap();
        assert!(settling.take_ready(start + AFTER_CHANGE).is_empty());
        assert!(settling.is_empty());
    }
}
