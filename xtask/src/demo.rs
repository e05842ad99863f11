//! `cargo xtask demo [PATH…]`: the main job, from nothing: builds everything, starts it, and analyses files through it.
//!
//! Without a path these are a few files of every kind that the engines read (`set`), and one screen shows what came of them;
//! with paths standard output is the client's alone: its table, or with `--json` one line a file. Everything else goes to
//! standard error.

mod client;
mod interrupt;
mod made;
mod page;
mod row;
mod screen;
mod set;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use filemill_text::Lines;
use tempfile::TempDir;

use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::stack::{Client, Stack, StackOptions};
use crate::tree::Tree;
use interrupt::Interrupt;
use row::Row;

/// What to show.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Files and folders to analyse; the root of this repository: all that git does not ignore. If absent, a few files of every
    /// kind that the engines read
    paths: Vec<PathBuf>,
    /// The engine to run, or `auto`: to each file the one that suits its name
    #[arg(long, default_value = set::AUTO)]
    engine: String,
    /// Print one line of JSON a file: path, size, engine, status, summary, report, resources
    #[arg(long)]
    json: bool,
    /// End with exit code 1 also for this, which is an answer otherwise: `rejected`
    #[arg(long, value_name = "ENDING")]
    fail_on: Option<String>,
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

/// Runs the command. The exit code is the client's: 0 if every file was analysed, one that its engine rejected among them.
///
/// # Errors
///
/// When something does not build or start, ends by itself, or the demo is interrupted.
pub fn run(options: &DemoOptions) -> Result<ExitCode> {
    let tree = Tree::locate()?;
    let begun = Instant::now();
    if !tree.target().join("debug/filemill-server").is_file() {
        filemill_text::tell!("demo: building engines and programs; the first time this takes minutes");
    }
    let engines = engine::find_or_build(&tree, &engine::IN_RUST.map(str::to_owned))?;
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    let binaries = Binaries::find_or_build(&tree, profile)?;
    filemill_text::tell!(
        "demo: built in {:.1} s; server and processor run on this machine",
        begun.elapsed().as_secs_f32()
    );

    let interrupts = interrupt::listen()?;
    let dir = Dir::choose(options.dir.as_deref(), options.keep)?;
    let mut stack = Stack::start(StackOptions {
        database_url: options.database_url.clone(),
        survives: options.keep,
        ..StackOptions::new(dir.path(), binaries, engines)
    })?;
    let analysed = analyse(&tree, options, &mut stack, &interrupts);
    if options.keep {
        say_what_runs(&stack);
        return analysed;
    }
    // What went wrong first is what a person needs to hear of.
    let stopped = stack.stop();
    let code = analysed?;
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

/// Sends files and waits for their results, as a user would.
fn analyse(
    tree: &Tree,
    options: &DemoOptions,
    stack: &mut Stack,
    interrupts: &Receiver<Interrupt>,
) -> Result<ExitCode> {
    let client = stack.client("client")?;
    if options.paths.is_empty() {
        return analyse_set(tree, options, &client, stack, interrupts);
    }
    let addresses = stack.addresses();
    filemill_text::tell!("demo: server {}, storage {}", addresses.listening, addresses.storage);
    filemill_text::tell!("demo: state and logs in `{}`", stack.dir().display());
    let mut send = send(&client, options, &options.engine, options.out.as_deref())?;
    if options.json {
        send.arg("--json");
    }
    send.arg("--").args(what_to_send(tree, options, stack.dir())?);
    let begun = Instant::now();
    let status = client::run(send, stack, interrupts)?;
    filemill_text::tell!("demo: sent and analysed in {:.1} s ({status})", begun.elapsed().as_secs_f32());
    Ok(exit_code(status))
}

/// A call of `filemill send`, without what is to be sent.
fn send(client: &Client, options: &DemoOptions, engine: &str, out: Option<&Path>) -> Result<Command> {
    let mut send = client.command_ending_with_us();
    send.args(["send", "--engine", engine]);
    if let Some(ending) = &options.fail_on {
        send.args(["--fail-on", ending]);
    }
    if let Some(out) = out {
        send.arg("--out").arg(std::path::absolute(out)?);
    }
    Ok(send)
}

/// The paths that were given, with the root of this repository as the files that belong to it.
fn what_to_send(tree: &Tree, options: &DemoOptions, state: &Path) -> Result<Vec<OsString>> {
    let out = options.out.as_ref().and_then(|out| fs::canonicalize(out).ok());
    let leave_out: Vec<&Path> = [Some(state), out.as_deref()].into_iter().flatten().collect();
    let root = fs::canonicalize(tree.root())?;
    let mut paths = Vec::new();
    for path in &options.paths {
        if fs::canonicalize(path).is_ok_and(|path| path == root) {
            let under = |file: PathBuf| if path == Path::new(".") { file } else { path.join(file) };
            paths.extend(tree.files(&leave_out)?.into_iter().map(|file| under(file).into_os_string()));
        } else {
            paths.push(path.into());
        }
    }
    Ok(paths)
}

/// Sends the chosen files, each to its engine, and shows what came of them on one screen and one page.
fn analyse_set(
    tree: &Tree,
    options: &DemoOptions,
    client: &Client,
    stack: &mut Stack,
    interrupts: &Receiver<Interrupt>,
) -> Result<ExitCode> {
    let place = tree.target().join("demo");
    let results = match &options.out {
        Some(out) => std::path::absolute(out)?,
        None => place.join("results"),
    };
    clear(&place)?;
    let files = set::write(tree, &place.join("files"))?;
    let begun = Instant::now();
    let mut report = String::new();
    let mut code = ExitCode::SUCCESS;
    for (engine, files) in by_engine(&options.engine, &files) {
        let mut send = send(client, options, engine, Some(&results))?;
        send.args(["--json", "--"]).args(files);
        let logs = stack.dir().join("logs");
        let (out, log) = (logs.join(format!("send-{engine}.out")), logs.join(format!("send-{engine}.log")));
        send.stdout(File::create(&out)?).stderr(File::create(&log)?);
        let status = client::run(send, stack, interrupts)?;
        if !status.success() {
            filemill_text::tell_lines(fs::read_to_string(&log)?);
            code = exit_code(status);
        }
        report.push_str(&fs::read_to_string(&out)?);
    }
    let took = begun.elapsed();
    if options.json {
        let mut out = Lines::on_stdout();
        report.lines().try_for_each(|line| out.json(line))?;
        out.flush()?;
        return Ok(code);
    }
    let mut rows = report.lines().map(Row::read).collect::<Result<Vec<Row>>>()?;
    row::in_order(&mut rows);
    let index = place.join("index.html");
    page::write(&rows, &index)?;
    screen::print(&rows, took, &index)?;
    ensure!(
        rows.len() == files.len(),
        "{} of {} files have no line in the report",
        files.len() - rows.len(),
        files.len()
    );
    Ok(code)
}

/// Removes what the last demo left in its folder.
fn clear(place: &Path) -> Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", place.display()))
        }
        _ => Ok(()),
    }
}

/// The files of the set with the engine that they are sent to: each one's own, or the one that was asked for.
fn by_engine<'a>(asked: &'a str, files: &'a [PathBuf]) -> Vec<(&'a str, Vec<&'a Path>)> {
    let mut calls: Vec<(&str, Vec<&Path>)> = Vec::new();
    for (chosen, file) in set::SET.iter().zip(files) {
        let engine = if asked == set::AUTO { chosen.engine } else { asked };
        match calls.iter_mut().find(|(of, _)| *of == engine) {
            Some((_, files)) => files.push(file),
            None => calls.push((engine, vec![file])),
        }
    }
    calls
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
