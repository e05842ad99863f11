//! What makes components of Python: componentize-py, installed into a private folder, and a Python to call it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cache;
use crate::program;

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
    /// When there is no Python 3.10 or later with pip, or the package cannot be installed.
    pub(in super::super) fn find_or_set_up() -> Result<Self> {
        let Some(program) = program::find("python3") else {
            bail!("there is no `python3` on the path\nhint: an engine in Python needs Python 3.10 or later, and pip");
        };
        let packages = cache::once("python-toolchain", RECIPE, |work| install(&program, work))
            .context("cannot install componentize-py")?;
        Ok(Self { program, packages })
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

fn install(python: &Path, work: &Path) -> Result<()> {
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).with_context(|| format!("cannot write `{}`", requirements.display()))?;
    let pip = with_pip(python, work)?;
    filemill_text::tell!(
        "engines: installing componentize-py into `{}` (50 MB; nothing else is installed)",
        work.display()
    );
    let mut install = Command::new(pip);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"])
        .arg(&requirements)
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
    program::output(Command::new(python).args(["-m", "venv"]).arg(&environment)).with_context(|| {
        format!(
            "`{}` has neither pip nor venv\nhint: install one (Debian: `apt-get install python3-pip`)",
            python.display()
        )
    })?;
    Ok(environment.join("bin/python3"))
}
