//! `cargo xtask demo [PATH…]`: the main job, from nothing: builds everything, starts it, and analyses files through it.
//!
//! Standard output is the client's alone: its table, or with `--json` one line a file. Everything else goes to standard error.

mod interrupt;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::stack::{Stack, StackOptions, spawn};
use crate::tree::Tree;
use crate::wait;
use interrupt::Interrupt;

/// How often it is checked, beside waiting for the client, that server and processor are alive.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// How long the client may take to end when told to.
const CLIENT_STOP_LIMIT: Duration = Duration::from_secs(15);

/// The engines that the demo publishes: those that are made in Rust. Those that embed an interpreter take long to compile.
const ENGINES: [&str; 7] = ["archive", "digest", "image", "scan", "size", "table", "text"];

/// What to show.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Files and folders to analyse (default: this repository, without what git ignores)
    paths: Vec<PathBuf>,
    /// The engine to run, or `auto`: to each file the one that suits its name
    #[arg(long, default_value = "auto")]
    engine: String,
    /// Print one line of JSON a file: path, size, engine, status, summary, report, resources
    #[arg(long)]
    json: bool,
    /// Keep all state in this folder (default: a temporary one, which is removed)
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the sealed results in this folder, as NAME.age, and what belongs to them, as NAME.artifacts/
    #[arg(long)]
    out: Option<PathBuf>,
    /// Leave server and processor running afterwards, and say where
    #[arg(long)]
    keep: bool,
    /// Use this PostgreSQL instead of SQLite
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Build with optimisation; slower to build, for large files
    #[arg(long)]
    release: bool,
}

/// Runs the command. The exit code is the client's: 0 only if every file succeeded.
///
/// # Errors
///
/// When something does not build or start, ends by itself, or the demo is interrupted.
pub fn run(options: &DemoOptions) -> Result<ExitCode> {
    let tree = Tree::locate()?;
    let begun = Instant::now();
    let engines = engine::build(&tree, &ENGINES.map(str::to_owned))?;
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    let binaries = Binaries::build(&tree, profile)?;
    filemill_text::tell!("demo: built in {:.1} s", begun.elapsed().as_secs_f32());

    let interrupts = interrupt::listen()?;
    let dir = Dir::choose(options.dir.as_deref(), options.keep)?;
    let mut stack = Stack::start(StackOptions {
        database_url: options.database_url.clone(),
        survives: options.keep,
        ..StackOptions::new(dir.path(), binaries, engines)
    })?;
    let shown = analyse(&tree, options, &mut stack, &interrupts);
    if options.keep {
        say_what_runs(&stack);
        return shown;
    }
    // What went wrong first is what a person needs to hear of.
    let stopped = stack.stop();
    let code = shown?;
    stopped?;
    Ok(code)
}

/// Where the state goes, and whether it stays.
enum Dir {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Dir {
    fn choose(asked: Option<&Path>, keep: bool) -> Result<Self> {
        if let Some(dir) = asked {
            return Ok(Self::Kept(dir.to_owned()));
        }
        let dir = tempfile::Builder::new()
            .prefix("filemill-demo-")
            .tempdir()
            .context("cannot make a temporary folder\nhint: name another with `--dir`")?;
        Ok(if keep { Self::Kept(dir.keep()) } else { Self::Temporary(dir) })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// Sends the files and waits for their results, as a user would.
fn analyse(
    tree: &Tree,
    options: &DemoOptions,
    stack: &mut Stack,
    interrupts: &Receiver<Interrupt>,
) -> Result<ExitCode> {
    let client = stack.client("client")?;
    let addresses = stack.addresses();
    filemill_text::tell!("demo: server {}, storage {}", addresses.listening, addresses.storage);
    filemill_text::tell!("demo: state and logs in `{}`", stack.dir().display());
    let mut send = client.command_ending_with_us();
    arguments(&mut send, tree, options, stack.dir())?;
    let begun = Instant::now();
    send.stdin(Stdio::null()).process_group(0); // Ctrl-C is for this program, which tells the client
    let mut child = spawn(send).context("cannot start the client")?;
    let status = watch(&mut child, stack, interrupts)?;
    filemill_text::tell!("demo: sent and analysed in {:.1} s ({status})", begun.elapsed().as_secs_f32());
    Ok(exit_code(status))
}

/// `send`, its options, and what to send.
fn arguments(send: &mut Command, tree: &Tree, options: &DemoOptions, state: &Path) -> Result<()> {
    send.args(["send", "--engine", &options.engine]);
    if options.json {
        send.arg("--json");
    }
    if let Some(out) = &options.out {
        send.arg("--out").arg(std::path::absolute(out)?);
    }
    send.arg("--");
    if !options.paths.is_empty() {
        send.args(&options.paths);
        return Ok(());
    }
    let out = options.out.as_ref().and_then(|out| std::fs::canonicalize(out).ok());
    let leave_out: Vec<&Path> = [Some(state), out.as_deref()].into_iter().flatten().collect();
    let files: Vec<OsString> = tree.files(&leave_out)?.into_iter().map(Into::into).collect();
    send.current_dir(tree.root()).args(files);
    Ok(())
}

/// Waits for the client. Ends it when this program is interrupted, or a part it needs ended: it would try for ever.
fn watch(client: &mut Child, stack: &mut Stack, interrupts: &Receiver<Interrupt>) -> Result<ExitStatus> {
    loop {
        if let Some(status) = client.try_wait().context("cannot wait for the client")? {
            return Ok(status);
        }
        if let Err(error) = stack.expect_running() {
            end(client)?;
            return Err(error);
        }
        match interrupts.recv_timeout(CHECK_INTERVAL) {
            Ok(Interrupt) => {
                end(client)?;
                bail!("interrupted; what was sent so far is journalled, nothing is lost");
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("signals can no longer be received"),
        }
    }
}

/// Ends the client in order, or after a limit by force.
fn end(client: &mut Child) -> Result<()> {
    if let Some(id) = i32::try_from(client.id()).ok().and_then(Pid::from_raw) {
        match kill_process(id, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(std::io::Error::from(error)).context("cannot end the client"),
        }
    }
    if wait::until("the client to end", CLIENT_STOP_LIMIT, || Ok(client.try_wait()?)).is_err() {
        client.kill().and_then(|()| client.wait()).context("cannot kill the client")?;
    }
    Ok(())
}

fn say_what_runs(stack: &Stack) {
    let processes = stack.processes();
    filemill_text::tell!("demo: still running, as `--keep` asks:");
    for (name, id) in &processes {
        filemill_text::tell!(
            "  {name}: process {id}, log `{}`",
            stack.dir().join(format!("logs/{name}.log")).display()
        );
    }
    let addresses = stack.addresses();
    filemill_text::tell!(
        "  server {}, storage {}, state `{}`",
        addresses.listening,
        addresses.storage,
        stack.dir().display()
    );
    filemill_text::tell!("  use it: FILEMILL_HOME={} filemill send …", stack.dir().join("client").display());
    let ids: Vec<String> = processes.iter().map(|(_, id)| id.to_string()).collect();
    filemill_text::tell!("  end it: kill {}", ids.join(" "));
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
