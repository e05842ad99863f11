//! The product's three programs: built, or already there.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::program;
use crate::tree::{self, Metadata, Tree};

/// The programs.
const PROGRAMS: [&str; 3] = [SERVER, PROCESSOR, "filemill"];
const SERVER: &str = "filemill-server";
const PROCESSOR: &str = "filemill-processor";

/// The packages that they come from, in this checkout.
pub(crate) const PACKAGES: [&str; 3] = ["filemill-server", "filemill-processor", "filemill-cli"];

/// How programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Cargo's `dev`, in which this workspace optimises its dependencies and a little of itself.
    Dev,
    /// Cargo's `release`, for measurements.
    Release,
}

/// Where the product's programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `filemill-server`.
    pub server: PathBuf,
    /// `filemill-processor`.
    pub processor: PathBuf,
    /// `filemill`, the client.
    pub client: PathBuf,
}

impl Binaries {
    /// Those in the folder `FILEMILL_BIN_DIR` when that is set (as `cargo xtask test` sets it, so that no test builds
    /// anything), else as [`Self::build`].
    ///
    /// # Errors
    ///
    /// When the folder lacks one, and as [`Self::build`].
    pub fn find_or_build(tree: &Tree, profile: Profile) -> Result<Self> {
        match env::var_os("FILEMILL_BIN_DIR") {
            Some(dir) => Self::in_dir(Path::new(&dir)),
            None => Self::build(tree, profile),
        }
    }

    /// Builds them. Cargo's progress goes to standard error, nothing to standard output.
    ///
    /// # Errors
    ///
    /// When they do not build.
    pub fn build(tree: &Tree, profile: Profile) -> Result<Self> {
        let mut built = build_programs(tree, profile, &PROGRAMS)?;
        Self::from_each(|name| built.remove(name).with_context(|| format!("cargo built no `{name}`")))
    }

    /// `filemill-processor` alone, found or built as by [`Self::find_or_build`]: all that is needed to run an engine.
    ///
    /// # Errors
    ///
    /// As [`Self::find_or_build`].
    pub fn find_or_build_processor(tree: &Tree, profile: Profile) -> Result<PathBuf> {
        match env::var_os("FILEMILL_BIN_DIR") {
            Some(dir) => in_dir(Path::new(&dir), PROCESSOR),
            // Cargo merges the features that packages ask of a dependency: alone it would be built anew, and most of what it stands on.
            None if profile == Profile::Dev && tree.target().join("debug").join(SERVER).is_file() => {
                Ok(Self::build(tree, profile)?.processor)
            }
            None => build_one(tree, profile, PROCESSOR),
        }
    }

    /// `filemill-server` alone, as by [`Self::build`]: all that the load generator of the queue drives.
    ///
    /// # Errors
    ///
    /// As [`Self::build`].
    pub(crate) fn build_server(tree: &Tree, profile: Profile) -> Result<PathBuf> {
        build_one(tree, profile, SERVER)
    }

    /// The folder they are in.
    pub fn dir(&self) -> &Path {
        self.server.parent().unwrap_or(Path::new("."))
    }

    /// Those in a folder.
    ///
    /// # Errors
    ///
    /// When it lacks one.
    pub fn in_dir(dir: &Path) -> Result<Self> {
        Self::from_each(|name| in_dir(dir, name))
    }

    fn from_each(find: impl FnMut(&str) -> Result<PathBuf>) -> Result<Self> {
        let [server, processor, client] = PROGRAMS.map(find);
        Ok(Self { server: server?, processor: processor?, client: client? })
    }
}

fn in_dir(dir: &Path, name: &str) -> Result<PathBuf> {
    let file = dir.join(name);
    if !file.is_file() {
        bail!("there is no `{}`\nhint: `FILEMILL_BIN_DIR` names a folder without it; unset it", file.display());
    }
    Ok(file)
}

fn build_one(tree: &Tree, profile: Profile, name: &str) -> Result<PathBuf> {
    build_programs(tree, profile, &[name])?.remove(name).with_context(|| format!("cargo built no `{name}`"))
}

