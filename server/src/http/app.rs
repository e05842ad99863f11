//! What handlers are made of.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::routes::Routes;
use super::usage::Usage;
use crate::accounts::{Accounts, Plan};
use crate::bounds::Bounds;
use crate::callers::Callers;
use crate::catalog::Catalog;
use crate::maintenance::Maintenance;
use crate::queue::Queue;
use crate::storage::Storage;

/// What handlers call: the domains, and storage, which signs.
pub(crate) struct Below {
    pub(crate) accounts: Accounts,
    pub(crate) catalog: Catalog,
    pub(crate) queue: Queue,
    pub(crate) maintenance: Maintenance,
    pub(crate) storage: Storage,
}

/// What every handler has.
pub(super) type App = Arc<Parts>;

/// The parts a handler is made of.
pub(super) struct Parts {
    /// Who may call.
    pub(super) accounts: Accounts,
    /// What can be run.
    pub(super) catalog: Catalog,
    /// What may happen to uploads and jobs.
    pub(super) queue: Queue,
    /// Whether the database answers.
    pub(super) maintenance: Maintenance,
    /// Signs URLs.
    pub(super) storage: Storage,
    /// What an organisation may use.
    pub(super) plan: Plan,
    /// Ends long polls and event streams.
    pub(super) stop: CancellationToken,
    /// What is held for whom.
    pub(super) callers: Callers,
    /// How much that may be.
    pub(super) bounds: Bounds,
    /// What is known of a request by its route.
    pub(super) routes: Routes,
    /// The OpenAPI documents.
    pub(super) documents: Documents,
    /// When the database was asked last whether it answers, and what came.
    pub(super) health: Health,
    /// Who calls by which version of the API.
    pub(super) usage: Usage,
}

/// What the routes say of themselves.
pub(super) struct Described {
    pub(super) routes: Routes,
    pub(super) documents: Documents,
}

/// The OpenAPI document of each version.
pub(super) struct Documents {
    pub(super) v1: Bytes,
    pub(super) v2: Bytes,
}

impl Parts {
    pub(super) fn new(below: Below, described: Described, plan: Plan, bounds: Bounds, stop: CancellationToken) -> Self {
        let Below { accounts, catalog, queue, maintenance, storage } = below;
        let Described { routes, documents } = described;
        let (callers, health, usage) = (Callers::new(&bounds), Health::default(), Usage::new());
        Self {
            accounts,
            catalog,
            queue,
            maintenance,
            storage,
            plan,
            stop,
            callers,
            bounds,
            routes,
            documents,
            health,
            usage,
        }
    }
}
