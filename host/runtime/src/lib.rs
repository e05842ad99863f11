//! Runs one engine over one file, in a sandbox whose every way out is bounded.
//!
//! An engine is hostile until proven otherwise. It gets the bytes of its one file, a log and a progress
//! bar; it has no network, file, environment or clock; its memory, time, host calls, log and output are
//! limited; and the worst it can do is fail its own job.
//!
//! ```no_run
//! use filemill_runtime::{Job, Limits, Runtime, RuntimeConfig};
//!
//! let runtime = Runtime::new(RuntimeConfig::default())?;
//! let release = runtime.install(&std::fs::read("size.wasm")?)?;
//! let job = Job { name: "a.txt".into(), size: 6, ..Job::default() };
//! let run = release.run(&job, bytes::Bytes::from_static(b"a\nb\nc\n"), &Limits::default(), ());
//! match run.result {
//!     Ok(report) => println!("{}", report.json),
//!     Err(failure) => println!("{}: {}", failure.outcome(), failure.message()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A processor knows of this no more than the two traits [`Backend`] and [`Installed`], which any other way to run engines can
//! implement beside it.
//!
//! What is *not* here: nothing in the runtime listens, fetches, unseals or decompresses; whoever calls
//! [`Release::run`] gives it plain bytes through an [`InputSource`] and a thread of their own. No
//! wasmtime type appears in a signature, so that the sandbox can change beneath its callers.

mod backend;
mod cache;
mod compile;
mod component;
mod contract;
mod engine;
mod error;
mod inspect;
mod install;
mod native;
mod release;
mod runtime;
mod sandbox;
mod slots;
mod ticker;
mod trap;
mod wasi;

pub use backend::{
    Access, Again, Artifact, Backend, Cancel, DescribeError, Description, Failure, Finding, InputEnd, InputSource,
    Installed, JSON_MAX_DEPTH, Job, Level, Limits, LogLine, NotInstalled, Observer, Outcome, Parameters,
    ParametersError, Rejection, ReleaseDigest, ReleaseLimits, Report, Resources, Run, Severity, TimeLimit,
};
pub use cache::{CacheConfig, CacheError};
pub use compile::{Compiler, CompilerProcess, run_compiler};
pub use component::COMPONENT;
pub use contract::{ContractVersion, contract_versions};
pub use engine::THREAD_STACK_BYTES;
pub use error::InstallError;
pub use inspect::imports;
pub use install::CodeOrigin;
pub use release::Release;
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
