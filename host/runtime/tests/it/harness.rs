//! A runtime with small limits, and a run in one line.

use std::time::Duration;

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource, Job, Limits, Outcome, Release, Run, Runtime, RuntimeConfig, TimeLimit};

/// Small, so that a hostile guest is stopped soon; long enough for a loaded machine.
pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 16 << 20,
        cpu_time: TimeLimit { base: Duration::from_millis(100), per_mib: Duration::ZERO },
        wall_time: TimeLimit { base: Duration::from_secs(2), per_mib: Duration::ZERO },
        output_bytes: 64 << 10,
        artifact_bytes: 16 << 10,
        log_lines: 100,
        log_bytes: 4 << 10,
        host_calls: 5_000,
        ..Limits::default()
    }
}

pub(crate) fn runtime() -> Runtime {
    Runtime::new(RuntimeConfig { slots: 2, ..RuntimeConfig::default() }).expect("the runtime starts")
}

pub(crate) fn install(component: &[u8]) -> Release {
    runtime().install(component).expect("the guest can be installed")
}

pub(crate) fn job(size: u64) -> Job {
    Job { name: "a file".into(), size, ..Job::default() }
}

/// A file in memory, in order and by offset.
pub(crate) struct Seekable(pub(crate) Bytes);

impl InputSource for Seekable {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        self.0.read(max)
    }

    fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
        let begin = usize::try_from(offset).map_or(self.0.len(), |offset| offset.min(self.0.len()));
        Ok(self.0.slice(begin..self.0.len().min(begin.saturating_add(max))))
    }
}

/// Runs a guest over a short file.
pub(crate) fn run(component: &[u8]) -> Run {
    run_on(component, Bytes::from_static(b"some bytes"))
}

/// Runs a guest over a file.
pub(crate) fn run_on(component: &[u8], file: Bytes) -> Run {
    let job = job(file.len() as u64);
    install(component).run(&job, file, &limits(), ())
}

/// Checks how a run ended, and gives the message for the uploader.
#[track_caller]
pub(crate) fn failure(run: &Run, outcome: Outcome) -> &str {
    assert_eq!(run.outcome(), outcome, "{:?}", run.result);
    run.result.as_ref().expect_err("it failed").message()
}

/// Memory of this process that is in use, in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .expect("the kernel says it")
}
