//! Composes the domains: the one place that knows them all, and that none of them imports.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::Accounts;
use crate::catalog::{Catalog, CatalogConfig};
use crate::maintenance::{Maintenance, MaintenanceConfig};
use crate::queue::{Queue, QueueConfig};
use crate::store::Store;

/// How the domains are set up.
#[derive(Clone, Debug, Default)]
pub struct DomainsConfig {
    /// Nodes and pools.
    pub catalog: CatalogConfig,
    /// Leases and uploads.
    pub queue: QueueConfig,
    /// What is kept, and for how long.
    pub maintenance: MaintenanceConfig,
}

/// What the server decides, by domain, over one database. Each knows those before it. Cheap to clone.
///
/// Every call answers a refusal as the wire's [`filemill_api::ErrorBody`], whose code is the status to send; faults of the database
/// are logged where they are met and come as `internal` or `unavailable`. Every change is idempotent: a caller that got no answer
/// asks again.
#[derive(Clone)]
pub struct Domains {
    /// Who may call.
    pub accounts: Accounts,
    /// What can be run, and where.
    pub catalog: Catalog,
    /// The way of uploads and jobs.
    pub queue: Queue,
    /// What happens by itself.
    pub maintenance: Maintenance,
}

impl Domains {
    /// Starts the domains' tasks on `tracker`. They end after `stop` is cancelled and what is queued was done: cancel it
    /// when the last request was answered, and wait for the tracker before the store is closed.
    #[must_use]
    pub fn start(store: Store, config: DomainsConfig, tracker: &TaskTracker, stop: &CancellationToken) -> Self {
        let accounts = Accounts::new(store.clone());
        let catalog = Catalog::start(store.clone(), config.catalog, tracker, stop);
        let queue = Queue::start(store.clone(), config.queue, catalog.clone(), tracker, stop);
        let maintenance = Maintenance::start(store, config.maintenance, catalog.clone(), queue.clone(), tracker, stop);
        Self { accounts, catalog, queue, maintenance }
    }
}

#[cfg(test)]
mod tests {
    use filemill_api::ErrorCode;

    use super::*;
    use crate::accounts::Scope;
    use crate::store::room::tests::{fill, make_room, open};

    #[tokio::test]
    async fn whoever_changes_something_is_told_of_the_full_disk_and_the_server_goes_on_once_there_is_room() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = open(&dir).await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let domains = Domains::start(store.clone(), DomainsConfig::default(), &tasks, &stop);
        let mut refused = None;
        // Pages have room for some.
        for number in 0..1000 {
            // Each time: the domains' own tasks may have met it, and with it another connection.
            fill(&store).await;
            let name = format!("{number}-{}", "x".repeat(40));
            refused = domains.accounts.create_token(&name, &name, Scope::User, None).await.err();
            if refused.is_some() {
                break;
            }
        }
        let refused = refused.expect("the database is full");
        assert_eq!(refused.code, ErrorCode::Unavailable, "{refused:?}");
        assert!(refused.message.contains("no room"), "{refused:?}");
        make_room(&store).await;
        domains.accounts.create_token("acme", "ann", Scope::User, None).await.expect("there is room again");
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        store.close().await;
    }
}
