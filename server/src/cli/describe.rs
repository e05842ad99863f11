//! What a component says of itself: read by `filemill-processor inspect`, in a process of its own. The server runs no engine.

use std::env;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use filemill_server::MAX_DESCRIPTION_BYTES;
use filemill_text::shown;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// What to do where nothing can read descriptions.
pub(super) const HINT: &str = "name the program with --processor PATH, or give what `filemill-processor inspect FILE` prints with --description FILE";

/// The program that is asked.
const PROCESSOR: &str = "filemill-processor";
/// How long it may take: it compiles the component first, and ends that by itself after a shorter time.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// How often to look whether it has ended.
const POLL: Duration = Duration::from_millis(20);
/// What is kept of its complaint, in bytes.
const COMPLAINT_MAX_BYTES: u64 = 4096;
/// What the program is told of the environment: this process has credentials in its own, and the program runs what is hostile.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "FILEMILL_CACHE_DIR"];

/// A description document, with what a release is called by it.
#[derive(Debug)]
pub(super) struct Described {
    /// Byte for byte.
    pub(super) document: String,
    pub(super) name: String,
    pub(super) version: String,
}

impl Described {
    /// Reads a document.
    ///
    /// # Errors
    /// It is too long, or no JSON object with a name and a version.
    pub(super) fn read(document: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Document {
            name: String,
            version: String,
        }
        let document = document.trim_ascii();
        ensure!(
            document.len() <= MAX_DESCRIPTION_BYTES,
            "the description is longer than {MAX_DESCRIPTION_BYTES} bytes"
        );
        let document = std::str::from_utf8(document).context("the description is not UTF-8")?;
        ensure!(document.starts_with('{'), "the description is not one JSON object");
        let Document { name, version } =
            serde_json::from_str(document).context("the description is not a JSON object with a name and a version")?;
        Ok(Self { document: document.to_owned(), name, version })
    }

    /// Reads the document in a file.
    ///
    /// # Errors
    /// As [`Self::read`], and what keeps the file from being read.
    pub(super) fn from_file(file: &Path) -> anyhow::Result<Self> {
        let mut document = Vec::new();
        ensure!(std::fs::metadata(file)?.is_file(), "it is not a regular file");
        // Room for a line feed at the end, and for the byte that is too much.
        std::fs::File::open(file)?.take(MAX_DESCRIPTION_BYTES as u64 + 3).read_to_end(&mut document)?;
        Self::read(&document)
    }
}

/// The program that reads descriptions: the one that was named, the one beside this program, or the one on the path.
pub(super) fn find_processor(named: Option<PathBuf>) -> Option<PathBuf> {
    if named.is_some() {
        return named;
    }
    let file = format!("{PROCESSOR}{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join(&file)));
    let path = env::var_os("PATH").unwrap_or_default();
    // An empty or relative part of the path is the folder that somebody happens to be in.
    let on_path = env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(&file));
    beside.into_iter().chain(on_path).find(|program| program.is_file())
}

/// Asks the program what these very bytes say of themselves.
///
/// # Errors
/// It cannot be started, does not end in time or before `stop`, says too much, or refuses the component.
pub(super) fn describe(processor: &Path, component: &[u8], stop: &CancellationToken) -> anyhow::Result<Described> {
    describe_within(processor, component, TIME_LIMIT, stop)
        .with_context(|| format!("`{} inspect`", processor.display()))
}

