//! How server and processor are started, and how each says that it is ready.

use std::ffi::OsString;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::free_port;
use super::process::{Process, Program, first_line};
use crate::binaries::Binaries;
use crate::wait;

/// How long the server may take until it is ready, migrations included.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The server's setting for its database.
const DATABASE_URL: &str = "FILEMILL_DATABASE_URL";

/// The server's setting for the engines that it publishes when it starts.
const ENGINES: &str = "FILEMILL_SERVER_ENGINES";

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The HTTP API.
    pub listening: String,
    /// The embedded S3 storage.
    pub storage: String,
}

/// `filemill-server`, started. [`Process`] has its signals.
#[derive(Debug)]
pub struct Server {
    process: Process,
    addresses: Addresses,
}

impl Server {
    pub(super) fn start(
        dir: &Path,
        binaries: &Binaries,
        database_url: Option<&str>,
        mut env: Vec<(OsString, OsString)>,
        survives: bool,
    ) -> Result<Self> {
        let (place, database) = state(dir, database_url);
        let mut args: Vec<OsString> = vec!["serve".into()];
        args.extend(place);
        env.extend(database);
        // What is published here, the stack says.
        env.push((ENGINES.into(), OsString::new()));
        // Fixed, so that it comes back on the same ones after a restart, which its peers rely on.
        for flag in ["--listen", "--s3-listen"] {
            args.extend([flag.into(), format!("127.0.0.1:{}", free_port()?).into()]);
        }
        let mut process = Process::spawn(Program {
            name: "server".into(),
            file: binaries.server.clone(),
            args,
            env,
            logs: dir.join("logs"),
            user: None,
            stop: Signal::TERM,
            survives,
        })?;
        let addresses = ready(&mut process)?;
        Ok(Self { process, addresses })
    }

    /// Starts it again after it ended, and waits until it is ready: on the same ports, with the same state.
    ///
    /// # Errors
    ///
    /// When it is still running, or does not become ready.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start()?;
        self.addresses = ready(&mut self.process)?;
        Ok(())
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

/// Settings of a processor beyond its defaults.
#[derive(Debug, Clone, Default)]
pub struct ProcessorOptions {
    /// Its pool (default: the stack's own).
    pub pool: Option<String>,
    /// How many jobs run at once (default: the processor's own, its cores).
    pub slots: Option<usize>,
    /// How much memory transfers may take, in bytes (default: the processor's own).
    pub memory_budget_bytes: Option<u64>,
    /// Added to its arguments.
    pub args: Vec<OsString>,
    /// Added to its environment.
    pub env: Vec<(OsString, OsString)>,
}

/// `filemill-processor`, started. [`Process`] has its signals.
#[derive(Debug)]
pub struct Processor {
    process: Process,
}

/// Where a processor belongs.
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) name: &'a str,
    pub(crate) token: &'a Path,
    /// The folder with the pool's keys.
    pub(crate) pool: &'a Path,
    pub(crate) survives: bool,
}

impl Processor {
    /// Starts it. It is ready when it leases; nobody else needs to know.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(
        place: Place<'_>,
        binaries: &Binaries,
        addresses: &Addresses,
        options: ProcessorOptions,
    ) -> Result<Self> {
        let Place { dir, name, token, pool, survives } = place;
        let ProcessorOptions { pool: _, slots, memory_budget_bytes, args: more, env } = options;
        let mut args: Vec<OsString> = vec!["run".into()];
        let mut flag = |name: &str, value: OsString| args.extend([name.into(), value]);
        flag("--server", addresses.listening.clone().into());
        flag("--token-file", token.into());
        flag("--pool", pool.into());
        flag("--storage-origin", addresses.storage.clone().into());
        flag("--cache-dir", dir.join(name).into());
        if let Some(slots) = slots {
            flag("--slots", slots.to_string().into());
        }
        if let Some(bytes) = memory_budget_bytes {
            flag("--memory-budget", bytes.to_string().into());
        }
        args.extend(more);
        let process = Process::spawn(Program {
            name: name.into(),
            file: binaries.processor.clone(),
            args,
            env,
            logs: dir.join("logs"),
            user: None,
            stop: Signal::TERM,
            survives,
        })?;
        Ok(Self { process })
    }

    /// Starts it again after it ended, with the same settings.
    ///
    /// # Errors
    ///
    /// When it is still running, or cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start()
    }
}

/// What tells the server's program where its state is, as arguments and in the environment. The database's URL has a password,
/// which arguments would show to everybody.
pub(super) fn state(dir: &Path, database_url: Option<&str>) -> (Vec<OsString>, Vec<(OsString, OsString)>) {
    let place = vec!["--embedded".into(), dir.join("server").into()];
    (place, database_url.map(|url| (DATABASE_URL.into(), url.into())).into_iter().collect())
}

/// Waits until the server says where it listens, which it does once it is ready: one line of JSON on standard output.
///
/// # Errors
///
/// When it ends before, or takes too long; the error shows the end of its log.
pub(crate) fn ready(process: &mut Process) -> Result<Addresses> {
    let out = process.out();
    let line = wait::until("the server to be ready", READY_LIMIT, || {
        if let Some(line) = first_line(&out)? {
            return Ok(Some(line));
        }
        process.expect_running()?;
        Ok(None)
    })
    .with_context(|| process.tail())?;
    serde_json::from_str(&line).with_context(|| format!("the server's first line is not where it listens: {line}"))
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Deref for Processor {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Processor {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
