//! What an operator does with the product's own programs: tokens, pools' keys, releases; and the files that this makes.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{ORGANISATION, Scope};
use crate::binaries::Binaries;
use crate::engine::Engine;
use crate::program;

/// The operator of one installation. It has no state but files: pools' keys in `DIR/pool…`, tokens in `DIR/tokens`.
#[derive(Debug)]
pub(crate) struct Operator {
    dir: PathBuf,
    binaries: Binaries,
    /// What tells the server's program where its state is.
    place: Vec<OsString>,
    /// The same, as far as arguments would show a password to everybody.
    env: Vec<(OsString, OsString)>,
}

impl Operator {
    /// An operator of the installation at `place`, in whose environment `env` stands, who keeps files under `dir`.
    pub(crate) fn new(dir: &Path, binaries: &Binaries, place: Vec<OsString>, env: Vec<(OsString, OsString)>) -> Self {
        Self { dir: dir.to_owned(), binaries: binaries.clone(), place, env }
    }

    /// Makes a pool's keys, unless an earlier run made them: clients have pinned those.
    ///
    /// # Errors
    ///
    /// When the processor's program refuses.
    pub(crate) fn add_pool(&self, pool: &str) -> Result<()> {
        let enrolment = self.enrolment_of(pool);
        if enrolment.is_file() {
            return Ok(());
        }
        let mut init = Command::new(&self.binaries.processor);
        init.args(["pool", "init", "--dir"]).arg(self.pool_dir(pool)).args(["--name", pool]);
        program::output(&mut init)?;
        if !enrolment.is_file() {
            bail!("{} wrote no `{}`", program::shown(&init), enrolment.display());
        }
        Ok(())
    }

    /// The folder with a pool's keys.
    pub(crate) fn pool_dir(&self, pool: &str) -> PathBuf {
        self.dir.join(if pool == ORGANISATION { "pool".to_owned() } else { format!("pool-{pool}") })
    }

    /// What clients need to know of a pool.
    pub(crate) fn enrolment_of(&self, pool: &str) -> PathBuf {
        self.pool_dir(pool).join("enrolment.json")
    }

    /// Makes a token, and returns the file it is in, which only this user can read. A processor's is for a pool.
    ///
    /// # Errors
    ///
    /// When the server's program refuses.
    pub(crate) fn token(&self, organisation: &str, user: &str, scope: Scope, pool: Option<&str>) -> Result<PathBuf> {
        let mut command = self.command(&["token", "create"]);
        command.args(["--organisation", organisation, "--user", user, "--scope", scope.as_str()]);
        if let Some(pool) = pool {
            command.args(["--pool", pool]);
        }
        let token = program::output(&mut command)?;
        let file = self.dir.join("tokens").join(format!("{organisation}-{user}-{}.token", scope.as_str()));
        write_secret(&file, token.trim()).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(file)
    }

    /// Tells the server a pool's root, and that the pool serves everybody: what a server that is not embedded does not take for granted.
    ///
    /// # Errors
    ///
    /// When the server's program refuses.
    pub(crate) fn open_pool(&self, pool: &str) -> Result<()> {
        program::output(self.command(&["pool", "root", pool]).arg(self.enrolment_of(pool)))?;
        program::output(&mut self.command(&["pool", "serve", pool, "--all"]))?;
        Ok(())
    }

    /// Publishes a release of an engine.
    ///
    /// # Errors
    ///
    /// When the server's program refuses.
    pub(crate) fn publish(&self, engine: &Engine) -> Result<()> {
        let mut command = self.command(&["release", "publish"]);
        command.arg(&engine.file).args(["--engine", &engine.name, "--version", &engine.version]);
        let help = program::output(Command::new(&self.binaries.server).args(["release", "publish", "--help"]))?;
        // What a build from before components said their names lacks, which another one is compared with.
        if help.contains("--rename") {
            // It says itself what it is called: only tests call it otherwise.
            command.arg("--rename").arg("--processor").arg(&self.binaries.processor);
        }
        program::output(&mut command)?;
        Ok(())
    }

    /// A call of the server's program on this installation.
    fn command(&self, what: &[&str]) -> Command {
        let mut command = Command::new(&self.binaries.server);
        program::without_settings(&mut command);
        command.args(what).args(&self.place).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Writes a file that only its owner can read.
fn write_secret(file: &Path, text: &str) -> Result<()> {
    let dir = file.parent().context("a token's file has a folder")?;
    fs::create_dir_all(dir)?;
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)?;
    Ok(writeln!(file, "{text}")?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_can_read_a_token() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("tokens/a.token");
        write_secret(&file, "secret").expect("written");
        let mode = file.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
