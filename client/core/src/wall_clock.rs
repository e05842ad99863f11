//! The wall clock of this machine, which may be wrong.

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, in nanoseconds since 1970-01-01 UTC.
pub(crate) fn now_ns() -> i64 {
    wall_clock_ns(SystemTime::now())
}

/// The wall clock, in seconds since 1970-01-01 UTC.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time of the wall clock, in nanoseconds since 1970-01-01 UTC.
pub(crate) fn wall_clock_ns(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
