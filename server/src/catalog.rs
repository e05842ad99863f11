//! What can be run, and where: releases and what they say of themselves, engines that nodes bring, pools with their roots and
//! statements, whom they serve, and which nodes are there.

mod adoption;
pub(crate) mod component;
mod describing;
mod descriptions;
mod engines;
mod handle;
mod needs;
mod numbering;
mod pools;
mod presence;
mod releases;
mod roots;
mod said;
mod service;
mod told;
mod types;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use handle::{Catalog, CatalogConfig};
pub(crate) use needs::{Abilities, NeedSet};
pub use roots::PoolRoot;
pub(crate) use service::NOWHERE;
pub(crate) use told::shorten;
pub use types::{NewPools, NewRelease, Offered, PoolService, PoolSummary, Serves};

use crate::store::Store;

impl Catalog {
    /// Starts what goes on by itself on `tracker`, until `stop`.
    #[must_use]
    pub fn start(store: Store, config: CatalogConfig, tracker: &TaskTracker, stop: &CancellationToken) -> Self {
        let (catalog, spoke) = Self::with(store, config);
        tracker.spawn(presence::run(catalog.clone(), spoke, stop.clone()));
        tracker.spawn(descriptions::run(catalog.clone(), stop.clone()));
        catalog
    }
}
