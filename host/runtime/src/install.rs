//! From a component's bytes to machine code that may run here, or to the reason why not.

use wasmtime::component::Component;

use crate::backend::{Cancel, ReleaseDigest, printable};
use crate::cache::Caches;
use crate::compile::{CompileError, Compiler};
use crate::contract::{Adapter, Contract, ContractVersion, contracts};
use crate::engine::{Lane, Lanes};
use crate::error::InstallError;
use crate::inspect::{Wanted, inspect};
use crate::native::{LoadError, Native};

/// The longest reason, in bytes: it may quote names from the component.
const REASON_BYTES: usize = 2 << 10;

/// Where a release's machine code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOrigin {
    /// It was compiled now.
    Compiled,
    /// It was compiled earlier and read from the cache.
    Cached,
}

/// A component that is ready to run.
pub(crate) struct Linked {
    pub(crate) contract: ContractVersion,
    pub(crate) adapter: Box<dyn Adapter>,
    pub(crate) origin: CodeOrigin,
    /// What its machine code takes, in bytes of address space that are backed by a file or by memory.
    pub(crate) code_bytes: usize,
}

/// What installs.
pub(crate) struct Installer<'a> {
    pub(crate) lanes: &'a Lanes,
    pub(crate) cache: Option<&'a Caches>,
    pub(crate) compiler: &'a Compiler,
}

/// Takes a component that was installed before from the cache. `None` where it is not there, or does not run any more: then
/// [`install`] says why.
pub(crate) fn cached(with: &Installer<'_>, digest: ReleaseDigest) -> Option<Linked> {
    let caches = with.cache?;
    let found = |lane| caches.of(lane).load(digest).map(|(native, version)| (lane, native, version));
    let (lane, native, version) = Lane::ALL.into_iter().find_map(found)?;
    // Processors of several versions share a cache, and this one may know fewer contracts.
    let contract = contracts().iter().find(|known| known.major() == version.major() && known.lane() == lane)?;
    let loaded = native.load(with.lanes.engine(lane)).map_err(InstallError::from);
    match loaded.and_then(|component| link(*contract, version, &component, CodeOrigin::Cached)) {
        Ok(installed) => Some(installed),
        Err(error) => {
            // It stays: a processor with other limits may run it, and what is compiled in its place replaces it.
            tracing::warn!(release = %digest, %error, "compiled code from the cache does not run");
            None
        }
    }
}

/// Checks a component, compiles it and links it. What runs is kept in the cache.
pub(crate) fn install(
    with: &Installer<'_>,
    component: &[u8],
    digest: ReleaseDigest,
    cancel: &Cancel,
) -> Result<Linked, InstallError> {
    let Wanted { version, contract } = inspect(component)?;
    let (engine, lane) = (with.lanes.engine(contract.lane()), contract.lane());
    let native = Native::compile(with.compiler, engine, lane, component, cancel)?;
    let installed = link(contract, version, &native.load(engine)?, CodeOrigin::Compiled)?;
    if let Some(caches) = with.cache {
        caches.of(lane).store(digest, &installed.contract, &native);
    }
    Ok(installed)
}

fn link(
    contract: &dyn Contract,
    version: ContractVersion,
    component: &Component,
    origin: CodeOrigin,
) -> Result<Linked, InstallError> {
    let adapter = contract
        .link(component)
        .map_err(|e| InstallError::Mismatch { contract: version.clone(), reason: reason(&e) })?;
    let code = component.image_range();
    let code_bytes = code.end.addr().saturating_sub(code.start.addr());
    Ok(Linked { contract: version, adapter, origin, code_bytes })
}

impl From<LoadError> for InstallError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Code(error) => Self::TooDemanding { reason: reason(&error) },
            LoadError::Host(error) => Self::LoadFailed { reason: reason(&error) },
        }
    }
}

impl From<CompileError> for InstallError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Refused(reason) => Self::Malformed { reason: printable(&reason, REASON_BYTES) },
            CompileError::Over(limit) => Self::CompileLimit { limit },
            CompileError::Slow(limit) => Self::CompileDeadline { limit },
            CompileError::Starved(limit) => Self::CompilerFailed {
                reason: format!("it was not done after {limit}, because this machine has other things to do"),
            },
            CompileError::Cancelled => Self::Cancelled,
            CompileError::Died(reason) => Self::CompilerDied { reason: printable(&reason, REASON_BYTES) },
            CompileError::Host(reason) => Self::CompilerFailed { reason: printable(&reason, REASON_BYTES) },
        }
    }
}

/// wasmtime's own words, cause by cause. They may quote names from the component.
fn reason(error: &wasmtime::Error) -> String {
    printable(&format!("{error:#}"), REASON_BYTES)
}
