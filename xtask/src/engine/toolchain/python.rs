//! What makes components of Python: componentize-py, installed into a private folder, and a Python to call it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache;
use crate::{apt, program};

/// Version of the set-up below together with that of the package; a folder made by another one is not used.
const RECIPE: &str = "componentize-py-0.25.1-r1";

/// The package, by version and digest.
const REQUIREMENTS: &str = include_str!("../../../toolchains/python/requirements.txt");

/// componentize-py.
#[derive(Debug)]
pub(in super::super) struct Python {
    program: PathBuf,
    packages: PathBuf,
}

impl Python {
    /// Finds it, or installs it (50 MB), which needs a network once.
    ///
    /// # Errors
    ///
    /// When there is no Python 3.10 or later with pip and none can be installed, or the package cannot be.
    pub(in super::super) fn find_or_set_up() -> Result<Self> {
        let packages = cache::once("python-toolchain", RECIPE, |work| {
            filemill_text::tell!("engines: installing componentize-py into `{}` (50 MB; nothing else)", work.display());
            install(REQUIREMENTS, work)
        })
        .context("cannot install componentize-py")?;
        Ok(Self { program: python()?, packages })
    }

    /// A call of componentize-py.
    pub(in super::super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("PYTHONPATH", &self.packages)
            .env_remove("PYTHONHOME")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["-c", "import sys; from componentize_py import script; sys.exit(script())"]);
        command
    }

    /// Its name and version, for a stamp.
    pub(in super::super) fn version() -> String {
        format!("{RECIPE}\n{REQUIREMENTS}")
    }
}

/// The Python on the path, installed by apt if there is none.
fn python() -> Result<PathBuf> {
    if let Some(python) = program::find("python3") {
        return Ok(python);
    }
    apt::install("Python", &["python3", "python3-venv"])?;
    program::find("python3").context("apt installed Python, but there is no `python3` on the path")
}

/// Installs Python packages, each by version and digest as `requirements` has them, into the folder `prefix` of `work`.
pub(super) fn install(requirements: &str, work: &Path) -> Result<()> {
    let file = work.join("requirements.txt");
    fs::write(&file, requirements).with_context(|| format!("cannot write `{}`", file.display()))?;
    let mut install = Command::new(with_pip(&python()?, work)?);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"])
        .arg(&file)
        .arg("--target")
        .arg(work.join("prefix"));
    program::run(&mut install)
}

/// A Python that has pip: the one on the path, or one in a virtual environment of it.
fn with_pip(python: &Path, work: &Path) -> Result<PathBuf> {
    if program::output(Command::new(python).args(["-m", "pip", "--version"])).is_ok() {
        return Ok(python.to_owned());
    }
    let environment = work.join("venv");
    let mut make = Command::new(python);
    make.args(["-m", "venv"]).arg(&environment);
    if program::output(&mut make).is_err() {
        apt::install("pip and venv", &["python3-venv"])?;
        program::output(&mut make).with_context(|| format!("`{}` makes no virtual environment", python.display()))?;
    }
    Ok(environment.join("bin/python3"))
}
