//! `cargo xtask engine …`: makes engines, builds them into components, runs and tests them.
//!
//! The result of a build is one file an engine, `NAME.wasm`, in the folder `engines` of cargo's build folder (`target/engines`,
//! or `$CARGO_TARGET_DIR/engines`); that of an engine outside this repository is in the engine's own `target`. Each is checked: a component that exports the engine contract. What runs it is the
//! processor program, the same host with the same limits as in production.

mod build;
mod component;
mod fixtures;
mod host;
mod manifest;
mod new;
mod source;
mod test;
mod toolchain;
mod watch;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use data_encoding::HEXLOWER;
use filemill_text::Lines;
use sha2::{Digest, Sha256};

use crate::tree::Tree;
use source::Source;

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

/// A built engine.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Its name, unique under `engines/`.
    pub name: String,
    /// The version in its manifest.
    pub version: String,
    /// The component.
    pub file: PathBuf,
    /// SHA-256 of the component, in lower-case hexadecimal: the name of the release.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
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

/// Builds the engines called `names` (none: all) and checks them. Does nothing visible when all is up to date.
///
/// # Errors
///
/// As [`run`].
pub fn build(tree: &Tree, names: &[String]) -> Result<Vec<Engine>> {
    build_sources(tree, &source::choose(tree, names)?)
}

/// The engines called `names`, as components in the folder `FILEMILL_ENGINES_DIR` when that is set (as `cargo xtask test`
/// sets it, so that no test builds anything), else built now.
///
/// # Errors
///
/// When the folder lacks one, and as [`run`].
pub fn find_or_build(tree: &Tree, names: &[String]) -> Result<Vec<Engine>> {
    let Some(dir) = env::var_os("FILEMILL_ENGINES_DIR") else {
        return build(tree, names);
    };
    let mut engines = Vec::new();
    for source in source::choose(tree, names)? {
        let file = Path::new(&dir).join(format!("{}.wasm", source.name));
        let bytes = fs::read(&file).with_context(|| {
            format!(
                "cannot read `{}`\nhint: `FILEMILL_ENGINES_DIR` names a folder without it; unset it",
                file.display()
            )
        })?;
        engines.push(describe(&source, file, &bytes));
    }
    Ok(engines)
}

/// Builds every engine of `engines/` and runs it over its fixtures in this `processor` program.
///
/// # Errors
///
/// As [`run`], and when something else came out than expected.
pub fn test_all(tree: &Tree, processor: &Path) -> Result<()> {
    test::all(tree, processor)
}

/// Builds `sources` and checks them.
fn build_sources(tree: &Tree, sources: &[Source]) -> Result<Vec<Engine>> {
    let built = build::build(tree, sources)?;
    let mut engines = Vec::with_capacity(sources.len());
    for (source, bytes) in sources.iter().zip(built) {
        let file = source.place(tree).join(format!("{}.wasm", source.name));
        let wasi = component::check(&bytes).with_context(|| format!("engine `{}`", source.name))?;
        if let Some(import) = wasi.first() {
            filemill_text::tell!(
                "engines: note: {} imports `{import}` and more of WASI, of which a host gives it nothing",
                source.name
            );
        }
        replace(&file, &bytes)?;
        engines.push(describe(source, file, &bytes));
    }
    Ok(engines)
}

fn describe(source: &Source, file: PathBuf, bytes: &[u8]) -> Engine {
    Engine {
        name: source.name.clone(),
        version: source.version.clone(),
        file,
        digest: HEXLOWER.encode(&Sha256::digest(bytes)),
        size_bytes: bytes.len() as u64,
    }
}

/// Puts `bytes` at `file`, whole or not at all; leaves a file alone that already is so.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(Path::new("."));
    let put = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut new = tempfile::Builder::new()
            .prefix(".engine-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(dir)?;
        new.write_all(bytes)?;
        new.persist(file)?;
        Ok(())
    };
    put().with_context(|| format!("cannot write `{}`", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_replaced_only_when_it_changed() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("engines/size.wasm");
        replace(&file, b"one").expect("written");
        let first = file.metadata().expect("there").modified().expect("known");
        replace(&file, b"one").expect("left alone");
        assert_eq!(file.metadata().expect("there").modified().expect("known"), first);
        replace(&file, b"two").expect("replaced");
        assert_eq!(fs::read(&file).expect("there"), b"two");
        assert_eq!(fs::read_dir(dir.path().join("engines")).expect("there").count(), 1);
    }
}
