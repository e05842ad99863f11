//! The lowest rate at which bytes have to move while a peer is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes that move one way. Whoever moves them counts; one watcher judges.
#[derive(Debug, Default)]
pub(super) struct Pace {
    moved: AtomicU64,
    waiting: AtomicBool,
    judged: Mutex<Judged>,
}

#[derive(Debug, Default)]
struct Judged {
    moved: u64,
    /// Bytes of the allowance that are used up.
    used: f64,
}

/// The rate asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) bytes_per_s: f64,
    pub(super) over: Duration,
}

impl Pace {
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

    /// Whether the peer has used up its allowance, `passed` after it was last asked: what the rate asks for over its time, to which
    /// everything that moves is added again. Who is not waited for has all of it.
    pub(super) fn is_too_slow(&self, rate: Rate, passed: Duration) -> bool {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = self.moved.load(Ordering::Relaxed);
        let since = moved.wrapping_sub(std::mem::replace(&mut judged.moved, moved));
        if !self.is_waiting() {
            judged.used = 0.0;
            return false;
        }
        judged.used = (judged.used - since as f64).max(0.0) + rate.bytes_per_s * passed.as_secs_f64();
        judged.used > rate.bytes_per_s * rate.over.as_secs_f64()
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
