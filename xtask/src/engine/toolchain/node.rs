//! What makes components of JavaScript: componentize-js, installed into a private folder, and a Node.js to call it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::cache;
use crate::program;

/// What is installed, by version and digest, and the script that calls it.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../../toolchains/javascript/package.json")),
    ("package-lock.json", include_str!("../../../toolchains/javascript/package-lock.json")),
    ("componentize.mjs", include_str!("../../../toolchains/javascript/componentize.mjs")),
];

/// componentize-js.
#[derive(Debug)]
pub(in super::super) struct Node {
    program: PathBuf,
    packages: PathBuf,
}

impl Node {
    /// Finds it, or installs it (215 MB on disk), which needs a network once.
    ///
    /// # Errors
    ///
    /// When there is no Node.js 20 or later with npm, or the packages cannot be installed.
    pub(in super::super) fn find_or_set_up() -> Result<Self> {
        let (Some(program), Some(npm)) = (program::find("node"), program::find("npm")) else {
            bail!(
                "there is no `node` or no `npm` on the path\nhint: an engine in JavaScript needs Node.js 20 or later"
            );
        };
        let packages = cache::once("js-toolchain", &recipe(), |work| install(&npm, work))
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

fn install(npm: &Path, work: &Path) -> Result<()> {
    let prefix = work.join("prefix");
    for (name, text) in FILES {
        let path = prefix.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    filemill_text::tell!("engines: installing componentize-js into `{}` (nothing else is installed)", work.display());
    let mut install = Command::new(npm);
    install.current_dir(&prefix).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel",
        "error",
    ]);
    program::run(&mut install)
}
