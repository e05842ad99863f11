//! The way of uploads and jobs: open to complete, leases in fair shares, what members are told of it.
//!
//! Opening, advancing, cancelling, reporting and completing go through a queue each, whose task writes what came meanwhile in one
//! transaction, as far as it is short; one task leases for all nodes. A call's future may be dropped at any time: what is being
//! written then still happens, and the rest does not.

mod advance;
mod announce;
mod batch;
mod batched;
mod bell;
mod cancel;
mod coalesce;
mod complete;
mod core;
mod events;
mod fair_share;
mod fetch;
mod handle;
mod lease;
mod leases;
pub(crate) mod masks;
mod open;
mod outcomes;
mod record;
mod report;
mod requeue;
mod resume;
mod returns;
mod types;
mod upload;
mod views;
mod waking;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::batch::{Advancing, Cancelling, Completing, Opening, Reporting};
use self::coalesce::Coalescer;
use self::handle::Inner;

pub use self::bell::Listener;
pub(crate) use self::core::Core;
pub use self::core::QueueConfig;
pub use self::events::FEW_EVENTS;
pub use self::handle::Queue;
pub use self::open::STORED_RANGES;
pub(crate) use self::record::{Happening, record};
pub(crate) use self::requeue::{Locked, unheld_state};
pub use self::types::{
    Advanced, Device, Fetched, FoundResult, Leased, LeasedUploadWork, Mark, Opened, Position, RecordedEvent,
    RecordedEvents, RecordedKind, RecordedResult,
};
pub(crate) use self::waking::Waking;

use crate::catalog::Catalog;
use crate::store::Store;

impl Queue {
    /// Starts the queue's tasks on `tracker`. They end after `stop` is cancelled and what is queued was done: cancel it
    /// when the last request was answered, and wait for the tracker before the store is closed.
    #[must_use]
    pub fn start(
        store: Store,
        config: QueueConfig,
        catalog: Catalog,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let core = Arc::new(Core::new(store, config, catalog));
        let leasing = lease::start(Arc::clone(&core), tracker, stop.clone());
        let inner = Inner {
            opening: Coalescer::start(Opening(Arc::clone(&core)), tracker, stop.clone()),
            advancing: Coalescer::start(Advancing(Arc::clone(&core)), tracker, stop.clone()),
            cancelling: Coalescer::start(Cancelling(Arc::clone(&core)), tracker, stop.clone()),
            reporting: Coalescer::start(Reporting(Arc::clone(&core)), tracker, stop.clone()),
            completing: Coalescer::start(Completing(Arc::clone(&core)), tracker, stop.clone()),
            leasing,
            core,
        };
        Self { inner: Arc::new(inner) }
    }
}
