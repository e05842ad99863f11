//! A checkout of an earlier revision, and its programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::mixture::copy_into;
use crate::binaries::{Binaries, Profile};
use crate::program;
use crate::tree::Tree;

/// An earlier revision, checked out below the build folder.
#[derive(Debug)]
pub(super) struct Earlier {
    folder: PathBuf,
    tree: Tree,
}

impl Earlier {
    /// Checks `revision` out into a folder of its commit's name, once.
    ///
    /// # Errors
    ///
    /// When git knows no such commit, or cannot check it out.
    pub(super) fn check_out(tree: &Tree, revision: &str) -> Result<Self> {
        ensure!(!revision.starts_with('-'), "`{revision}` is no revision");
        let commit =
            program::output(git(tree.root()).args(["rev-parse", "--verify", &format!("{revision}^{{commit}}")]))
                .with_context(|| format!("git knows no commit `{revision}` here"))?;
        let folder = tree.target().join("compat").join(commit.trim());
        let checkout = folder.join("tree");
        if !checkout.join("Cargo.toml").is_file() {
            fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
            filemill_text::tell!("compat: checking out `{revision}` into `{}`", checkout.display());
            // A clone and no worktree: what is deleted with the build folder leaves nothing behind in this repository.
            program::run(
                git(&folder).args(["clone", "--quiet", "--shared", "--no-checkout"]).arg(tree.root()).arg(&checkout),
            )?;
            program::run(git(&checkout).args(["checkout", "--quiet", "--detach", commit.trim()]))?;
        }
        let tree = Tree::around(&checkout)?.with_target(folder.join("target"));
        Ok(Self { folder, tree })
    }

    /// The checkout.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Where it lies, with what is made of it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its programs as for a release, built once: a commit does not change.
    ///
    /// # Errors
    ///
    /// When they do not build, or cannot be copied.
    pub(super) fn programs(&self) -> Result<Binaries> {
        let dir = self.folder.join("programs");
        if let Ok(built) = Binaries::in_dir(&dir) {
            return Ok(built);
        }
        let built = Binaries::build(&self.tree, Profile::Release)?;
        // All of them or none is there.
        let partial = dir.with_extension("partial");
        fs::create_dir_all(&partial).with_context(|| format!("cannot create `{}`", partial.display()))?;
        for program in [&built.client, &built.server, &built.processor] {
            copy_into(program, &partial)?;
        }
        fs::rename(&partial, &dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        Binaries::in_dir(&dir)
    }
}

fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir);
    git
}
