//! What a test or an operator can follow: one event a step, under the target `filemill_processor::events`.
//!
//! Events name uploads, runs, indexes and sequence numbers, and nothing that is sealed.

/// The target of every event.
pub(crate) const TARGET: &str = "filemill_processor::events";

/// Emits an event: `event!("lease", run = 1, jobs = 3)`.
macro_rules! event {
    ($name:literal $(, $($field:tt)*)?) => {
        tracing::debug!(target: $crate::telemetry::TARGET, { $($($field)*)? }, $name)
    };
}

pub(crate) use event;
