//! A runtime with small limits, and a run in one line.

use std::time::Duration;

use bytes::Bytes;
use filemill_host::{Job, Limits, Outcome, Release, Run, Runtime, RuntimeConfig, TimeLimit};

/// Small, so that a hostile guest is stopped soon; long enough for a loaded machine.
pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 16 << 20,
        cpu_time: TimeLimit { base: Duration::from_millis(200), per_mib: Duration::ZERO },
        output_bytes: 64 << 10,
        artifact_bytes: 16 << 10,
        log_lines: 100,
        log_bytes: 4 << 10,
        host_calls: 10_000,
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
