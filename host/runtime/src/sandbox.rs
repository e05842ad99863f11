//! What every contract's guests run in: one store a run, its limits, and what the host does when a guest calls.

mod hashes;
mod input;
mod log;
mod memory;
mod meter;
mod output;
mod progress;
mod random;
mod signal;
mod stop;

use wasmtime::{Engine, Store, UpdateDeadline};

pub(crate) use hashes::{Hash, HashAlgorithm};
pub(crate) use input::{Given, GuestInput, InputError};
pub(crate) use meter::Patience;
pub(crate) use signal::Signal;
pub(crate) use stop::Stop;

use crate::backend::{Artifact, Cancel, Finding, InputSource, Job, Limits, LogLine, Observer, Resources};

/// Room for a record's other fields beside the longest string that may cross from guest to host in one call.
const CROSSING_SLACK_BYTES: usize = 4 << 10;

/// Resource handles alive at once. An engine is given one; Rust and C engines have no others.
const MAX_HANDLES: usize = 10_000;

/// The state of one run; the data of its store.
pub(crate) struct Sandbox {
    pub(crate) input: GuestInput,
    pub(crate) log: log::Log,
    pub(crate) output: output::Output,
    pub(crate) progress: progress::Progress,
    /// Given when the guest will get no more bytes from its stream. Contract 1 has no stream.
    pub(crate) stream_end: Signal,
    pub(crate) random: random::Random,
    meter: meter::Meter,
    memory: memory::Memory,
    crossing_bytes: usize,
}

/// What a run leaves behind beside its report.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) findings: Vec<Finding>,
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) log: Vec<LogLine>,
    pub(crate) resources: Resources,
}

impl Sandbox {
    /// A sandbox for one run. Its clocks start now.
    pub(crate) fn new(job: &Job, input: Box<dyn InputSource>, limits: &Limits, observer: Box<dyn Observer>) -> Self {
        Self {
            input: GuestInput::new(input, job, limits.read_bytes),
            log: log::Log::new(limits.log_lines, limits.log_bytes),
            output: output::Output::new(limits),
            progress: progress::Progress::new(observer),
            stream_end: Signal::default(),
            random: random::Random::default(),
            meter: meter::Meter::start(limits, job.size, job.cancel.clone()),
            memory: memory::Memory::new(limits.memory_bytes),
            crossing_bytes: limits
                .output_bytes
                .saturating_add(limits.artifact_bytes)
                .max(limits.log_bytes)
                .saturating_add(CROSSING_SLACK_BYTES),
        }
    }

    /// A sandbox without a file, for `describe`.
    pub(crate) fn without_input(limits: &Limits, cancel: Cancel) -> Self {
        let job = Job { cancel, ..Job::default() };
        Self::new(&job, Box::new(bytes::Bytes::new()), limits, Box::new(()))
    }

    /// The store of one run, armed with every limit.
    pub(crate) fn into_store(self, engine: &Engine) -> wasmtime::Result<Store<Self>> {
        let crossing_bytes = self.crossing_bytes;
        let mut store = Store::try_new(engine, self)?;
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(crossing_bytes);
        store.set_max_component_handles(MAX_HANDLES);
        // Looks at the clocks on every tick, and never yields: the thread is this guest's alone.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let sandbox = store.data();
            sandbox.meter.check(sandbox.input.waited())?;
            Ok(UpdateDeadline::Continue(1))
        });
        Ok(store)
    }

    /// How long the run may wait for something else than input.
    pub(crate) fn patience(&self) -> Patience {
        self.meter.patience(self.input.wait())
    }

    /// Counts a call of the guest to the host. To be called first in each.
    pub(crate) fn count_call(&mut self) -> Result<(), Stop> {
        self.meter.count_call()
    }

    /// The hash of the whole file.
    pub(crate) fn digest(&mut self, algorithm: HashAlgorithm) -> Given<Hash> {
        let meter = &self.meter;
        self.input.digest(algorithm, |waited| meter.check(waited))
    }

    /// What it handed out, what it logged and what it used, until now.
    pub(crate) fn into_parts(self) -> Left {
        let (cpu_time, wall_time) = self.meter.elapsed(self.input.waited());
        let resources = Resources {
            bytes_read: self.input.bytes_read(),
            read_to_end: self.input.read_to_end(),
            cpu_time,
            wall_time,
            input_wait: self.input.waited(),
            peak_memory_bytes: self.memory.peak_bytes(),
            host_calls: self.meter.host_calls(),
        };
        let (findings, artifacts) = self.output.into_parts();
        Left { findings, artifacts, log: self.log.into_lines(), resources }
    }
}
