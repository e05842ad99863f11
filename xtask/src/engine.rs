//! `cargo xtask engine build [NAME…]`: builds the guests of `engines/` into components.
//!
//! The result is one file an engine, `NAME.wasm`, in the folder `engines` of cargo's build folder (`target/engines`, or
//! `$CARGO_TARGET_DIR/engines`). Each is checked: a component that exports the engine contract and imports nothing beside it.

mod build;
mod component;
mod toolchain;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::tree::{Metadata, Package, Tree};

/// What can be done with engines.
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Build engines into components, and print name, version, SHA-256, size and path of each
    ///
    /// Uses rustup's wasm32-unknown-unknown (which it adds where rustup can download), or else a toolchain that it assembles
    /// from Debian packages under $FILEMILL_CACHE (default: ~/.cache/filemill), without installing anything.
    Build {
        /// Which engines (default: all of `engines/`)
        names: Vec<String>,
    },
}

/// A built engine.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Its name: its folder under `engines/`.
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

/// Runs the command. What was built goes to standard output, one line an engine, everything else to standard error.
///
/// # Errors
///
/// When an engine does not exist, does not build, or is not a component that a host would take.
pub fn run(command: &EngineCommand) -> Result<()> {
    let EngineCommand::Build { names } = command;
    let tree = Tree::locate()?;
    let mut out = io::stdout().lock();
    for engine in build(&tree, names)? {
        let Engine { name, version, file, digest, size_bytes } = engine;
        writeln!(out, "{name} {version}  {digest}  {size_bytes} bytes  {}", file.display())?;
    }
    Ok(())
}

/// Builds the engines called `names` (none: all) and checks them. Does nothing visible when all is up to date.
///
/// # Errors
///
/// As [`run`].
pub fn build(tree: &Tree, names: &[String]) -> Result<Vec<Engine>> {
    let packages = choose(packages(tree)?, names)?;
    let built = build::build(tree, &packages)?;
    let mut engines = Vec::with_capacity(packages.len());
    for (package, artifact) in packages.iter().zip(built) {
        let file = tree.engines().join(format!("{}.wasm", package.name));
        let bytes = fs::read(&artifact).with_context(|| format!("cannot read `{}`", artifact.display()))?;
        component::check(&bytes).with_context(|| format!("engine `{}`", package.name))?;
        replace(&file, &bytes)?;
        engines.push(describe(package, file, &bytes));
    }
    Ok(engines)
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
    for package in choose(packages(tree)?, names)? {
        let file = Path::new(&dir).join(format!("{}.wasm", package.name));
        let bytes = fs::read(&file).with_context(|| {
            format!(
                "cannot read `{}`\nhint: `FILEMILL_ENGINES_DIR` names a folder without it; unset it",
                file.display()
            )
        })?;
        engines.push(describe(&package, file, &bytes));
    }
    Ok(engines)
}

/// The packages under `engines/` that are engines: those that link into something a host loads.
fn packages(tree: &Tree) -> Result<Vec<Package>> {
    let mut packages = Metadata::read(&tree.root().join("engines/Cargo.toml"))?.packages;
    packages.retain(|package| package.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "cdylib")));
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn choose(all: Vec<Package>, names: &[String]) -> Result<Vec<Package>> {
    let known = |name: &String| all.iter().any(|package| package.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = all.iter().map(|package| package.name.as_str()).collect();
        bail!("there is no engine `{unknown}`\nhint: engines here: {}", known.join(", "));
    }
    let wanted = |package: &Package| names.is_empty() || names.contains(&package.name);
    Ok(all.into_iter().filter(wanted).collect())
}

fn describe(package: &Package, file: PathBuf, bytes: &[u8]) -> Engine {
    Engine {
        name: package.name.clone(),
        version: package.version.clone(),
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

    fn package(name: &str) -> Package {
        Package {
            name: name.into(),
            version: "0.1.0".into(),
            manifest_path: "Cargo.toml".into(),
            dependencies: Vec::new(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn an_unknown_engine_is_refused_and_the_known_ones_are_named() {
        let error = choose(vec![package("hash"), package("size")], &["sise".into()]).expect_err("no such engine");
        assert_eq!(error.to_string(), "there is no engine `sise`\nhint: engines here: hash, size");
    }

    #[test]
    fn no_name_means_all() {
        let all = choose(vec![package("hash"), package("size")], &[]).expect("all");
        assert_eq!(all.len(), 2);
        let one = choose(all, &["size".into()]).expect("one");
        assert_eq!(one.len(), 1);
    }

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
