//! Why a component cannot be installed.

use crate::backend::{Again, NotInstalled, printable};
use crate::contract::{ContractVersion, contracts};

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

impl From<InstallError> for NotInstalled {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Cancelled => Self::Cancelled,
            error => Self::Failed { message: error.to_string(), hint: error.hint().to_owned(), again: error.again() },
        }
    }
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
