//! How long to wait before something is tried again.

use std::time::Duration;

/// Doubling delays with jitter: each is 50 to 100 % of a step, so that nodes that failed together do not come back
/// together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The next delay.
    pub(crate) fn delay(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.most);
        step.mul_f64(0.5 + 0.5 * fraction())
    }

    /// Waits for the next delay. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.delay()).await;
    }

    /// Starts from the first step again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let mut bytes = [0; 2];
    // Jitter is all that is lost when the generator fails.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for step in [100, 200, 350, 350] {
            let delay = backoff.delay().as_millis();
            assert!((step / 2..=step).contains(&delay), "{delay} of {step}");
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(100));
    }
}
