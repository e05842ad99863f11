//! Where engines are and what they are built from.
//!
//! An engine is a folder: a cargo package that links into a component (`crate-type = ["cdylib"]`), or an `engine.toml`
//! with a `src` folder beside it. Those of this repository are under `engines/` and go by name; any other goes by path.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::manifest::{self, Manifest, Scripted};
use crate::tree::{Metadata, Package, Tree};

/// An engine as it is before it is built.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Its name, unique under `engines/`.
    pub(super) name: String,
    /// The version in its manifest.
    pub(super) version: String,
    /// Its folder, absolute.
    pub(super) folder: PathBuf,
    /// What it is written in.
    pub(super) language: Language,
}

/// What an engine is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Language {
    /// A cargo package, built in the workspace of this folder.
    Rust {
        /// The folder that cargo is called in.
        workspace: PathBuf,
    },
    /// Something else, for this major of the contract.
    Scripted {
        /// The language.
        language: Scripted,
        /// The contract's major.
        contract: u32,
    },
}

impl Source {
    /// Where its component goes, and what comes up on the way: cargo's build folder for those of this repository, and `target`
    /// in its own folder (or workspace) for any other, so that an engine of the same name replaces nobody's.
    pub(super) fn place(&self, tree: &Tree) -> PathBuf {
        let folder = match &self.language {
            Language::Rust { workspace } => workspace,
            Language::Scripted { .. } => &self.folder,
        };
        if folder.starts_with(tree.root().join("engines")) { tree.engines() } else { folder.join("target") }
    }
}

/// Where the engine's own files are kept apart from its build: its fixtures.
pub(super) const FIXTURES: &str = "fixtures";

/// The engines called `names`, in that order; without any, all of `engines/`, sorted by name. A name with a `/` (or `.`)
/// is the path of an engine's folder.
///
/// # Errors
///
/// When there is none of that name, or a manifest cannot be read.
pub(super) fn choose(tree: &Tree, names: &[String]) -> Result<Vec<Source>> {
    let is_path = |name: &String| name.contains('/') || name == ".";
    let all = if names.is_empty() || !names.iter().all(is_path) { all(tree)? } else { Vec::new() };
    if names.is_empty() {
        return Ok(all);
    }
    names.iter().map(|name| if is_path(name) { at(Path::new(name)) } else { named(&all, name) }).collect()
}

/// Every engine under `engines/`, sorted by name.
pub(super) fn all(tree: &Tree) -> Result<Vec<Source>> {
    let folder = tree.root().join("engines");
    let packages = Metadata::read(&folder.join("Cargo.toml"))?.packages;
    let mut all: Vec<_> = packages.iter().filter_map(|package| of_package(package, &folder)).collect();
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    for entry in entries {
        all.extend(of_manifest(&entry?.path())?);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = all.windows(2).find(|pair| pair[0].name == pair[1].name) {
        bail!(
            "two engines are called `{}`: `{}` and `{}`",
            pair[0].name,
            pair[0].folder.display(),
            pair[1].folder.display()
        );
    }
    Ok(all)
}

fn named(all: &[Source], name: &str) -> Result<Source> {
    all.iter().find(|source| source.name == name).cloned().with_context(|| {
        let known: Vec<&str> = all.iter().map(|source| source.name.as_str()).collect();
        format!(
            "there is no engine `{name}`\nhint: engines here: {}; one elsewhere goes by its path, `./{name}`",
            known.join(", ")
        )
    })
}

/// The engine in `folder`, wherever that is.
fn at(folder: &Path) -> Result<Source> {
    let folder = folder.canonicalize().with_context(|| format!("cannot find `{}`", folder.display()))?;
    if let Some(source) = of_manifest(&folder)? {
        return Ok(source);
    }
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "`{}` is no engine: it has neither `{}` nor `Cargo.toml`\nhint: `cargo xtask engine new NAME --lang …` makes one",
            folder.display(),
            manifest::FILE
        );
    }
    let metadata = Metadata::read(&manifest)?;
    let package = metadata.packages.iter().find(|package| package.manifest_path == manifest);
    package.and_then(|package| of_package(package, &metadata.workspace_root)).with_context(|| {
        format!(
            "the package of `{}` is no engine\nhint: `crate-type = [\"cdylib\"]` in its `[lib]`",
            manifest.display()
        )
    })
}

fn of_package(package: &Package, workspace: &Path) -> Option<Source> {
    let links = package.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "cdylib"));
    links.then(|| Source {
        name: package.name.clone(),
        version: package.version.clone(),
        folder: package.manifest_path.parent().unwrap_or(Path::new("/")).to_owned(),
        language: Language::Rust { workspace: workspace.to_owned() },
    })
}

fn of_manifest(folder: &Path) -> Result<Option<Source>> {
    let Some(manifest) = Manifest::read(folder)? else {
        return Ok(None);
    };
    if folder.file_name().is_none_or(|name| name != manifest.name.as_str()) {
        bail!("engine `{}` is in `{}`\nhint: name the folder like the engine", manifest.name, folder.display());
    }
    Ok(Some(Source {
        name: manifest.name,
        version: manifest.version,
        folder: folder.to_owned(),
        language: Language::Scripted { language: manifest.language, contract: manifest.contract },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Source {
        Source {
            name: name.into(),
            version: "0.1.0".into(),
            folder: PathBuf::from("/engines").join(name),
            language: Language::Rust { workspace: "/engines".into() },
        }
    }

    #[test]
    fn an_unknown_engine_is_refused_and_the_known_ones_are_named() {
        let error = named(&[source("hash"), source("size")], "sise").expect_err("no such engine").to_string();
        assert!(error.starts_with("there is no engine `sise`\nhint: engines here: hash, size;"), "{error}");
        assert_eq!(named(&[source("hash"), source("size")], "size").expect("there").name, "size");
    }

    #[test]
    fn this_repositorys_engines_are_found() {
        let all = all(&Tree::locate().expect("a checkout")).expect("readable");
        let names: Vec<_> = all.iter().map(|source| source.name.as_str()).collect();
        for expected in ["bytes-c", "letters-js", "letters-py", "size"] {
            assert!(names.contains(&expected), "{expected} in {names:?}");
        }
    }

    #[test]
    fn an_engine_elsewhere_goes_by_its_path() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let folder = dir.path().join("mine");
        fs::create_dir(&folder).expect("folder");
        let error = at(&folder).expect_err("empty").to_string();
        assert!(error.contains("neither `engine.toml` nor `Cargo.toml`"), "{error}");
        let manifest = "name = \"mine\"\nversion = \"0.1.0\"\nlanguage = \"c\"\ncontract = 1\n";
        fs::write(folder.join("engine.toml"), manifest).expect("written");
        assert_eq!(at(&folder).expect("an engine").name, "mine");
        fs::write(folder.join("engine.toml"), manifest.replace("mine", "other")).expect("written");
        let error = at(&folder).expect_err("another name").to_string();
        assert!(error.contains("hint: name the folder like the engine"), "{error}");
    }
}
