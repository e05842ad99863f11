//! Releases that are kept, so that the next job of one need not wait: at most so many, and so many bytes of code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filemill_seal::Digest;
use tokio::time::Instant;

use super::error::NoRelease;
use crate::net::Backoff;

/// After so many failures that a busy machine may be to blame for, the release is, for a while.
pub(super) const SUSPICIONS: u32 = 3;

/// Releases that something is known of. What is not ready costs next to nothing.
const KEPT: usize = 256;

/// What is known of releases.
pub(crate) struct Kept<R> {
    entries: Mutex<Entries<R>>,
    most_code_bytes: usize,
}

struct Entries<R> {
    by_digest: HashMap<Digest, Entry<R>>,
    clock: u64,
}

struct Entry<R> {
    shelf: Arc<Shelf<R>>,
    used: u64,
}

/// One release's place. Whoever holds it makes the release ready; the others wait.
pub(crate) type Shelf<R> = tokio::sync::Mutex<State<R>>;

/// What came of a release.
pub(crate) enum State<R> {
    /// Nothing yet.
    Unknown,
    /// It is ready, and takes that much.
    Ready { release: Arc<R>, code_bytes: usize },
    /// It would not fit the next time either.
    Unfit(String),
    /// It could not be made ready, which may pass.
    Failed(Failed),
}

/// What to remember of failures that may pass.
pub(crate) struct Failed {
    pub(crate) why: String,
    /// How often the release itself may be to blame.
    pub(crate) suspicions: u32,
    /// Whether this is about the release alone.
    pub(crate) it_may_be: bool,
    /// It is compiled where it is in nobody's way.
    pub(crate) long: bool,
    /// When it may be tried again.
    pub(crate) again: Instant,
    pub(crate) backoff: Backoff,
}

impl Failed {
    /// How long it is not tried again; nothing if it may be.
    pub(crate) fn until_again(&self) -> Option<Duration> {
        let after = self.again.saturating_duration_since(Instant::now());
        (!after.is_zero()).then_some(after)
    }

    /// What whoever asks is told, for the next `after`.
    pub(crate) fn told(&self, after: Duration) -> NoRelease {
        let why = self.why.clone();
        if self.suspicions >= SUSPICIONS {
            return NoRelease::Suspect { why, after };
        }
        NoRelease::NotNow { why, after, it_may_be: self.it_may_be }
    }
}

impl<R> Kept<R> {
    /// Keeps code of up to `most_code_bytes` bytes that nothing runs.
    pub(crate) fn new(most_code_bytes: usize) -> Self {
        Self { entries: Mutex::new(Entries { by_digest: HashMap::new(), clock: 0 }), most_code_bytes }
    }

    /// A release's place.
    pub(crate) fn shelf(&self, digest: Digest) -> Arc<Shelf<R>> {
        let mut entries = self.lock();
        entries.clock += 1;
        let used = entries.clock;
        let entry = entries
            .by_digest
            .entry(digest)
            .or_insert_with(|| Entry { shelf: Arc::new(Shelf::new(State::Unknown)), used });
        entry.used = used;
        Arc::clone(&entry.shelf)
    }

    /// Gives up what was used longest ago, until the rest is within the bounds. What is in use stays: giving it up would free
    /// nothing.
    pub(crate) fn shrink(&self) {
        let mut entries = self.lock();
        let mut code_bytes: usize = entries.by_digest.values().map(Entry::code_bytes).sum();
        let mut by_age: Vec<(u64, Digest)> =
            entries.by_digest.iter().map(|(digest, entry)| (entry.used, *digest)).collect();
        by_age.sort_unstable_by_key(|(used, _)| *used);
        let mut gone = Vec::new();
        for (_, digest) in by_age {
            let (too_many, too_large) = (entries.by_digest.len() > KEPT, code_bytes > self.most_code_bytes);
            if !too_many && !too_large {
                break;
            }
            let Some(entry) = entries.by_digest.get(&digest) else { continue };
            if entry.is_idle() && (too_many || entry.code_bytes() > 0) {
                code_bytes = code_bytes.saturating_sub(entry.code_bytes());
                gone.extend(entries.by_digest.remove(&digest));
            }
        }
        drop(entries);
        // Unmapping takes a while; not under the lock.
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Entries<R>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Entry<R> {
    /// Nobody makes it ready, waits for it, or runs it.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.shelf) == 1
            && self.shelf.try_lock().is_ok_and(|state| match &*state {
                State::Ready { release, .. } => Arc::strong_count(release) == 1,
                State::Unknown | State::Unfit(_) | State::Failed(_) => true,
            })
    }

    /// None while it is being made ready: then it is not idle either.
    fn code_bytes(&self) -> usize {
        self.shelf.try_lock().map_or(0, |state| match &*state {
            State::Ready { code_bytes, .. } => *code_bytes,
            State::Unknown | State::Unfit(_) | State::Failed(_) => 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u32) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn keep(kept: &Kept<u32>, n: u32, code_bytes: usize) -> Arc<u32> {
        let release = Arc::new(n);
        let shelf = kept.shelf(digest(n));
        *shelf.try_lock().expect("nobody uses it") = State::Ready { release: Arc::clone(&release), code_bytes };
        drop(shelf);
        kept.shrink();
        release
    }

    fn is_kept(kept: &Kept<u32>, n: u32) -> bool {
        kept.lock().by_digest.contains_key(&digest(n))
    }

    #[test]
    fn what_was_used_longest_ago_goes_when_the_code_is_too_large() {
        let kept = Kept::new(100);
        for n in 0..3 {
            keep(&kept, n, 40);
        }
        assert_eq!([0, 1, 2].map(|n| is_kept(&kept, n)), [false, true, true]);
        // Used again, it is the other's turn.
        drop(kept.shelf(digest(1)));
        keep(&kept, 3, 40);
        assert_eq!([1, 2, 3].map(|n| is_kept(&kept, n)), [true, false, true]);
    }

    #[test]
    fn what_runs_is_not_given_up() {
        let kept = Kept::new(100);
        let running = keep(&kept, 0, 90);
        let next = keep(&kept, 1, 90);
        assert!(is_kept(&kept, 0) && is_kept(&kept, 1), "both are in use");
        drop(running);
        kept.shrink();
        assert!(!is_kept(&kept, 0) && is_kept(&kept, 1));
        drop(next);
    }

    #[test]
    fn what_is_known_to_be_unfit_costs_no_code_and_is_bounded_by_number() {
        let kept = Kept::<u32>::new(0);
        for n in 0..2 * KEPT as u32 {
            *kept.shelf(digest(n)).try_lock().expect("nobody uses it") = State::Unfit("bad".to_owned());
            kept.shrink();
        }
        assert_eq!(kept.lock().by_digest.len(), KEPT);
        assert!(is_kept(&kept, 2 * KEPT as u32 - 1));
    }
}
