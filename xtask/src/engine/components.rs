//! Built engines: each one component, checked and in its place.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::component;
use super::source::{self, Source};
use crate::tree::Tree;
use crate::whole;

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

/// Builds the engines called `names` (none: all) and checks them. Does nothing visible when all is up to date.
///
/// # Errors
///
/// When an engine does not exist, does not build, or is not a component that a host would take.
pub fn build(tree: &Tree, names: &[String]) -> Result<Vec<Engine>> {
    build_sources(tree, &source::choose(tree, names)?)
}

/// The engines called `names`, as components in the folder `FILEMILL_ENGINES_DIR` when that is set (as `cargo xtask test`
/// sets it, so that no test builds anything), else built now.
///
/// # Errors
///
/// When the folder lacks one, and as [`build()`].
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

/// Builds `sources` and checks them.
pub(super) fn build_sources(tree: &Tree, sources: &[Source]) -> Result<Vec<Engine>> {
    let built = super::build::build(tree, sources)?;
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
    whole::put(file, bytes, 0o644)
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
