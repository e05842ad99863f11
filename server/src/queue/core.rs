//! What the parts of the queue share: its database, and what is remembered of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::bell::Bell;
use super::types::Device;
use super::waking::{Waking, Woken};
use crate::catalog::Catalog;
use crate::gates::Gates;
use crate::store::Store;

/// How long things take. The times are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// How long a lease lasts without a report.
    pub lease: Duration,
    /// How long objects of replaced chunks stay for those who have a URL: its lifetime and some skew.
    pub replaced_stay: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            replaced_stay: Duration::from_secs(u64::from(filemill_api::limits::PRESIGNED_SECONDS) + 300),
        }
    }
}

/// How far the devices of one member have taken in its events.
pub(super) type DevicesTaken = HashMap<Option<Device>, (i64, i64)>;

/// What all parts share.
pub(crate) struct Core {
    pub(super) store: Store,
    pub(super) config: QueueConfig,
    pub(super) catalog: Catalog,
    /// Runs became ready or partial. One permit: the leasing task looks at everything when it wakes.
    pub(super) ready: Notify,
    /// Whose runs became ready or partial since the leasing task looked.
    pub(super) woken: Mutex<Woken>,
    /// Rung with the organisations that have new events.
    pub(crate) events: Arc<Bell<i64>>,
    /// Rung with the uploads that have new chunks.
    pub(crate) chunks: Arc<Bell<i64>>,
    /// By member, how far its devices have taken in its events (cursor and mark), as far as it is not written down yet.
    pub(super) taken: Mutex<HashMap<i64, DevicesTaken>>,
    /// When the events of members were given new cursors.
    pub(super) renumbered: Mutex<HashMap<i64, Instant>>,
    /// What members have written beside the queues.
    pub(super) members_writing: Gates<i64>,
}

impl Core {
    pub(super) fn new(store: Store, config: QueueConfig, catalog: Catalog) -> Self {
        Self {
            store,
            config,
            catalog,
            ready: Notify::new(),
            woken: Mutex::default(),
            events: Bell::new(),
            chunks: Bell::new(),
            taken: Mutex::default(),
            renumbered: Mutex::default(),
            members_writing: Gates::default(),
        }
    }

    /// How long a lease lasts without a report.
    pub(crate) fn lease(&self) -> Duration {
        self.config.lease
    }

    pub(super) fn lease_ms(&self) -> u32 {
        u32::try_from(self.config.lease.as_millis()).unwrap_or(u32::MAX)
    }

    /// Wakes the leasing task for runs that became ready or partial, when that is committed.
    pub(crate) fn wake_leasing(&self, waking: Waking) {
        if waking.is_empty() {
            return;
        }
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).add(waking);
        self.ready.notify_one();
    }
}
