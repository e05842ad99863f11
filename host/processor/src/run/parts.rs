//! What it takes to run the files of a leased span.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::context::SpanContext;
use super::job::Job;
use crate::input::{Fetcher, Streaming};
use crate::leases::{Lease, Renewal, Stop};
use crate::results::Completions;
use crate::shutdown::Shutdown;
use crate::slots::Slots;

/// What every span takes.
pub(crate) struct Parts {
    pub(crate) slots: Arc<Slots<Job>>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) completions: Arc<Completions>,
    /// Files streamed at once. There are workers for as many and for every slot beside them, so that files that lie
    /// in memory always find a thread, and give their memory back.
    pub(crate) streaming: Arc<Streaming>,
    pub(crate) shutdown: Shutdown,
    /// Attends to uploads, spans and chunks.
    pub(crate) tasks: TaskTracker,
}

/// One leased span at work.
pub(super) struct Span {
    pub(super) parts: Arc<Parts>,
    pub(super) context: Arc<SpanContext>,
    pub(super) fetcher: Arc<Fetcher>,
}

impl Parts {
    /// Why jobs of a lease were dropped unrun.
    pub(super) fn why_dropped(&self, lease: &Lease) -> Stop {
        if lease.ended().is_some() {
            Stop::Over
        } else if self.shutdown.is_draining() {
            Stop::ShuttingDown
        } else {
            Stop::Fault("a job was not seen through".to_owned())
        }
    }
}
