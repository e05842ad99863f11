//! From a component's bytes to machine code that may run here, or to the reason why not.

use wasmtime::component::Component;

use crate::cache::Caches;
use crate::compile::{CompileError, Compiler};
use crate::contract::{Adapter, Contract, ContractVersion, contracts};
use crate::engine::{Lane, Lanes};
use crate::inspect::{Wanted, inspect};
use crate::native::{LoadError, Native};
use crate::text::printable;
use crate::{Cancel, ReleaseDigest};

/// The longest reason, in bytes: it may quote names from the component.
const REASON_BYTES: usize = 2 << 10;

/// Where a release's machine code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled now.
    Compiled,
    /// It was compiled earlier and read from the cache.
    Cached,
}

/// Why a component cannot be installed. Nothing of it has run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// It is larger than this host takes.
    #[error("the component has {bytes} bytes, this processor takes at most {limit}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// It does not begin like WebAssembly.
    #[error("this is not WebAssembly: it does not begin with `\\0asm`")]
    NotWasm,
    /// It is a core module.
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    /// It ends before it should.
    #[error("the component is cut off after {at} bytes")]
    Truncated {
        /// Its length.
        at: u64,
    },
    /// Its encoding is broken, or it is invalid.
    #[error("the component is malformed: {reason}")]
    Malformed {
        /// What is wrong, and where.
        reason: String,
    },
    /// It exports no analyzer.
    #[error("the component is no engine: it exports {}, not `filemill:engine/analyzer`", list(exports))]
    NoContract {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It was built for a major of the contract that this host does not run.
    #[error("the component needs engine contract {wants}, this processor runs {}", majors())]
    UnknownContract {
        /// The version it needs.
        wants: String,
    },
    /// It imports what the contract does not offer.
    #[error("the component imports {}, which is not in the engine contract", list(imports))]
    ForeignImports {
        /// What it imports beside the contract.
        imports: Vec<String>,
    },
    /// It does not fit its contract: another type, or a function this host does not have yet.
    #[error("the component does not fit engine contract {contract}: {reason}")]
    Mismatch {
        /// The version it names.
        contract: ContractVersion,
        /// What differs.
        reason: String,
    },
    /// Compiling it takes more than a component may take.
    #[error("compiling the component takes more than {limit}")]
    CompileLimit {
        /// Which limit it went over.
        limit: String,
    },
    /// Compiling it was not done in time. That may be the component's fault, or that of what else this machine does.
    #[error("compiling the component takes more than {limit}")]
    CompileDeadline {
        /// The time it was given.
        limit: String,
    },
    /// The compiler broke off. The component may have caused it, or somebody who ends processes.
    #[error("the compiler broke off: {reason}")]
    CompilerDied {
        /// How it ended.
        reason: String,
    },
    /// The compiler could not be run.
    #[error("the component could not be compiled: {reason}")]
    CompilerFailed {
        /// How it failed.
        reason: String,
    },
    /// The operating system did not give what it takes to load the code.
    #[error("the component's code could not be loaded: {reason}")]
    LoadFailed {
        /// What it refused.
        reason: String,
    },
    /// Nobody waits for it any more.
    #[error("installing the component was called off")]
    Cancelled,
    /// It can be compiled but wants more memories, tables or instances than a slot has.
    #[error("the component wants more than a slot of this processor has: {reason}")]
    TooDemanding {
        /// Which limit, as wasmtime says it.
        reason: String,
    },
}

/// Whether installing a component again may end otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It would not: this is a property of the component and of this host's limits.
    Never,
    /// It may once or twice. Who sees the same a third time takes it for the component's property.
    FewTimes,
    /// It will, when this host has again what it lacks. It says nothing of the component.
    Later,
}

impl InstallError {
    /// Whether another try may end otherwise.
    pub fn again(&self) -> Again {
        match self {
            Self::CompileDeadline { .. } | Self::CompilerDied { .. } => Again::FewTimes,
            Self::CompilerFailed { .. } | Self::LoadFailed { .. } | Self::Cancelled => Again::Later,
            _ => Again::Never,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "strip debug information, or raise the processor's component size limit",
            Self::NotWasm => "give the `.wasm` file that `cargo xtask engine build` writes",
            Self::CoreModule => {
                "turn the module into a component: `cargo xtask engine build` does, and so does `wasm-component-ld`"
            }
            Self::Truncated { .. } => "the copy is incomplete: fetch or build it again",
            Self::Malformed { .. } => "build it again with a current toolchain",
            Self::NoContract { .. } => "build it against a world of `wit/engine`",
            Self::UnknownContract { .. } => "update the processor, or adopt an older release",
            Self::ForeignImports { .. } => {
                "an engine is given the contract and an empty WASI 0.2, nothing else: leave out what asks for more"
            }
            Self::Mismatch { .. } => "build it against the `wit/engine` of this version, or update the processor",
            Self::CompileLimit { .. } | Self::CompileDeadline { .. } => {
                "split its largest functions, or raise the processor's limits of compiling"
            }
            Self::CompilerDied { .. } | Self::CompilerFailed { .. } | Self::LoadFailed { .. } => {
                "try again; if it stays, look at this processor's memory, its open files and its log"
            }
            Self::Cancelled => "install it again",
            Self::TooDemanding { .. } => "let it declare less, or raise the processor's limits",
        }
    }
}

/// A component that is ready to run.
pub(crate) struct Installed {
    pub(crate) contract: ContractVersion,
    pub(crate) adapter: Box<dyn Adapter>,
    pub(crate) origin: Origin,
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
pub(crate) fn cached(with: &Installer<'_>, digest: ReleaseDigest) -> Option<Installed> {
    let caches = with.cache?;
    let found = |lane| caches.of(lane).load(digest).map(|(native, version)| (lane, native, version));
    let (lane, native, version) = Lane::ALL.into_iter().find_map(found)?;
    // Processors of several versions share a cache, and this one may know fewer contracts.
    let contract = contracts().iter().find(|known| known.major() == version.major() && known.lane() == lane)?;
    let loaded = native.load(with.lanes.engine(lane)).map_err(InstallError::from);
    match loaded.and_then(|component| link(*contract, version, &component, Origin::Cached)) {
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
) -> Result<Installed, InstallError> {
    let Wanted { version, contract } = inspect(component)?;
    let (engine, lane) = (with.lanes.engine(contract.lane()), contract.lane());
    let native = Native::compile(with.compiler, engine, lane, component, cancel)?;
    let installed = link(contract, version, &native.load(engine)?, Origin::Compiled)?;
    if let Some(caches) = with.cache {
        caches.of(lane).store(digest, &installed.contract, &native);
    }
    Ok(installed)
}

fn link(
    contract: &dyn Contract,
    version: ContractVersion,
    component: &Component,
    origin: Origin,
) -> Result<Installed, InstallError> {
    let adapter = contract
        .link(component)
        .map_err(|e| InstallError::Mismatch { contract: version.clone(), reason: reason(&e) })?;
    let code = component.image_range();
    let code_bytes = code.end.addr().saturating_sub(code.start.addr());
    Ok(Installed { contract: version, adapter, origin, code_bytes })
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

fn majors() -> String {
    let majors: Vec<String> = contracts().iter().map(|c| c.version().to_owned()).collect();
    majors.join(" and ")
}

/// Names from a component, for a message: the first few, quoted.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", printable(name, 200))).collect();
    match names.len() {
        0 => return "nothing".to_owned(),
        n if n > SHOWN => shown.push(format!("{} more", n - SHOWN)),
        _ => {}
    }
    shown.join(", ")
}
