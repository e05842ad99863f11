//! `cargo xtask bench way`: from a dropped file to its opened result, next to what merely uploads the same to the same S3.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::inputs;
use super::processor::seconds_of;
use super::record::{Record, median};
use crate::binaries::{Binaries, Profile};
use crate::engine::{self, Engine};
use crate::program;
use crate::stack::{Stack, StackOptions};
use crate::tree::Tree;

/// Length of the log file, in MiB.
const LOG_MIB: u64 = 1024;
/// Number of small files.
const SMALL_FILES: u64 = 5_000;
/// Number of files of less than half a KiB, and of small ones, whose processor time two builds are compared by.
const TINY_FILES: u64 = 100_000;
const MANY_FILES: u64 = 20_000;

/// How to measure.
#[derive(Debug, Args)]
pub struct WayOptions {
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of the log file in MiB
    #[arg(long, default_value_t = LOG_MIB)]
    log_mib: u64,
    /// Number of small files
    #[arg(long, default_value_t = SMALL_FILES)]
    files: u64,
    /// Length in MiB of the large file, whose memory is measured
    #[arg(long, default_value_t = 3072)]
    large_mib: u64,
    /// Measure the dev profile
    #[arg(long)]
    dev: bool,
}

/// What is sent.
pub(super) struct Input {
    pub(super) name: &'static str,
    path: PathBuf,
    bytes: u64,
    files: u64,
    /// What is measured: everybody's time over several rounds, or the memory of ours.
    with_peers: bool,
}

pub(super) fn run(options: &WayOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let engines = engine::find_or_build(&tree, &["size".into()])?;
    let (profile, name) = if options.dev { (Profile::Dev, "dev") } else { (Profile::Release, "release") };
    let binaries = Binaries::find_or_build(&tree, profile)?;
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    let inputs = make_inputs(dir.path(), options)?;
    let record = Record::begin(&tree, "way", name)?;
    for input in &inputs {
        let mut stack =
            Stack::start(StackOptions::new(dir.path().join(input.name), binaries.clone(), engines.clone()))?;
        let mut times: [Vec<f64>; 3] = Default::default();
        let (rounds, runners) = if input.with_peers { (options.rounds, 3) } else { (1, 1) };
        for round in 0..rounds {
            for (number, runner) in [filemill, s5cmd, rclone].into_iter().take(runners).enumerate() {
                let figures = runner(&stack, input, round)?;
                times[number].extend(figures.get("seconds").and_then(Value::as_f64));
                record.add(&figures)?;
            }
        }
        let server = stack.server_mut().peak_resident_bytes()?;
        let processor = stack.processors_mut().first().context("no processor runs")?.peak_resident_bytes()?;
        let [filemill, s5cmd, rclone] = times.map(|times| median(&times));
        record.add(&json!({
            "input": input.name, "bytes": input.bytes, "files": input.files, "median_seconds":
            { "filemill to result": filemill, "s5cmd upload": s5cmd, "rclone upload": rclone },
            "files_per_s": filemill.map(|seconds| (input.files as f64 / seconds).round()),
            "server_peak_mib": server >> 20, "processor_peak_mib": processor >> 20,
        }))?;
        stack.stop()?;
    }
    Ok(())
}

/// The inputs that a comparison of two builds sends.
pub(super) const INPUTS: [&str; 4] = ["log", "small", "tiny", "many"];

/// Makes one of [`INPUTS`] in `dir`: of its usual size divided by `divisor`.
pub(super) fn make_input(dir: &Path, name: &'static str, divisor: u64) -> Result<Input> {
    match name {
        "log" => log_input(dir, LOG_MIB / divisor),
        "tiny" => {
            let (path, files) = (dir.join("tiny"), TINY_FILES / divisor);
            inputs::tiny_files(&path, files)?;
            Ok(Input { name: "tiny", bytes: tree_bytes(&path)?, path, files, with_peers: false })
        }
        "many" => small_input(dir, "many", MANY_FILES / divisor),
        _ => small_input(dir, "small", SMALL_FILES / divisor),
    }
}

/// Sends an input to a stack of its own, once everything is warm, and waits for the opened results.
pub(super) fn send_once(dir: &Path, binaries: &Binaries, engines: &[Engine], input: &Input) -> Result<Value> {
    let mut stack = Stack::start(StackOptions::new(dir.join("stack"), binaries.clone(), engines.to_vec()))?;
    let warm = dir.join("warm.txt");
    fs::write(&warm, "so that the processor has announced its pool and compiled the engine")?;
    let first = stack.client("first")?;
    let mut send = first.command();
    send.arg("send").arg(&warm);
    program::output(&mut send)?;
    let before = parts_cpu_s(&mut stack)?;
    let mut figures = filemill(&stack, input, 0)?;
    let parts = parts_cpu_s(&mut stack)? - before;
    // Of all programs together: what a person's machine spends, whoever of them does it.
    let client = figures["client_cpu_s"].as_f64().unwrap_or_default();
    figures["cpu_s"] = json!(((client + parts) * 100.0).round() / 100.0);
    figures["server_peak_mib"] = json!(stack.server_mut().peak_resident_bytes()? >> 20);
    let processor = stack.processors_mut().first().context("no processor runs")?;
    figures["processor_peak_mib"] = json!(processor.peak_resident_bytes()? >> 20);
    stack.stop()?;
    Ok(figures)
}