/// Builds a program of this repository that only developers need, by the name that it and its package share; says nothing when
/// there is nothing to do.
///
/// # Errors
///
/// When it does not build.
pub(crate) fn build_program(tree: &Tree, name: &str) -> Result<PathBuf> {
    let mut cargo = program::cargo();
    cargo
        .current_dir(tree.root())
        .args(["build", "--quiet", "--message-format", "json-render-diagnostics", "--package", name])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    built(cargo)?.remove(name).with_context(|| format!("cargo built no `{name}`"))
}

/// Builds the packages of `programs` and returns theirs, by name. Cargo says which packages these are: an earlier checkout may
/// have them elsewhere.
fn build_programs(tree: &Tree, profile: Profile, programs: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let metadata = Metadata::read(&tree.root().join("Cargo.toml"))?;
    let packages = packages_of(&metadata, programs)?;
    let mut cargo = program::cargo();
    cargo
        .current_dir(tree.root())
        .args(["build", "--message-format", "json-render-diagnostics", "--bins", "--target-dir"])
        .arg(tree.target())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    built(cargo)
}

/// The package of each program.
fn packages_of<'a>(metadata: &'a Metadata, programs: &[&str]) -> Result<BTreeSet<&'a str>> {
    let package_of = |program: &&str| {
        let makes_it = |target: &tree::Target| target.kind == ["bin"] && target.name == *program;
        let package = metadata.packages.iter().find(|package| package.targets.iter().any(makes_it));
        let package = package.with_context(|| {
            format!("no package in `{}` has a program `{program}`", metadata.workspace_root.display())
        })?;
        Ok(package.name.as_str())
    };
    programs.iter().map(package_of).collect()
}

/// Builds the benchmark `name` of `package`, and with it that package's programs, by cargo's profile `profile`; returns the
/// benchmark's program.
///
/// # Errors
///
/// When it does not build.
pub(crate) fn build_benchmark(tree: &Tree, profile: &str, package: &str, name: &str) -> Result<PathBuf> {
    let mut cargo = program::cargo();
    cargo
        .current_dir(tree.root())
        .args(["bench", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(["--profile", profile, "--package", package, "--bench", name, "--target-dir"])
        .arg(tree.target())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    built(cargo)?.remove(name).with_context(|| format!("cargo built no benchmark `{name}`"))
}

fn built(mut cargo: Command) -> Result<BTreeMap<String, PathBuf>> {
    let output = cargo.output().with_context(|| format!("cannot start {}", program::shown(&cargo)))?;
    if !output.status.success() {
        bail!("the programs do not build ({})", output.status);
    }
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not text")?;
    executables(&messages)
}

/// One line of cargo's messages, as far as it is of use here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The programs that cargo built or found fresh, by name.
fn executables(messages: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for line in messages.lines() {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("unexpected message from cargo: {line}"))?;
        if let (Some(target), Some(executable)) = (message.target, message.executable) {
            found.insert(target.name, executable);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn executables_are_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"filemill"},"executable":"/t/debug/filemill","fresh":true}
{"reason":"build-finished","success":true}"#;
        let found = executables(messages).expect("well formed");
        assert_eq!(found, [("filemill".to_owned(), PathBuf::from("/t/debug/filemill"))].into());
    }

    #[test]
    fn each_program_is_of_the_package_that_cargo_names() {
        let metadata =
            Metadata::read(&Tree::locate().expect("in a checkout").root().join("Cargo.toml")).expect("metadata");
        let packages = packages_of(&metadata, &PROGRAMS).expect("all three");
        assert_eq!(packages, PACKAGES.into());
        let error = packages_of(&metadata, &["filemill-nothing"]).expect_err("no such program").to_string();
        assert!(error.contains("`filemill-nothing`"), "{error}");
    }

    #[test]
    fn a_folder_without_a_program_is_refused_by_the_programs_name() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in ["filemill-server", "filemill"] {
            fs::write(dir.path().join(name), "").expect("written");
        }
        let error = Binaries::in_dir(dir.path()).expect_err("incomplete").to_string();
        assert!(error.contains("filemill-processor`"), "{error}");
    }
}
