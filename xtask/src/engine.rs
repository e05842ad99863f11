//! `cargo xtask engine …`: makes engines, builds them into components, runs and tests them.
//!
//! The result of a build is one file an engine, `NAME.wasm`, in the folder `engines` of cargo's build folder (`target/engines`,
//! or `$CARGO_TARGET_DIR/engines`); that of an engine outside this repository is in the engine's own `target`. Each is checked: a component that exports the engine contract. What runs it is the
//! processor program, the same host with the same limits as in production.

mod build;
mod component;
mod components;
mod fixtures;
mod host;
mod manifest;
mod new;
mod source;
mod test;
mod toolchain;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use filemill_text::Lines;

use crate::tree::Tree;

pub use components::{Engine, build, find_or_build};

/// The engines of this repository that are made in Rust, one of each kind: what `demo` publishes and `install` installs. Those that
/// embed an interpreter take long to compile, and show how engines are made.
pub(crate) const IN_RUST: [&str; 7] = ["archive", "digest", "image", "scan", "size", "table", "text"];

/// What can be done with engines.
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Make the folder of a new engine, which builds and passes its test at once
    New(new::NewOptions),
    /// Build engines into components, and print name, version, SHA-256, size and path of each
    ///
    /// Rust: rustup's wasm32-unknown-unknown (added where rustup can download), else a toolchain assembled from Debian packages.
    /// C: the wasi-sdk that WASI_SDK_PATH names, else clang from Debian packages. Python and JavaScript: componentize-py and
    /// componentize-js. What is fetched stays under $FILEMILL_CACHE (default: ~/.cache/filemill); nothing is installed.
    Build {
        /// Which engines, by name or by path (default: all of `engines/`)
        names: Vec<String>,
    },
    /// Build an engine and say what a host makes of it: contract, imports, size, description
    Check(host::CheckOptions),
    /// Build an engine and run it over a file, in the real host with the real limits
    Run(host::RunOptions),
    /// Build engines and run them over their fixtures, and compare with the expected reports
    Test(test::TestOptions),
    /// Test an engine, or run it over a file, again whenever something of it is saved
    Watch(watch::WatchOptions),
}

/// Runs the command. What it is for goes to standard output, everything else to standard error.
///
/// # Errors
///
/// When an engine does not exist, does not build, or is not a component that a host would take. An engine that runs and
/// gives no report, or another than expected, is no error: the exit code says it.
pub fn run(command: &EngineCommand) -> Result<ExitCode> {
    let tree = Tree::locate()?;
    match command {
        EngineCommand::New(options) => new::run(&tree, options),
        EngineCommand::Build { names } => {
            let mut out = Lines::on_stdout();
            for engine in build(&tree, names)? {
                let Engine { name, version, file, digest, size_bytes } = engine;
                out.line(format_args!("{name} {version}  {digest}  {size_bytes} bytes  {}", file.display()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        EngineCommand::Check(options) => host::check(&tree, options),
        EngineCommand::Run(options) => host::run(&tree, options),
        EngineCommand::Test(options) => test::run(&tree, options),
        EngineCommand::Watch(options) => watch::run(&tree, options),
    }
}

/// Builds every engine of `engines/` and runs it over its fixtures in this `processor` program.
///
/// # Errors
///
/// As [`run`], and when something else came out than expected.
pub fn test_all(tree: &Tree, processor: &Path) -> Result<()> {
    test::all(tree, processor)
}
