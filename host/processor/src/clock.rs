//! The clock that leases are measured with.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started. Unlike `Instant` it goes on while the machine sleeps, so that a node that was
/// suspended for longer than its leases knows, when it wakes up, that they may have passed to another.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
