//! One user: a watched folder into which files are dropped, and a watcher whose words are read.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::ledger::{Ledger, Told};
use crate::random::Sequence;
use crate::stack::{Client, spawn};
use crate::wait;

/// How long a watcher may take to end after SIGINT.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Sizes of the files, in bytes.
const SIZES: std::ops::Range<usize> = 4_096..65_536;

/// Files without a result, in seconds of the pace, beyond which no more are dropped: so that a part that hangs does not fill
/// the disk. Those that are held back are counted.
const OPEN_LIMIT_S: f64 = 180.0;

/// A user who watches a folder.
pub(crate) struct Person {
    name: String,
    client: Client,
    inbox: PathBuf,
    watcher: Child,
    ledger: Arc<Mutex<Ledger>>,
    readers: Vec<JoinHandle<()>>,
    dropping: Option<(Arc<AtomicBool>, JoinHandle<Result<()>>)>,
}

/// A line of the client's report, as far as it is counted.
#[derive(Debug, Deserialize)]
struct Line {
    path: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Person {
    /// Starts the watcher on an empty folder below `dir`.
    pub(crate) fn start(name: &str, client: Client, dir: &Path) -> Result<Self> {
        let inbox = dir.join(name).join("inbox");
        fs::create_dir_all(&inbox).with_context(|| format!("cannot create `{}`", inbox.display()))?;
        let ledger = Arc::<Mutex<Ledger>>::default();
        let (watcher, readers) = watch(&client, &inbox, &ledger)?;
        Ok(Self { name: name.to_owned(), client, inbox, watcher, ledger, readers, dropping: None })
    }

    /// Ends the watcher, and starts that of another program at the same home, on the same folder. Files are dropped meanwhile.
    pub(crate) fn upgrade(&mut self, client: Client) -> Result<()> {
        self.end_watcher()?;
        (self.watcher, self.readers) = watch(&client, &self.inbox, &self.ledger)?;
        self.client = client;
        Ok(())
    }

    /// Begins to drop `per_s` files a second into the folder.
    pub(crate) fn begin(&mut self, seed: u64, per_s: f64) -> Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let staging = self.inbox.with_file_name("staging");
        fs::create_dir_all(&staging).with_context(|| format!("cannot create `{}`", staging.display()))?;
        let dropper = Dropper {
            stop: Arc::clone(&stop),
            ledger: Arc::clone(&self.ledger),
            staging,
            inbox: self.inbox.clone(),
            text: Text::new(seed),
            per_s,
        };
        self.dropping = Some((stop, thread::spawn(move || dropper.run())));
        Ok(())
    }

    /// Drops no more.
    pub(crate) fn end_dropping(&mut self) -> Result<()> {
        let Some((stop, thread)) = self.dropping.take() else { return Ok(()) };
        stop.store(true, Ordering::Relaxed);
        thread.join().map_err(|_| anyhow::anyhow!("the thread that drops files panicked"))?
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// The watcher's process id.
    pub(crate) fn id(&self) -> u32 {
        self.watcher.id()
    }

    /// An error if the watcher has ended by itself.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        let ended = self.watcher.try_wait().context("cannot ask for a watcher")?;
        ensure!(
            ended.is_none(),
            "the watcher of {} ended by itself ({ended:?}): {:?}",
            self.name,
            self.ledger().examples
        );
        Ok(())
    }

