//! How long to wait before something is tried again: longer each time, and never in step with others.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest that anybody who asks for time is given.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Doubling delays with jitter: each is 50 to 100 % of a step, so that many that failed together do not come back together, and
/// none comes back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    attempts: u32,
}

impl Backoff {
    /// Steps from `first` to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first, attempts: 0 }
    }

    /// How many delays there were since the beginning or the last [`reset`](Self::reset): how many attempts failed.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts a failed attempt, and says how long to wait before the next.
    pub fn delay(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.most);
        self.attempts = self.attempts.saturating_add(1);
        jittered(step)
    }

    /// Counts a failed attempt, and waits. Cancel safe: it is counted at once.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.delay()).await;
    }

    /// Starts from the first step again.
    pub fn reset(&mut self) {
        self.next = self.first;
        self.attempts = 0;
    }
}

/// Any time from a half of `pause` to all of it.
pub fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half.saturating_add((pause - half).mul_f64(fraction()))
}

/// How long an answer asks to be left alone for, where it says so in seconds: a minute at most. Dates are not read: they would be as
/// wrong as the clocks are.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness jitter is all that is lost, which is no reason to stop.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for step in [100, 200, 350, 350] {
            let delay = backoff.delay().as_millis();
            assert!((step / 2..=step).contains(&delay), "{delay} of {step}");
        }
        assert_eq!(backoff.attempts(), 4);
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert!(backoff.delay() <= Duration::from_millis(100));
    }

    #[test]
    fn delays_stay_within_bounds_however_many_there_were() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        for _ in 0..100 {
            assert!(backoff.delay() <= Duration::from_secs(10));
        }
        assert_eq!(backoff.attempts(), 100);
        assert!(Backoff::new(Duration::MAX, Duration::MAX).delay() >= Duration::MAX / 2);
    }

    #[test]
    fn delays_of_the_same_step_differ() {
        let delays: std::collections::HashSet<Duration> = (0..20).map(|_| jittered(Duration::from_secs(1))).collect();
        assert!(delays.len() > 1, "{delays:?}");
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn nobody_is_made_to_wait_for_longer_than_a_minute_by_a_header() {
        let asked =
            |value: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]));
        assert_eq!(asked("3"), Some(Duration::from_secs(3)));
        assert_eq!(asked("0"), Some(Duration::ZERO));
        assert_eq!(asked("18446744073709551615"), Some(Duration::from_secs(60)));
        for none in ["", "-1", "soon", "1.5", "99999999999999999999", "Fri, 01 Jan 2100 00:00:00 GMT"] {
            assert_eq!(asked(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
