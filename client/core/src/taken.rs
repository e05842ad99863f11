//! What a watcher has handed on, so that it hands nothing on twice.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was handed on, and which of it is to be handed on again one day. 16 bytes a file, and 8 more for
/// one of these, and for one of which the last is to be said.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    hash: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Hashes of what was last seen, by those of paths.
    seen: HashMap<u64, u64>,
    /// Hashes of the paths of what nobody could keep.
    left: HashSet<u64>,
    /// Hashes of the paths of files that were handed on and of which the last was not said.
    unsaid: HashSet<u64>,
    /// Some of `left` is to be found again.
    has_let_go: bool,
}

impl Taken {
    /// Whether what is at `path` was taken as it is now.
    pub(crate) fn is_taken(&self, path: &Path, now: impl Hash) -> bool {
        self.lock().seen.get(&self.hash.hash_one(path)) == Some(&self.hash.hash_one(now))
    }

    /// Takes what is at `path` as it is now. `false` if it was taken so before.
    pub(crate) fn take(&self, path: &Path, now: impl Hash) -> bool {
        let (path, now) = (self.hash.hash_one(path), self.hash.hash_one(now));
        self.lock().seen.insert(path, now) != Some(now)
    }

    /// Hands the file at `path` on as it is now.
    pub(crate) fn hand_on(&self, path: &Path, now: impl Hash) {
        let (path, now) = (self.hash.hash_one(path), self.hash.hash_one(now));
        let mut inner = self.lock();
        inner.seen.insert(path, now);
        inner.unsaid.insert(path);
    }

    /// The last of the file at `path` was said.
    pub(crate) fn said(&self, path: &Path) {
        let path = self.hash.hash_one(path);
        self.lock().unsaid.remove(&path);
    }

    /// What is at `path` was handed on and is not sent: it is handed on again when it is met the next time.
    pub(crate) fn forget(&self, path: &Path) {
        let path = self.hash.hash_one(path);
        let mut inner = self.lock();
        inner.seen.remove(&path);
        inner.unsaid.remove(&path);
    }

    /// The run that files were handed to ended before it could say the last of all: the next one is given them anew.
    pub(crate) fn forget_unsaid(&self) {
        let mut inner = self.lock();
        for path in std::mem::take(&mut inner.unsaid) {
            inner.seen.remove(&path);
        }
    }

    /// What is at `path` can be neither sent nor kept: it is found again after the next [`find_again`](Self::find_again).
    pub(crate) fn leave(&self, path: &Path) {
        let path = self.hash.hash_one(path);
        self.lock().left.insert(path);
    }

    /// Lets the watcher find what was left.
    pub(crate) fn find_again(&self) {
        let mut inner = self.lock();
        let left = std::mem::take(&mut inner.left);
        inner.has_let_go |= !left.is_empty();
        for path in left {
            inner.seen.remove(&path);
        }
    }

    /// Whether there is something to be found again since this was asked last, of which nobody else tells.
    pub(crate) fn has_let_go(&self) -> bool {
        std::mem::take(&mut self.lock().has_let_go)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_said_is_handed_on_again_after_a_run_that_ended() {
        let taken = Taken::default();
        let (said, unsaid) = (Path::new("/said"), Path::new("/unsaid"));
        taken.hand_on(said, 1);
        taken.hand_on(unsaid, 1);
        taken.said(said);
        taken.forget_unsaid();
        assert!(taken.is_taken(said, 1) && !taken.is_taken(unsaid, 1));
    }

    #[test]
    fn what_was_left_is_found_again_and_nothing_else() {
        let taken = Taken::default();
        let (kept, left) = (Path::new("/kept"), Path::new("/left"));
        assert!(taken.take(kept, 1) && taken.take(left, 1) && !taken.take(left, 1));
        taken.leave(left);
        assert!(taken.is_taken(left, 1) && !taken.has_let_go(), "not before there is a reason to look");
        taken.find_again();
        assert!(taken.has_let_go() && !taken.has_let_go(), "nobody looks for it");
        assert!(taken.is_taken(kept, 1) && !taken.is_taken(kept, 2) && !taken.is_taken(left, 1));
        assert!(taken.take(left, 1));
        taken.find_again();
        assert!(taken.is_taken(left, 1) && !taken.has_let_go(), "once");
    }
}
