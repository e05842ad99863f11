//! What maintenance needs, and how long it lets things be.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::ErrorBody;

use super::looks::Looks;
use crate::catalog::Catalog;
use crate::queue::Queue;
use crate::refusal::from_store;
use crate::store::Store;

/// How long things are kept. The times are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct MaintenanceConfig {
    /// An upload that is not complete and was not touched for so long is cancelled, and its objects go.
    pub abandoned_after: Duration,
    /// How long results are kept after their upload is finished.
    pub retention: Duration,
    /// How long they are kept if the uploader has not taken them in.
    pub retention_untaken: Duration,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            abandoned_after: Duration::from_secs(7 * 24 * 3600),
            retention: Duration::from_secs(30 * 24 * 3600),
            retention_untaken: Duration::from_secs(365 * 24 * 3600),
        }
    }
}

/// How objects that nobody needs leave storage.
#[derive(Clone, Copy, Debug)]
pub struct SweepConfig {
    /// Between two looks for objects that the rules have doomed.
    pub doomed_every: Duration,
    /// Between two listings of the bucket for objects that no row knows.
    pub orphans_every: Duration,
    /// An orphan must be older: the lifetime of a URL by which it may have come, and the skew of clocks.
    pub orphans_age: Duration,
}

impl Default for SweepConfig {
    fn default() -> Self {
        let stay = Duration::from_secs(u64::from(filemill_api::limits::PRESIGNED_SECONDS) + 300);
        Self { doomed_every: Duration::from_secs(2), orphans_every: stay, orphans_age: stay }
    }
}

/// What happens by itself over one database. Cheap to clone.
#[derive(Clone)]
pub struct Maintenance {
    pub(super) store: Store,
    pub(super) config: Arc<MaintenanceConfig>,
    pub(super) catalog: Catalog,
    pub(super) queue: Queue,
    /// What is remembered of the database's clock.
    pub(super) looks: Arc<Looks>,
}

impl Maintenance {
    /// Succeeds when the database answers.
    ///
    /// # Errors
    /// `unavailable` or `internal`.
    pub async fn health(&self) -> Result<(), ErrorBody> {
        self.store.ping().await.map_err(|error| from_store("health", &error))
    }
}
