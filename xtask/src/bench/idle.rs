//! `cargo xtask bench idle`: what a watcher of many quiet files takes of the processor, and how soon it finds a new one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::processor::seconds_of;
use super::record::{Record, median};
use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::program;
use crate::stack::{Client, Stack, StackOptions, spawn};
use crate::tree::Tree;
use crate::wait;

/// How to measure.
#[derive(Debug, Args)]
pub struct IdleOptions {
    /// Folder with a build's three programs; several are measured in turn. Those of this tree if absent
    #[arg(long, value_name = "DIR")]
    bin_dir: Vec<PathBuf>,
    /// Files that are watched
    #[arg(long, default_value_t = 100_000)]
    files: u64,
    /// Files in one folder
    #[arg(long, default_value_t = 100)]
    per_folder: u64,
    /// How long to measure, in seconds. A rare look through 100,000 files goes on for minutes, at the same pace: a window
    /// that holds a whole one is longer than this
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Windows that are measured with each build
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// On an overlay whose lower parts change unseen: as on a file system over a network, no event comes. Needs root
    #[arg(long)]
    without_events: bool,
}

/// Until everything is sent and quiet.
const READY_LIMIT: Duration = Duration::from_secs(1800);
/// For so long nothing happens before the window begins: rest times are over, and looks have become rare.
const QUIET: Duration = Duration::from_secs(20);
/// Until a new file has its result.
const FOUND_LIMIT: Duration = Duration::from_secs(600);
/// New files, whose median time counts.
const NEW_FILES: usize = 5;

pub(super) fn run(options: &IdleOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let engines = engine::find_or_build(&tree, &["size".into()])?;
    let builds = if options.bin_dir.is_empty() {
        vec![Binaries::find_or_build(&tree, Profile::Release)?]
    } else {
        options.bin_dir.iter().map(|dir| Binaries::in_dir(dir)).collect::<Result<_>>()?
    };
    let name = if options.without_events { "idle-without-events" } else { "idle" };
    let record = Record::begin(&tree, name, "as built")?;
    let mut shares = vec![Vec::new(); builds.len()];
    for round in 0..options.rounds {
        // The first is the last next time: whatever drifts does so for both.
        let mut order: Vec<usize> = (0..builds.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for build in order {
            let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
            let stack = StackOptions::new(dir.path().join("stack"), builds[build].clone(), engines.clone());
            let stack = Stack::start(stack)?;
            let mut figures = measure(dir.path(), &stack, options)?;
            stack.stop()?;
            shares[build].extend(figures["share_of_a_core_percent"].as_f64());
            figures["programs"] = json!(builds[build].dir());
            figures["round"] = json!(round);
            record.add(&figures)?;
        }
    }
    for (build, shares) in builds.iter().zip(&shares) {
        record.add(&json!({ "programs": build.dir(), "median_share_of_a_core_percent": median(shares) }))?;
    }
    Ok(())
}

/// One build's watcher: its share of a core while nothing happens, and how long new files take.
fn measure(dir: &Path, stack: &Stack, options: &IdleOptions) -> Result<Value> {
    let below = dir.join("files");
    plant(&below, options)?;
    let overlay = if options.without_events { Some(Overlay::mount(dir, &below)?) } else { None };
    let watched = overlay.as_ref().map_or(below.as_path(), |overlay| &overlay.at);
    // Where nobody is told of what appears.
    let drop_into = overlay.as_ref().map_or(below.as_path(), |overlay| &overlay.upper);
    let client = stack.client("watcher")?;
    let out = dir.join("watch.out");
    let mut watcher = Watcher::start(&client, watched, &out)?;
    let begun = Instant::now();
    while lines(&out)? < options.files {
        watcher.expect_running()?;
        ensure!(begun.elapsed() < READY_LIMIT, "the files are not all sent after {} s", READY_LIMIT.as_secs());
        // The output is long: it is not read all the time.
        thread::sleep(Duration::from_secs(1));
    }
    thread::sleep(QUIET);
    let status = program_stderr(client.command().arg("status"))?;
    let (before, begun) = (seconds_of(watcher.child.id())?, Instant::now());
    thread::sleep(Duration::from_secs(options.seconds));
    let (used, took) = (seconds_of(watcher.child.id())? - before, begun.elapsed().as_secs_f64());
    watcher.expect_running()?;
    let mut found = Vec::new();
    for number in 0..NEW_FILES {
        let had = fs::metadata(&out)?.len();
        let begun = Instant::now();
        fs::write(drop_into.join(format!("new-{number}")), format!("new {number}"))?;
        wait::until("a new file's result", FOUND_LIMIT, || Ok((fs::metadata(&out)?.len() > had).then_some(())))?;
        found.push(begun.elapsed().as_secs_f64());
    }
    watcher.stop()?;
    Ok(json!({
        "files": options.files,
        "window_s": took.round(),
        "processor_s": used,
        "share_of_a_core_percent": (used / took * 100_000.0).round() / 1000.0,
        "new_file_to_result_s": median(&found),
        "status": status.lines().filter(|line| line.contains("looked through")).collect::<Vec<_>>(),
    }))
}

fn plant(below: &Path, options: &IdleOptions) -> Result<()> {
    for number in 0..options.files {
        let folder = below.join(format!("{}", number / options.per_folder.max(1)));
        if number % options.per_folder.max(1) == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("{number}.txt")), format!("quiet file {number}\n"))?;
    }
    Ok(())
}

fn lines(out: &Path) -> Result<u64> {
    let text = fs::read(out).with_context(|| format!("cannot read `{}`", out.display()))?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}

fn program_stderr(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", program::shown(command)))?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// `filemill watch`, running. Killed when this is dropped.
struct Watcher {
    child: Child,
}

impl Watcher {
    fn start(client: &Client, watched: &Path, out: &Path) -> Result<Self> {
        let mut command = client.command_ending_with_us();
        command.args(["watch", "--json", "--"]).arg(watched);
        command.stdin(Stdio::null()).stdout(File::create(out)?).stderr(File::create(out.with_extension("log"))?);
        Ok(Self { child: spawn(command)? })
    }

    fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the watcher ended by itself ({status})"),
        }
    }

    fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        wait::until("the watcher to end", Duration::from_secs(60), || Ok(self.child.try_wait()?))?;
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An overlay over a folder. Gone when this is dropped.
struct Overlay {
    at: PathBuf,
    upper: PathBuf,
}

impl Overlay {
    fn mount(dir: &Path, lower: &Path) -> Result<Self> {
        let [at, upper, work] = ["merged", "upper", "work"].map(|name| dir.join(name));
        for folder in [&at, &upper, &work] {
            fs::create_dir(folder)?;
        }
        let [lower, above, work] = [lower, &upper, &work].map(|path| path.display().to_string());
        let layers = format!("lowerdir={lower},upperdir={above},workdir={work}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "-o", &layers, "filemill-bench"]).arg(&at);
        program::output(&mut mount).context("cannot mount an overlay\nhint: only root can")?;
        Ok(Self { at, upper })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