/// Processor time of the server and the processor so far, in seconds.
fn parts_cpu_s(stack: &mut Stack) -> Result<f64> {
    let server = seconds_of(stack.server_mut().id()?)?;
    let processor = seconds_of(stack.processors_mut().first().context("no processor runs")?.id()?)?;
    Ok(server + processor)
}

fn make_inputs(dir: &Path, options: &WayOptions) -> Result<Vec<Input>> {
    filemill_text::tell!("bench: making the inputs");
    let large = dir.join("large.bin");
    inputs::half_noise(&large, options.large_mib << 20)?;
    Ok(vec![
        log_input(dir, options.log_mib)?,
        small_input(dir, "small", options.files)?,
        Input { name: "large", bytes: fs::metadata(&large)?.len(), path: large, files: 1, with_peers: false },
    ])
}

fn log_input(dir: &Path, mib: u64) -> Result<Input> {
    let path = dir.join("service.log");
    inputs::logs(&path, mib << 20)?;
    Ok(Input { name: "log", bytes: fs::metadata(&path)?.len(), path, files: 1, with_peers: true })
}

fn small_input(dir: &Path, name: &'static str, files: u64) -> Result<Input> {
    let path = dir.join(name);
    inputs::small_files(&path, files)?;
    Ok(Input { name, bytes: tree_bytes(&path)?, path, files, with_peers: true })
}

fn tree_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { tree_bytes(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

/// Sends and waits for the opened results, as a user of its own each round: nothing is known from before.
fn filemill(stack: &Stack, input: &Input, round: usize) -> Result<Value> {
    let client = stack.client(&format!("round-{round}"))?;
    let mut command = client.command();
    command.args(["send", "--json"]).arg(&input.path);
    let Timed { seconds, peak_mib, cpu_s } = timed(&mut command)?;
    Ok(json!({
        "input": input.name, "program": "filemill", "seconds": seconds, "client_peak_mib": peak_mib, "client_cpu_s": cpu_s,
    }))
}

fn s5cmd(stack: &Stack, input: &Input, round: usize) -> Result<Value> {
    let mut command = Command::new("s5cmd");
    let source =
        if input.path.is_dir() { format!("{}/", input.path.display()) } else { input.path.display().to_string() };
    // One object a file, as the embedded storage takes it: parts of up to 5 GiB.
    command.args(["--endpoint-url", &stack.addresses().storage, "cp", "--part-size", "5000", &source]);
    command.arg(format!("s3://{}/bench/s5cmd-{round}/", bucket(stack)?));
    upload(stack, &mut command, input, "s5cmd")
}

fn rclone(stack: &Stack, input: &Input, round: usize) -> Result<Value> {
    let mut command = Command::new("rclone");
    command.args(["copy", "--s3-provider", "Other", "--s3-env-auth", "--s3-no-check-bucket"]);
    command.args([
        "--no-check-dest",
        "--s3-list-version",
        "2",
        "--s3-upload-cutoff",
        "5Gi",
        "--s3-force-path-style",
        "--transfers",
        "16",
        "--s3-endpoint",
        &stack.addresses().storage,
    ]);
    command.arg(&input.path).arg(format!(":s3:{}/bench/rclone-{round}", bucket(stack)?));
    upload(stack, &mut command, input, "rclone")
}

fn upload(stack: &Stack, command: &mut Command, input: &Input, name: &str) -> Result<Value> {
    let secrets = secrets(stack)?;
    let secret = |key: &str| secrets[key].as_str().with_context(|| format!("`secrets.json` has no `{key}`"));
    command
        .env("AWS_ACCESS_KEY_ID", secret("access_key_id")?)
        .env("AWS_SECRET_ACCESS_KEY", secret("secret_access_key")?);
    command.env("AWS_REGION", "us-east-1");
    let Timed { seconds, .. } = timed(command)?;
    Ok(json!({ "input": input.name, "program": name, "seconds": seconds }))
}

fn secrets(stack: &Stack) -> Result<Value> {
    let file = stack.dir().join("server/secrets.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn bucket(stack: &Stack) -> Result<String> {
    let objects = stack.dir().join("server/objects");
    for entry in fs::read_dir(&objects).with_context(|| format!("cannot read `{}`", objects.display()))? {
        let entry = entry?;
        if entry.metadata()?.is_dir()
            && let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.'))
        {
            return Ok(name.to_owned());
        }
    }
    bail!("there is no bucket in `{}`", objects.display())
}

/// What a command took.
struct Timed {
    seconds: f64,
    peak_mib: u64,
    /// Of user and system together.
    cpu_s: f64,
}

/// Runs a command to its end under `time`.
fn timed(command: &mut Command) -> Result<Timed> {
    let report = tempfile::NamedTempFile::new()?;
    let mut time = Command::new("/usr/bin/time");
    time.args(["--format", "%M %U %S", "--output"])
        .arg(report.path())
        .arg(command.get_program())
        .args(command.get_args());
    time.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let begun = Instant::now();
    let output = time
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot start `/usr/bin/time`\nhint: install it (on Debian: `apt-get install time`)")?;
    let seconds = begun.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("{} failed: {}", program::shown(command), String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(report.path())?;
    let mut words = text.lines().last().unwrap_or_default().split_whitespace();
    let mut figure = || words.next().and_then(|word| word.parse::<f64>().ok()).context("`time` reported too little");
    let (kib, user, system) = (figure()?, figure()?, figure()?);
    let seconds = (seconds * 1000.0).round() / 1000.0;
    Ok(Timed { seconds, peak_mib: kib as u64 / 1024, cpu_s: user + system })
}
