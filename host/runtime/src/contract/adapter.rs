//! What a major of the contract does, and what a component of it does.

use wasmtime::component::Component;

use crate::backend::{Description, Failure, Job};
use crate::engine::Lane;
use crate::sandbox::Sandbox;

/// One major of the contract.
pub(crate) trait Contract: Sync {
    /// The number in `filemill:engine/…@MAJOR.…`.
    fn major(&self) -> u64;

    /// The newest version of this major that the host knows.
    fn version(&self) -> &'static str;

    /// How its components are called.
    fn lane(&self) -> Lane;

    /// Interfaces of `filemill:engine` that a component of this major may import, without version.
    fn imports(&self) -> &'static [&'static str];

    /// Makes a component runnable: finds its exports and resolves its imports. Fails where a type differs from the
    /// contract's, or where it wants a function that this host does not have yet.
    fn link(&self, component: &Component) -> wasmtime::Result<Box<dyn Adapter>>;
}

/// A component of one major, ready to run. Each call is one instance in one store, dropped before it returns.
pub(crate) trait Adapter: Send + Sync {
    /// Asks the component what it is. What it says is checked by the caller.
    fn describe(&self, sandbox: Sandbox) -> Ended<Description>;

    /// Runs it over the sandbox's input. What the engine said beside its report is in the sandbox; whether it is a report
    /// is checked by the caller.
    fn analyze(&self, sandbox: Sandbox, job: &Job) -> Ended<Said>;
}

/// What an engine returned.
pub(crate) struct Said {
    pub(crate) summary: String,
    pub(crate) json: String,
}

/// What a guest gave, or what ended it; and the sandbox, for what it used.
pub(crate) struct Ended<T> {
    pub(crate) result: Result<T, Failure>,
    /// `None` where not even a store could be made.
    pub(crate) sandbox: Option<Sandbox>,
}
