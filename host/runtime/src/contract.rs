//! The engine contract: its majors, and what an adapter for one does.
//!
//! A major is one folder of `wit/`, one module here, one line in [`contracts`], for ever. Adapters meet in [`Adapter`]:
//! what comes above knows files, limits and outcomes, what is below knows one way to pass bytes. A new major neither
//! goes through an older one's types nor through a shared denominator of both.

mod exported;
mod v1;
mod v2;

use std::fmt;

use wasmtime::component::Component;

use crate::engine::Lane;
use crate::job::{Access, Job};
use crate::outcome::Failure;
use crate::sandbox::Sandbox;

/// A version of the engine contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractVersion(semver::Version);

impl ContractVersion {
    /// The major: what adapters, leases and compatibility go by.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// Reads `1.0.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        semver::Version::parse(text).ok().map(Self)
    }
}

impl fmt::Display for ContractVersion {
    /// `1.0.0`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a release says about itself. It is a claim: it names and authorises nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Short name, `[a-z0-9-]`, 1 to 64 bytes.
    pub name: String,
    /// The engine's own version, SemVer.
    pub version: String,
    /// One sentence for people, at most 512 bytes, without control characters other than line feed and tab.
    pub summary: String,
    /// Media types it understands, `image/png` or `text/*`; empty: any.
    pub media_types: Vec<String>,
    /// How it wants its input.
    pub access: Access,
    /// JSON Schema of its parameters, a JSON object; empty: it takes none.
    pub parameter_schema: String,
    /// JSON Schema of its reports, a JSON object with display hints; empty: it says nothing.
    pub report_schema: String,
}

/// Majors that this host runs, ascending.
pub fn contract_majors() -> impl ExactSizeIterator<Item = u64> {
    contracts().iter().map(|contract| contract.major())
}

/// All contracts, ascending.
pub(crate) fn contracts() -> &'static [&'static dyn Contract] {
    &[&v1::V1, &v2::V2]
}

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
