//! Clocks and counters of one run.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::input::InputWait;
use super::stop::{Clock, Stop};
use crate::backend::{Cancel, Limits};

/// Measures a run on the thread it was started on.
pub(super) struct Meter {
    started: Instant,
    cpu_started: Duration,
    cpu_limit: Duration,
    wall_limit: Duration,
    host_calls: u64,
    host_calls_limit: u64,
    cancel: Cancel,
}

/// How long a run may wait for something else than input, while none of its code runs and looks at the clocks.
pub(crate) struct Patience {
    started: Instant,
    limit: Duration,
    input_wait: InputWait,
    cancel: Cancel,
}

impl Patience {
    /// Stops the run where it has used up its time on the clock, or was cancelled.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if self.started.elapsed().saturating_sub(self.input_wait.time()) > self.limit {
            return Err(Stop::Time { clock: Clock::Wall, limit: self.limit });
        }
        Ok(())
    }
}

impl Meter {
    pub(super) fn start(limits: &Limits, size_bytes: u64, cancel: Cancel) -> Self {
        Self {
            started: Instant::now(),
            cpu_started: thread_cpu_time(),
            cpu_limit: limits.cpu_time.for_size(size_bytes),
            wall_limit: limits.wall_time.for_size(size_bytes),
            host_calls: 0,
            host_calls_limit: limits.host_calls_for(size_bytes),
            cancel,
        }
    }

    /// Stops the run where it was cancelled or has used up a clock; `waited` is not on the wall clock.
    pub(super) fn check(&self, waited: Duration) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let (cpu, wall) = self.elapsed(waited);
        for (clock, used, limit) in [(Clock::Cpu, cpu, self.cpu_limit), (Clock::Wall, wall, self.wall_limit)] {
            if used > limit {
                return Err(Stop::Time { clock, limit });
            }
        }
        Ok(())
    }

    /// The part of it that tells how long the run may wait.
    pub(super) fn patience(&self, input_wait: InputWait) -> Patience {
        Patience { started: self.started, limit: self.wall_limit, input_wait, cancel: self.cancel.clone() }
    }

    pub(super) fn count_call(&mut self) -> Result<(), Stop> {
        self.host_calls += 1;
        if self.host_calls > self.host_calls_limit {
            return Err(Stop::HostCalls { limit: self.host_calls_limit });
        }
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        Ok(())
    }

    /// CPU time, and time on the clock without `waited`.
    pub(super) fn elapsed(&self, waited: Duration) -> (Duration, Duration) {
        (thread_cpu_time().saturating_sub(self.cpu_started), self.started.elapsed().saturating_sub(waited))
    }

    pub(super) fn host_calls(&self) -> u64 {
        self.host_calls
    }
}

fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // The kernel gives neither negative seconds nor a second's worth of nanoseconds here.
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
