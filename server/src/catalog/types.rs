//! What the catalog is asked by and answers with, where the wire types do not fit.

use super::roots::PoolRoot;
use crate::storage::Object;

/// Whom a pool serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Every organisation.
    Everyone,
    /// These, by name, and no others.
    Organisations(Vec<String>),
}

/// A pool, and whom it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolService {
    /// Its name.
    pub pool: String,
    /// Whom it serves.
    pub serves: Serves,
}

/// An engine release to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRelease {
    /// Name of the engine.
    pub engine: String,
    /// The release's version.
    pub version: String,
    /// SHA-256 of the component, hex.
    pub digest: String,
    /// Major of the engine contract.
    pub contract: u32,
    /// Its minor.
    pub minor: u32,
    /// Names of what it needs of a processor beside its contract.
    pub needs: Vec<String>,
    /// Length of the component in bytes.
    pub length: u64,
}

/// What became of a node's offer of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Clients of the pool see it now.
    pub visible: bool,
    /// The component to store first; absent although it is not visible while its object is being deleted.
    pub put: Option<Object>,
}

/// Whose statement a server takes first from a pool that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPools {
    /// Nobody's, before an operator named the pool's root.
    Named,
    /// That of the first processor, whose root is the pool's from then on. It is for a server on the machine of whoever uses it.
    First,
}

/// A pool as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSummary {
    /// Its name.
    pub pool: String,
    /// Its root; none: everything is passed on that its processors say.
    pub root: Option<PoolRoot>,
    /// The highest serial of its statements.
    pub serial: Option<u64>,
}
