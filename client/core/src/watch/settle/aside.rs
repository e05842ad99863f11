//! Files that did not come to rest and gave way to others: they are looked at again now and then.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long such a file waits until it is looked at again: twice as long each time, up to the second.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Files that are remembered, at most; the others are as new when they are met again.
const ASIDE_MAX: usize = 128 << 10;

/// Files that gave way, by the hashes of their paths.
#[derive(Default)]
pub(super) struct Aside {
    hash: RandomState,
    files: HashMap<u64, GaveWay>,
    /// How many there are of each root.
    number: HashMap<usize, usize>,
}

#[derive(Clone, Copy)]
pub(super) struct GaveWay {
    root: usize,
    /// When it may be looked at again, and how long it waits for that.
    pub(super) until: Instant,
    pub(super) wait: Duration,
    /// The system told of a writer, and not that it has closed the file.
    pub(super) written: bool,
    pub(super) restless_since: Instant,
    met: Instant,
}

impl Aside {
    /// Remembers the file at `path`: whether somebody writes to it, since when it has no rest, and how long it waited the last time.
    pub(super) fn put(
        &mut self,
        path: &Path,
        root: usize,
        (written, restless_since, waited): (bool, Instant, Option<Duration>),
        now: Instant,
    ) {
        if self.files.len() < ASIDE_MAX {
            let wait = waited.map_or(WAIT, |waited| (waited * 2).min(WAIT_MAX));
            let file = GaveWay { root, until: now + wait, wait, written, restless_since, met: now };
            if self.files.insert(self.hash.hash_one(path), file).is_none() {
                *self.number.entry(root).or_default() += 1;
            }
        }
    }

    /// The file at `path`, if it gave way: it was met now. `written`: the system told of a writer.
    pub(super) fn met(&mut self, path: &Path, written: bool, now: Instant) -> Option<GaveWay> {
        let file = self.files.get_mut(&self.hash.hash_one(path))?;
        file.met = now;
        file.written |= written;
        Some(*file)
    }

    /// The file at `path` does not wait any more.
    pub(super) fn take(&mut self, path: &Path) {
        if let Some(file) = self.files.remove(&self.hash.hash_one(path)) {
            self.number.entry(file.root).and_modify(|number| *number -= 1);
        }
    }

    pub(super) fn has(&self, root: usize) -> bool {
        self.number.get(&root).is_some_and(|number| *number > 0)
    }

    /// Forgets those of a root that were not met since then.
    pub(super) fn forget(&mut self, root: usize, before: Instant) {
        if self.has(root) {
            self.files.retain(|_, file| file.root != root || file.met >= before);
            self.number.insert(root, self.files.values().filter(|file| file.root == root).count());
        }
    }
}
