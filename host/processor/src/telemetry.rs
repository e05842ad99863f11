//! What can be seen of a node: events to follow, counters, and metrics for the operator's collector.

mod events;
mod metrics;
mod totals;

pub(crate) use events::{TARGET, event};
pub(crate) use metrics::{Metrics, MetricsError};
pub use totals::Totals;
pub(crate) use totals::{Counter, Counters};
