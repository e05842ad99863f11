//! How fast a look goes on that nobody waits for.

use std::time::Duration;

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
    used: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { steps: 0, used: processor_time() }
    }

    /// One more thing was met. How long to pause now, if it is time.
    pub(super) fn step(&mut self) -> Option<Duration> {
        self.steps += 1;
        if self.steps < STEP {
            return None;
        }
        self.steps = 0;
        // What is used while it pauses counts, too.
        let before = std::mem::replace(&mut self.used, processor_time());
        let pause = (self.used.saturating_sub(before) * SHARE).min(PAUSE_MAX);
        if cfg!(not(unix)) {
            self.used += pause;
        }
        Some(pause)
    }
}

/// How much processor time this thread has used.
#[cfg(unix)]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let used = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(used.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(used.tv_sec).unwrap_or_default(), nanoseconds)
}

/// The time that has passed, where nobody says.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;

    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGUN.elapsed()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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
