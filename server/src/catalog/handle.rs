//! The catalog's handle, and what is remembered behind it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

use super::describing::Describing;
use super::needs::{Abilities, Numbers};
use super::types::NewPools;
use crate::gates::Gates;
use crate::recent::Recent;
use crate::store::Store;

/// Nodes that wait to be written down. What comes while it is full is left out: those speak again within seconds.
pub(super) const QUEUE: usize = 4096;

/// Pool and id of a node.
pub(super) type Node = (String, String);

/// Whom to believe, and for how long. The time is meant for production; tests shorten it.
#[derive(Clone, Debug)]
pub struct CatalogConfig {
    /// How long a node counts as present after it asked for work.
    pub node_present: Duration,
    /// Whose statement counts of a pool that nobody has named a root of.
    pub new_pools: NewPools,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self { node_present: Duration::from_secs(60), new_pools: NewPools::First }
    }
}

/// The catalog of one database. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    pub(super) core: Arc<Core>,
    pub(super) speaking: mpsc::Sender<Node>,
}

/// What is remembered of the catalog.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) config: CatalogConfig,
    /// What releases need. They never change.
    pub(super) needs: Mutex<HashMap<String, i64>>,
    /// Pools that have said something.
    pub(super) pools: Recent<String>,
    /// Pools that serve everyone.
    pub(super) serve_everyone: Recent<String>,
    /// Which organisations (row, pool) are served.
    pub(super) served: Recent<(i64, String)>,
    /// Signatures of pools' roots that were checked, by the SHA-256 of all that was.
    pub(super) signed: Mutex<HashSet<[u8; 32]>>,
    /// What the numbers of needs stand for.
    pub(super) numbers: Numbers,
    /// When each node that asked for work was last written down, with what it has.
    pub(super) seen: Mutex<HashMap<Node, (Instant, Abilities)>>,
    /// Pools in which there was no room for another node a moment ago.
    pub(super) full: Recent<String>,
    /// What nodes of a pool have written beside the queues.
    pub(super) pools_writing: Gates<String>,
    /// Which releases lack a description, and who was asked for one.
    pub(super) describing: Mutex<Describing>,
    /// Held by who looks for them: one at a time.
    pub(super) listing: tokio::sync::Mutex<()>,
    /// Something lacks a description that did not before.
    pub(super) undescribed: Notify,
}

impl Catalog {
    /// The catalog of this database, in which nothing goes on by itself: for a program that looks or changes something and ends.
    #[must_use]
    pub fn new(store: Store, config: CatalogConfig) -> Self {
        Self::with(store, config).0
    }

    pub(super) fn with(store: Store, config: CatalogConfig) -> (Self, mpsc::Receiver<Node>) {
        let (speaking, spoke) = mpsc::channel(QUEUE);
        let core = Core {
            store,
            config,
            needs: Mutex::default(),
            numbers: Numbers::default(),
            pools: Recent::default(),
            serve_everyone: Recent::default(),
            served: Recent::default(),
            signed: Mutex::default(),
            seen: Mutex::default(),
            full: Recent::default(),
            pools_writing: Gates::default(),
            describing: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            undescribed: Notify::new(),
        };
        (Self { core: Arc::new(core), speaking }, spoke)
    }

    /// How long a node counts as present after it asked for work.
    pub(crate) fn node_present(&self) -> Duration {
        self.core.config.node_present
    }

    /// Waits until a node of the pool may write something in a transaction of its own: a few of them at a time. It may until what this
    /// answers is dropped.
    pub(crate) async fn may_write(&self, pool: &str) -> Option<OwnedSemaphorePermit> {
        self.core.pools_writing.pass(pool.to_owned()).await
    }

    /// Something lacks a description that did not before: nodes that wait can be asked. One permit, whoever takes it.
    pub(crate) async fn undescribed(&self) {
        self.core.undescribed.notified().await;
    }
}
