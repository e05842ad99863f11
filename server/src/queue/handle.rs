//! The queue's handle: the ways into its tasks.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::batch::{Advancing, Cancelling, Completing, Opening, Reporting};
use super::coalesce::Coalescer;
use super::core::Core;
use super::lease::LeaseAsk;

/// The queue of one database. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    pub(super) inner: Arc<Inner>,
}

/// The ways into the tasks.
pub(super) struct Inner {
    pub(super) core: Arc<Core>,
    pub(super) opening: Coalescer<Opening>,
    pub(super) advancing: Coalescer<Advancing>,
    pub(super) cancelling: Coalescer<Cancelling>,
    pub(super) reporting: Coalescer<Reporting>,
    pub(super) completing: Coalescer<Completing>,
    pub(super) leasing: mpsc::Sender<LeaseAsk>,
}

impl Queue {
    /// What its parts share.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }
}
