//! Compiling a component apart from everything else: in a process of its own that is killed at its deadline.
//!
//! Cranelift cannot be interrupted, and what it is given is hostile: a small function can take it minutes and gigabytes.

mod child;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use self::child::MESSAGE_BYTES;
use crate::backend::{Cancel, printable};
use crate::engine::Lane;

pub use child::run as run_compiler;

/// Code has a few times the bytes of the component; more than this is not taken.
const CODE_MAX_FACTOR: usize = 32;
/// What even the smallest component may come to, in bytes.
const CODE_MIN_BYTES: usize = 16 << 20;
/// What even the largest component may come to, in bytes. One with a Python interpreter comes to 32 MiB.
pub(crate) const MOST_CODE_BYTES: usize = 256 << 20;

/// How late a compiler that nobody waits for any more may be ended.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(20);

/// Where components are compiled.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Compiler {
    /// In this process: nothing bounds the time and the memory it takes. For trusted components.
    #[default]
    Here,
    /// In a child process.
    Child(CompilerProcess),
}

/// How the compiling process is started, and what it may use.
#[derive(Clone, Debug)]
pub struct CompilerProcess {
    /// A program that calls [`run_compiler`] when it is given `arguments`.
    pub program: PathBuf,
    /// What tells it to.
    pub arguments: Vec<OsString>,
    /// Time on the clock; it is killed when it is over.
    pub wall_time: Duration,
    /// CPU time of all its threads together, in whole seconds.
    pub cpu_time: Duration,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

impl CompilerProcess {
    /// `program` with the limits that suit components of up to 32 MiB: 120 s of CPU time, 3 GiB, and 300 s on the clock, because
    /// it gives way to everything else.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            wall_time: Duration::from_secs(300),
            cpu_time: Duration::from_secs(120),
            memory_bytes: 3 << 30,
        }
    }
}

/// Why there is no code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CompileError {
    /// The component is at fault.
    Refused(String),
    /// It took more than it may, of this.
    Over(String),
    /// It was not done in this time.
    Slow(String),
    /// Neither was it, but it was hardly let run.
    Starved(String),
    /// The compiler died of something else than its limits.
    Died(String),
    /// The compiler could not be started.
    Host(String),
    /// It was called off.
    Cancelled,
}

impl CompilerProcess {
    /// Compiles a component in a process of its own. Blocks until that has ended, which is at most `wall_time`.
    pub(crate) fn compile(&self, lane: Lane, component: &[u8], cancel: &Cancel) -> Result<Vec<u8>, CompileError> {
        let started = Instant::now();
        let mut child = self.start(lane).map_err(|e| {
            CompileError::Host(format!("the compiler `{}` cannot be started: {e}", self.program.display()))
        })?;
        let ended = self.attend(&mut child, component, cancel, started);
        if ended.is_err() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| CompileError::Host(format!("the compiler is lost: {e}")))?;
        let (code, message) = ended?;
        let most = most_code(component.len());
        match status.code() {
            // It was cut off while it wrote, so how it ended says nothing.
            _ if code.len() > most => Err(CompileError::Over(format!("{} MiB of code", most >> 20))),
            Some(0) => Ok(code),
            Some(child::REFUSED) => Err(CompileError::Refused(message)),
            Some(child::HOST) => Err(CompileError::Host(message)),
            _ => Err(self.died(status, &message)),
        }
    }

    fn start(&self, lane: Lane) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .args([lane.as_str(), &self.cpu_time.as_secs().max(1).to_string(), &self.memory_bytes.to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Feeds it, and takes what it says; fails where it does not end in time.
    fn attend(
        &self,
        child: &mut Child,
        component: &[u8],
        cancel: &Cancel,
        started: Instant,
    ) -> Result<(Vec<u8>, String), CompileError> {
        let lost = || CompileError::Host("the compiler's pipes are not connected".to_owned());
        let mut stdin = child.stdin.take().ok_or_else(lost)?;
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let stderr = child.stderr.take().ok_or_else(lost)?;
        let most = most_code(component.len());
        let (said, hear) = channel();
        thread::scope(|scope| {
            // One that dies early does not read to the end: how it ended says more than the broken pipe.
            scope.spawn(move || drop(stdin.write_all(component)));
            scope.spawn(move || {
                let message = thread::scope(|inner| {
                    let reader = inner.spawn(move || read_up_to(stderr, MESSAGE_BYTES));
                    let code = read_up_to(stdout, most + 1);
                    (code, reader.join().unwrap_or_default())
                });
                // Whoever waited may have lost patience.
                let _ = said.send(message);
            });
            let ended = loop {
                let left = self.wall_time.saturating_sub(started.elapsed());
                match hear.recv_timeout(left.min(LOOKED_AT_EVERY)) {
                    Ok((code, message)) => {
                        break Ok((code, printable(&String::from_utf8_lossy(&message), MESSAGE_BYTES)));
                    }
                    Err(RecvTimeoutError::Disconnected) => break Err(lost()),
                    Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => break Err(CompileError::Cancelled),
                    Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                        break Err(self.late(child));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            };
            if ended.is_err() {
                // Closes the pipes, so that the threads above end.
                let _ = child.kill();
            }
            ended
        })
    }

    /// Whether the component takes so long, or this machine has other things to do.
    fn late(&self, child: &Child) -> CompileError {
        let limit = format!("{:?} on the clock", self.wall_time);
        match cpu_time(child.id()) {
            Some(used) if used < self.wall_time / 2 => CompileError::Starved(limit),
            _ => CompileError::Slow(limit),
        }
    }

    /// What ended a compiler that said neither yes nor no.
    fn died(&self, status: ExitStatus, message: &str) -> CompileError {
        const SIGABRT: i32 = 6;
        const SIGXCPU: i32 = 24;
        match status.signal() {
            Some(SIGXCPU) => CompileError::Over(format!("{:?} of CPU time", self.cpu_time)),
            // What Rust does when an allocation fails.
            Some(SIGABRT) if message.contains("memory allocation") => {
                CompileError::Over(format!("{} MiB of memory", self.memory_bytes >> 20))
            }
            _ => CompileError::Died(format!("{status}: {message}")),
        }
    }
}

/// CPU time that a process has used, by `utime` and `stime` of its `stat` (proc(5)).
fn cpu_time(process: u32) -> Option<Duration> {
    /// The kernel's `USER_HZ`, which is the same on every machine that this is built for.
    const TICKS_A_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()?.checked_add(fields.next()?.parse().ok()?)?;
    Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS_A_SECOND)?))
}

/// How much code a component of so many bytes may come to, in bytes.
fn most_code(component_bytes: usize) -> usize {
    component_bytes.saturating_mul(CODE_MAX_FACTOR).clamp(CODE_MIN_BYTES, MOST_CODE_BYTES)
}

/// What comes, up to `most` bytes; the rest is not read, so that whoever writes it ends.
fn read_up_to(source: impl io::Read, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came until an error is judged by how the writer ended.
    let _ = source.take(most as u64).read_to_end(&mut bytes);
    bytes
}