fn describe_within(
    processor: &Path,
    component: &[u8],
    limit: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Described> {
    let mut command = Command::new(processor);
    command.args(["inspect", "-"]).env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((*name, env::var_os(name)?))));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().context("cannot be started")?);
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (running.0.stdin.take(), running.0.stdout.take(), running.0.stderr.take())
    else {
        bail!("cannot be talked to");
    };
    let (status, said, complaint) = thread::scope(|scope| {
        // Whoever does not read it says why.
        scope.spawn(move || drop(stdin.write_all(component)));
        // Behind that the pipe is closed: whoever goes on writing is ended by it.
        let said = scope.spawn(move || read_up_to(stdout, MAX_DESCRIPTION_BYTES as u64 + 3).0);
        let complaint = scope.spawn(move || {
            let (kept, mut rest) = read_up_to(stderr, COMPLAINT_MAX_BYTES);
            // Or it would wait for somebody to read on.
            let _ = io::copy(&mut rest, &mut io::sink());
            kept
        });
        let status = running.wait(limit, stop);
        // With it and its children the pipes end.
        running.end();
        (status, said.join().unwrap_or_default(), complaint.join().unwrap_or_default())
    });
    ensure!(said.len() <= MAX_DESCRIPTION_BYTES + 2, "says more than {MAX_DESCRIPTION_BYTES} bytes");
    let status = status.with_context(|| format!("did not end within {} s", limit.as_secs()))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint = complaint.trim().strip_prefix("error: ").unwrap_or(complaint.trim());
        let one_line = shown(&complaint.replace('\n', "; "));
        bail!("{}", if one_line.is_empty() { status.to_string() } else { one_line });
    }
    Described::read(&said)
}

/// The first bytes, and what comes behind them.
fn read_up_to(mut from: impl Read, most: u64) -> (Vec<u8>, impl Read) {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(most).read_to_end(&mut bytes);
    (bytes, from)
}

/// A child that does not outlive this.
struct Running(Child);

impl Running {
    /// How it ended; nothing if it did not within the limit, or is not to be waited for any more.
    fn wait(&mut self, limit: Duration, stop: &CancellationToken) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if begun.elapsed() <= limit && !stop.is_cancelled() => thread::sleep(POLL),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn end(&mut self) {
        // It has a group of its own, in which the compiler runs that it starts.
        #[cfg(unix)]
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        );
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that does this.
    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("changed");
        path
    }

    fn said_by(script: &str, limit: Duration) -> anyhow::Result<Described> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        describe_within(&program(folder.path(), script), &vec![7; 1 << 20], limit, &CancellationToken::new())
    }

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_description_is_taken_byte_for_byte_and_without_the_line_feed_behind_it() {
        let described =
            said_by(r#"cat > /dev/null; echo '{"name": "a", "version":"1.0.0", "x": []}'"#, LIMIT).expect("described");
        assert_eq!(described.document, r#"{"name": "a", "version":"1.0.0", "x": []}"#);
        assert_eq!((described.name.as_str(), described.version.as_str()), ("a", "1.0.0"));
    }

    #[test]
    fn a_program_that_says_too_much_or_never_ends_is_ended() {
        let begun = Instant::now();
        let error = said_by("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", LIMIT);
        assert!(format!("{:#}", error.expect_err("too much")).contains("says more than"));
        let error = said_by("sleep 1000", Duration::from_millis(200)).expect_err("endless");
        assert!(format!("{error:#}").contains("did not end"), "{error:#}");
        assert!(begun.elapsed() < 2 * LIMIT);
        let error = said_by("head -c 300000 /dev/zero | tr '\\0' x", LIMIT).expect_err("too much");
        assert!(format!("{error:#}").contains("more than 262144"), "{error:#}");
    }

    #[test]
    fn a_complaint_is_bounded_passed_on_and_obeyed_by_no_terminal() {
        let error = said_by("printf 'error: it \\033[2J is broken\\nhint: mend it\\n' >&2; exit 1", LIMIT);
        let error = format!("{:#}", error.expect_err("refused"));
        assert!(error.ends_with(r"it \u{1b}[2J is broken; hint: mend it"), "{error}");
        let error = said_by("head -c 9000000 /dev/zero | tr '\\0' x >&2; exit 1", LIMIT).expect_err("refused");
        assert!(format!("{error:#}").len() < 5000);
    }

    #[test]
    fn no_secret_of_the_servers_environment_is_passed_on() {
        let described = said_by(r#"cat > /dev/null; printf '{"name":"%s","version":"1"}' "$CARGO_PKG_NAME""#, LIMIT);
        assert_eq!(described.expect("described").name, "");
        assert!(env::var_os("CARGO_PKG_NAME").is_some(), "it is there in this process");
    }
}
