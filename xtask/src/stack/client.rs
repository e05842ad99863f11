//! The client of a stack: `filemill` with a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::spawn;
use crate::binaries::Binaries;
use crate::program;

/// A user with a home folder. Dropping it changes nothing: all state is in that folder.
#[derive(Debug, Clone)]
pub struct Client {
    file: PathBuf,
    home: PathBuf,
}

impl Client {
    /// A client with `home` as its `FILEMILL_HOME`, not logged in.
    pub fn new(binaries: &Binaries, home: impl Into<PathBuf>) -> Self {
        Self { file: binaries.client.clone(), home: home.into() }
    }

    /// Its `FILEMILL_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A call of `filemill`, without arguments yet.
    pub fn command(&self) -> Command {
        self.at_home(Command::new(&self.file))
    }

    /// As [`Self::command`], but killed when this program is; to be started with [`spawn::spawn`].
    pub(crate) fn command_ending_with_us(&self) -> Command {
        self.at_home(spawn::ending_with_us(&self.file, Signal::KILL))
    }

    /// Logs in to `server` with the token in a file, and pins the pool of an enrolment file.
    ///
    /// # Errors
    ///
    /// When the server or the client refuses.
    pub fn log_in(&self, server: &str, token: &Path, enrolment: &Path) -> Result<()> {
        fs::create_dir_all(&self.home).with_context(|| format!("cannot create `{}`", self.home.display()))?;
        let mut login = self.command();
        login.args(["login", "--server", server, "--token-file"]).arg(token).arg("--pool").arg(enrolment);
        program::output(&mut login)?;
        Ok(())
    }

    fn at_home(&self, mut command: Command) -> Command {
        program::without_settings(&mut command);
        command.env("FILEMILL_HOME", &self.home);
        // The stack's users are nobody's: their keys have no place in the keychain of whoever runs it.
        command.env("FILEMILL_KEY_STORE", "file");
        command
    }
}
