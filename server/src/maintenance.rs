//! What happens by itself: leases end, runs that rested go on, uploads are abandoned, and what nobody needs any more is deleted.
//!
//! It is the highest of the domains. What one below it wants done above it, it would write down in its transaction, and maintenance
//! would carry it out (`docs/decisions.md`): nothing needs that yet.

mod clock;
mod deletable;
mod expire;
mod handle;
mod looks;
mod retention;
mod steady;
mod sweep;
mod unrenewed;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use handle::{Maintenance, MaintenanceConfig, SweepConfig};
pub use retention::{Brought, Doomed};

use crate::catalog::Catalog;
use crate::queue::Queue;
use crate::storage::Storage;
use crate::store::Store;
use looks::Looks;

impl Maintenance {
    /// Starts what happens in the database by itself on `tracker`, until `stop`.
    #[must_use]
    pub fn start(
        store: Store,
        config: MaintenanceConfig,
        catalog: Catalog,
        queue: Queue,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let maintenance = Self { store, config: Arc::new(config), catalog, queue, looks: Arc::new(Looks::default()) };
        tracker.spawn(clock::run(maintenance.clone(), stop.clone()));
        tracker.spawn(clock::run_slow(maintenance.clone(), stop.clone()));
        tracker.spawn(steady::run(maintenance.clone(), stop.clone()));
        tracker.spawn(unrenewed::run(maintenance.clone(), stop.clone()));
        maintenance
    }

    /// Starts deleting from storage what nobody needs any more, until `stop`.
    pub fn start_sweep(&self, storage: Storage, config: SweepConfig, tracker: &TaskTracker, stop: &CancellationToken) {
        tracker.spawn(sweep::run(self.clone(), storage, config, stop.clone()));
    }
}
