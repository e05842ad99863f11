//! How fast a look goes on that nobody waits for.

use std::time::{Duration, Instant};

/// Things that are met in one step.
const STEP: u32 = 256;
/// What a look takes of the time of one core, one part in so many. That folders are opened is an event, too: whoever takes it
/// uses about as much again.
const SHARE: u32 = 1000;
/// The longest pause after a step: a disk that had to wake up is no reason to stand still.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Says when to pause, and for how long.
pub(super) struct Pace {
    steps: u32,
    used: Option<Duration>,
    since: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { steps: 0, used: processor_time(), since: Instant::now() }
    }

    /// One more thing was met. How long to pause now, if it is time.
    pub(super) fn step(&mut self) -> Option<Duration> {
        self.steps += 1;
        if self.steps < STEP {
            return None;
        }
        self.steps = 0;
        let used = processor_time();
        let took = match (used, self.used) {
            (Some(now), Some(before)) => now.saturating_sub(before),
            _ => self.since.elapsed(),
        };
        // What is used while it pauses counts, too.
        (self.used, self.since) = (used, Instant::now());
        Some((took * SHARE).min(PAUSE_MAX))
    }
}

/// How much processor time this thread has used.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_comes_after_a_step_and_is_much_longer_than_it() {
        let mut pace = Pace::new();
        let begun = Instant::now();
        let mut pause = None;
        for number in 1..=STEP {
            while begun.elapsed() < Duration::from_millis(10) {}
            pause = pace.step();
            assert_eq!(pause.is_some(), number == STEP);
        }
        assert!(pause.is_some_and(|pause| pause > Duration::from_millis(100) && pause <= PAUSE_MAX), "{pause:?}");
    }
}