    /// Drops no more, and ends the watcher.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.end_dropping()?;
        self.end_watcher()
    }

    /// Ends the watcher as Ctrl-C would, and reads what it said to the end.
    fn end_watcher(&mut self) -> Result<()> {
        if let Some(id) = i32::try_from(self.watcher.id()).ok().and_then(Pid::from_raw)
            && self.watcher.try_wait()?.is_none()
        {
            kill_process(id, Signal::INT).map_err(std::io::Error::from).context("cannot end a watcher")?;
        }
        let what = format!("the watcher of {} to end", self.name);
        if let Err(error) = wait::until(&what, STOP_LIMIT, || Ok(self.watcher.try_wait()?)) {
            self.ledger().complaint(&format!("{error:#}"));
            self.watcher.kill().and_then(|()| self.watcher.wait()).context("cannot kill a watcher")?;
        }
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| anyhow::anyhow!("the thread that reads a watcher panicked"))?;
        }
        Ok(())
    }

    /// How often each file stands in the client's journal with a result, by `filemill results`.
    pub(crate) fn in_journal(&self) -> Result<std::collections::HashMap<String, u32>> {
        let mut times = std::collections::HashMap::new();
        for line in self.lines(&["results", "--json"])? {
            *times.entry(base_name(&line.path).to_owned()).or_default() += 1;
        }
        Ok(times)
    }

    /// Files that the client says are still waiting, by `filemill status`.
    pub(crate) fn waiting(&self) -> Result<std::collections::HashSet<String>> {
        Ok(self.lines(&["status", "--json"])?.iter().map(|line| base_name(&line.path).to_owned()).collect())
    }

    fn lines(&self, args: &[&str]) -> Result<Vec<Line>> {
        let mut command = self.client.command();
        command.args(args);
        // `results` fails where a file did: that is counted elsewhere.
        let output = command.stdin(Stdio::null()).output().context("cannot start the client")?;
        let text = String::from_utf8(output.stdout).context("the client wrote something else than text")?;
        text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not a report: {line}"))).collect()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Both fail only for one that has ended.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

/// Starts a watcher, whose words are read until it ends.
fn watch(client: &Client, inbox: &Path, ledger: &Arc<Mutex<Ledger>>) -> Result<(Child, Vec<JoinHandle<()>>)> {
    let mut watch = client.command_ending_with_us();
    watch.args(["watch", "--engine", "size", "--json"]).arg(inbox);
    watch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watcher = spawn(watch).context("cannot start a watcher")?;
    let (out, log) = (watcher.stdout.take().context("no output")?, watcher.stderr.take().context("no output")?);
    let readers = vec![
        thread::spawn({
            let (ledger, inbox) = (Arc::clone(ledger), inbox.to_owned());
            move || read_results(out, &inbox, &ledger)
        }),
        thread::spawn({
            let ledger = Arc::clone(ledger);
            move || read_words(log, &ledger)
        }),
    ];
    Ok((watcher, readers))
}

fn read_results(out: impl Read, inbox: &Path, ledger: &Mutex<Ledger>) {
    for line in BufReader::new(out).lines() {
        let Ok(line) = line else { return };
        let now = Instant::now();
        let Ok(line) = serde_json::from_str::<Line>(&line) else {
            lock(ledger).complaint(&format!("not a report: {line}"));
            continue;
        };
        let name = base_name(&line.path);
        let told = Told {
            name,
            status: line.status.as_deref().unwrap_or("none"),
            outcome: line.outcome.as_deref(),
            message: line.message.as_deref(),
        };
        lock(ledger).told(told, now);
        // As somebody who clears their folder; also, half a million files would fill the disk.
        let _ = fs::remove_file(inbox.join(name));
    }
}

fn read_words(log: impl Read, ledger: &Mutex<Ledger>) {
    for line in BufReader::new(log).lines() {
        let Ok(line) = line else { return };
        if is_complaint(&line) {
            lock(ledger).complaint(&line);
        }
    }
}

/// Whether a line on standard error is one that a person would read as trouble.
fn is_complaint(line: &str) -> bool {
    let failed = line.contains(" failed") && !line.contains(" 0 failed");
    line.starts_with("error") || line.starts_with("warning") || line.contains("` waits: ") || failed
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops files at a pace.
struct Dropper {
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    staging: PathBuf,
    inbox: PathBuf,
    text: Text,
    per_s: f64,
}

impl Dropper {
    fn run(mut self) -> Result<()> {
        let begin = Instant::now();
        let limit = (self.per_s * OPEN_LIMIT_S) as usize;
        for number in 0_u64.. {
            let due = begin + Duration::from_secs_f64(number as f64 / self.per_s);
            while let Some(pause) = due.checked_duration_since(Instant::now()) {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                thread::sleep(pause.min(Duration::from_millis(100)));
            }
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if lock(&self.ledger).open_count() >= limit {
                lock(&self.ledger).held_back();
                continue;
            }
            self.drop_one(number)?;
        }
        Ok(())
    }

    /// Writes a file and moves it in: it is there as a whole, as a browser's or a scanner's last step leaves it.
    fn drop_one(&mut self, number: u64) -> Result<()> {
        let name = format!("{number:07}.log");
        let staged = self.staging.join(&name);
        self.text.write(&staged, number).with_context(|| format!("cannot write `{}`", staged.display()))?;
        lock(&self.ledger).dropping(name.clone(), Instant::now());
        fs::rename(&staged, self.inbox.join(&name)).with_context(|| format!("cannot drop `{name}`"))
    }
}

/// Logs of any length, no two alike.
struct Text {
    random: Sequence,
    lines: Vec<u8>,
}

impl Text {
    fn new(seed: u64) -> Self {
        let mut random = Sequence(seed);
        let mut lines = Vec::with_capacity(3 * SIZES.end);
        while lines.len() < 2 * SIZES.end {
            let line = format!("sample={:x} value={} unit=ms\n", random.next(), random.next() % 1_000_000);
            lines.extend_from_slice(line.as_bytes());
        }
        Self { random, lines }
    }

    fn write(&mut self, file: &Path, number: u64) -> std::io::Result<()> {
        let mut below = |bound: usize| (self.random.next() % bound as u64) as usize;
        let (length, from) = (SIZES.start + below(SIZES.len()), below(SIZES.end));
        let mut file = fs::File::create(file)?;
        // Nothing was sent before that has this content: the number and the random text that follows are its own.
        let head = format!("{number} {:016x}{:016x}\n", self.random.next(), self.random.next());
        file.write_all(head.as_bytes())?;
        file.write_all(&self.lines[from..from + length - head.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_of_the_announced_sizes_and_no_two_alike() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut text = Text::new(1);
        let contents: std::collections::HashSet<Vec<u8>> = (0..50)
            .map(|number| {
                let file = dir.path().join("file");
                text.write(&file, number).expect("written");
                fs::read(&file).expect("read")
            })
            .collect();
        assert_eq!(contents.len(), 50);
        assert!(contents.iter().all(|content| SIZES.contains(&content.len())));
    }

    #[test]
    fn progress_is_no_complaint_and_an_error_is() {
        for line in [
            "3 of 10 files done; 50 MiB of 100 MiB stored, 2 MiB/s up",
            "10 files: 10 succeeded, 0 failed; 3 B in 0 s",
            "watching `inbox`",
        ] {
            assert!(!is_complaint(line), "{line}");
        }
        for line in ["error: the server is away", "`a` waits: offline", "3 files: 2 succeeded, 1 failed; 3 B in 0 s"] {
            assert!(is_complaint(line), "{line}");
        }
    }
}
