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
//! What is *not* here: nothing in the runtime listens, fetches, unseals or decompresses; whoever calls
//! [`Release::run`] gives it plain bytes through an [`InputSource`] and a thread of their own. No
//! wasmtime type appears in a signature, so that the sandbox can change beneath its callers.

mod cache;
mod compile;
mod contract;
mod digest;
mod document;
mod engine;
mod inspect;
mod install;
mod job;
mod limits;
mod native;
mod outcome;
mod release;
mod report;
mod runtime;
mod sandbox;
mod text;
mod ticker;
mod trap;
mod wasi;

pub use cache::{CacheConfig, CacheError};
pub use compile::{Compiler, CompilerProcess, run_compiler};
pub use contract::{ContractVersion, Description, contract_majors};
pub use digest::ReleaseDigest;
pub use engine::THREAD_STACK_BYTES;
pub use inspect::imports;
pub use install::{Again, InstallError, Origin};
pub use job::{Access, Cancel, InputEnd, InputSource, Job, Observer, Parameters, ParametersError};
pub use limits::{Limits, ReleaseLimits, TimeLimit};
pub use outcome::{Artifact, Failure, Finding, Level, LogLine, Outcome, Rejection, Report, Resources, Run, Severity};
pub use release::{DescribeError, Release};
pub use report::JSON_MAX_DEPTH;
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
