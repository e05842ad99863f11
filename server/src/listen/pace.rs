//! The lowest rate at which bytes have to move while a peer is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that move one way. Whoever moves them counts; one watcher judges.
#[derive(Debug, Default)]
pub(super) struct Pace {
    moved: AtomicU64,
    waiting: AtomicBool,
    judged: Mutex<Judged>,
    /// How much more than its allowance a peer can have.
    ahead_bytes: f64,
}

/// What a peer's system may have taken of an answer that nobody there has read yet. It says that there is room again in large steps: from
/// a reader of 600 bytes/s nothing is heard for minutes.
const AHEAD_BYTES: f64 = (128 << 10) as f64;

#[derive(Debug, Default)]
struct Judged {
    moved: u64,
    /// Bytes of the allowance that are used up; below 0, what was moved ahead of it.
    used: f64,
}

/// The rate asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) bytes_per_s: f64,
    pub(super) over: Duration,
}

impl Pace {
    /// Of what a peer takes: it may take it ahead.
    pub(super) fn of_taking() -> Self {
        Self { ahead_bytes: AHEAD_BYTES, ..Self::default() }
    }

    /// All bytes that have moved.
    pub(super) fn total(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Bytes moved.
    pub(super) fn moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// The peer is waited for.
    pub(super) fn wait(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Nobody waits for the peer.
    pub(super) fn rest(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts what moved for others in its place.
    pub(super) fn excuse(&self, bytes: f64) {
        self.judged().used -= bytes;
    }

    /// Whether the peer has used up its allowance, `passed` after it was last asked: what the rate asks for over its time, to which
    /// everything that moves is added again. Who is not waited for has all of it.
    pub(super) fn is_too_slow(&self, rate: Rate, passed: Duration) -> bool {
        let mut judged = self.judged();
        let moved = self.total();
        let since = moved.wrapping_sub(std::mem::replace(&mut judged.moved, moved));
        judged.used = (judged.used - since as f64).max(-self.ahead_bytes) + rate.bytes_per_s * passed.as_secs_f64();
        if !self.is_waiting() {
            judged.used = judged.used.min(0.0);
        }
        judged.used > rate.bytes_per_s * rate.over.as_secs_f64()
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { bytes_per_s: 512.0, over: Duration::from_secs(30) };

    /// How many seconds a peer lasts that moves `bytes` every `every` seconds, at most ten minutes.
    fn lasts(bytes: usize, every: u64) -> u64 {
        let pace = Pace::default();
        for second in 1..=600 {
            if second % every == 0 {
                pace.moved(bytes);
            }
            pace.wait();
            if pace.is_too_slow(RATE, Duration::from_secs(1)) {
                return second;
            }
        }
        600
    }

    #[test]
    fn a_slow_link_is_served_and_a_silent_one_is_not() {
        assert_eq!(lasts(0, 1), 31);
        assert!(lasts(100, 1) < 60);
        assert!(lasts(400, 1) < 600 && lasts(400, 1) > 60);
        assert_eq!(lasts(520, 1), 600);
        assert_eq!(lasts(600, 1), 600);
        // In pieces, as kernels hand them on.
        assert_eq!(lasts(600 * 20, 20), 600);
    }

    #[test]
    fn what_a_peers_system_took_ahead_counts_for_it_and_no_more() {
        let lasts = |bytes: usize| {
            let pace = Pace::of_taking();
            pace.moved(bytes);
            (1..=600).find(|_| {
                pace.wait();
                pace.is_too_slow(RATE, Duration::from_secs(1))
            })
        };
        assert_eq!(lasts(0), Some(31), "who takes nothing has nothing ahead");
        // A system that took 110 KB for its reader of 600 bytes/s is silent for less.
        assert!(lasts(110_000).unwrap() > 109 + 65);
        assert_eq!(lasts(1 << 30), Some(31 + 256));
        let pace = Pace::of_taking();
        pace.moved(1 << 30);
        // Nobody waits for it meanwhile, and it reads on.
        assert!((0..600).all(|_| !pace.is_too_slow(RATE, Duration::from_secs(1))));
        assert_eq!(
            (1..).find(|_| {
                pace.wait();
                pace.is_too_slow(RATE, Duration::from_secs(1))
            }),
            Some(31)
        );
    }

    #[test]
    fn who_is_not_waited_for_has_all_the_time() {
        let pace = Pace::default();
        for _ in 0..100 {
            assert!(!pace.is_too_slow(RATE, Duration::from_secs(10)));
        }
        pace.wait();
        assert!(!pace.is_too_slow(RATE, Duration::from_secs(29)));
        pace.rest();
        assert!(!pace.is_too_slow(RATE, Duration::from_secs(29)));
        pace.wait();
        assert!(!pace.is_too_slow(RATE, Duration::from_secs(29)));
        assert!(pace.is_too_slow(RATE, Duration::from_secs(2)));
    }
}
