//! How long to wait before the next attempt: longer each time, and never in step with others.

use std::time::Duration;

/// Longest wait before the second attempt.
const BASE: Duration = Duration::from_millis(200);
/// Longest wait before any.
const CAP: Duration = Duration::from_secs(10);

/// Exponential backoff with full jitter: any time up to a bound that doubles. Many clients that lost the same server do
/// not come back all at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { attempts: 0 }
    }

    /// How many attempts failed.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts a failed attempt, and says how long to wait.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let bound = BASE.saturating_mul(1 << self.attempts.min(10)).min(CAP);
        self.attempts = self.attempts.saturating_add(1);
        let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        // The modulo's bias is of no consequence here.
        Duration::from_micros(random_u64() % (bound_us + 1))
    }
}

/// Any time from a half of `pause` to all of it.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let half_us = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
    Duration::from_micros(half_us + random_u64() % (half_us + 1))
}

fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness clients come back in step, which is no reason to stop.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_wait() <= BASE);
        for _ in 0..100 {
            assert!(backoff.next_wait() <= CAP);
        }
        assert_eq!(backoff.attempts(), 101);
    }
}
