//! Where things are: the repository, its build folder, and the files that belong to it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use ignore::WalkBuilder;
use serde::Deserialize;

use crate::program;

/// A checkout of this repository.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Finds the checkout this program was started in, through cargo or anywhere inside it.
    ///
    /// # Errors
    ///
    /// When there is none around the current folder, or cargo cannot read it.
    pub fn locate() -> Result<Self> {
        let start = env::var_os("CARGO_MANIFEST_DIR").map_or_else(env::current_dir, |dir| Ok(dir.into()))?;
        Self::around(&start)
    }

    /// The checkout that the folder `start` lies in.
    ///
    /// # Errors
    ///
    /// As [`Self::locate`].
    pub fn around(start: &Path) -> Result<Self> {
        let root = start
            .ancestors()
            .find(|dir| dir.join("xtask/Cargo.toml").is_file())
            .ok_or_else(|| {
                anyhow!(
                    "`{}` is not inside a checkout of filemill\nhint: run `cargo xtask` from the repository",
                    start.display()
                )
            })?
            .to_owned();
        let target = Metadata::read(&root.join("Cargo.toml"))?.target_directory;
        Ok(Self { root, target })
    }

    /// The same checkout with `target` as its build folder, whatever the environment says. Two checkouts need one each: in a common one
    /// cargo takes what one was built into for the other's, wherever the files of that other are older.
    pub(crate) fn with_target(self, target: PathBuf) -> Self {
        Self { target, ..self }
    }

    /// The folder with the workspace's `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's build folder (`target/`, or what `CARGO_TARGET_DIR` or a configuration says).
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where built engines go, as `NAME.wasm`; also cargo's build folder for them.
    pub fn engines(&self) -> PathBuf {
        self.target.join("engines")
    }

    /// Every file that belongs to the repository, relative to its root and sorted: what git ignores is left out, whether or
    /// not there is a `.git`, and so are `leave_out` (absolute folders) and everything that is not a plain file.
    ///
    /// # Errors
    ///
    /// When a folder cannot be read.
    pub fn files(&self, leave_out: &[&Path]) -> Result<Vec<PathBuf>> {
        files_under(&self.root, leave_out)
    }
}

/// What `cargo metadata --no-deps` says of a workspace, as far as it is of use here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) target_directory: PathBuf,
    pub(crate) workspace_root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One package of a workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a package's dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) rename: Option<String>,
    /// Absent: a normal one; else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Where it is, when it is a folder beside this one.
    pub(crate) path: Option<PathBuf>,
}

/// What a package is built into.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Metadata {
    /// Reads the workspace of `manifest`, without its registry dependencies and thus without a network.
    pub(crate) fn read(manifest: &Path) -> Result<Self> {
        let mut cargo = program::cargo();
        cargo.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]).arg(manifest);
        let text = program::output(&mut cargo)?;
        serde_json::from_str(&text)
            .with_context(|| format!("cargo's metadata of `{}` is not as expected", manifest.display()))
    }
}

/// The plain files under `root` that git would not ignore, relative and sorted.
pub(crate) fn files_under(root: &Path, leave_out: &[&Path]) -> Result<Vec<PathBuf>> {
    let leave_out: Vec<PathBuf> = leave_out.iter().map(|path| (*path).to_owned()).collect();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .filter_entry(move |entry| entry.file_name() != ".git" && !leave_out.iter().any(|path| path == entry.path()))
        .build();
    let mut files = Vec::new();
    for entry in walk {
        let entry = entry.with_context(|| format!("cannot list `{}`", root.display()))?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            files.push(entry.path().strip_prefix(root)?.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ignored_and_foreign_files_do_not_belong_to_the_tree() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path();
        for path in ["a.rs", ".hidden", "target/x", "sub/target/y", "sub/b.md", ".git/HEAD", "out/z"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
            fs::write(path, "").expect("file");
        }
        fs::write(root.join(".gitignore"), "/target\n").expect("file");
        std::os::unix::fs::symlink("a.rs", root.join("link")).expect("link");
        let files = files_under(root, &[&root.join("out")]).expect("readable");
        let expected = [".gitignore", ".hidden", "a.rs", "sub/b.md", "sub/target/y"];
        assert_eq!(files, expected.map(PathBuf::from));
    }

    #[test]
    fn this_checkout_is_found() {
        let tree = Tree::locate().expect("tests run inside it");
        assert!(tree.root().join("xtask/src/tree.rs").is_file());
    }
}
