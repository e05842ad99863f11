//! What every contract's guests run in: one store a run, its limits, and what the host does when a guest calls.

mod input;
mod log;
mod memory;
mod meter;
mod progress;

use wasmtime::{Engine, Store, UpdateDeadline};

pub(crate) use input::{GuestInput, InputError};
pub(crate) use meter::Clock;

use crate::job::{InputSource, Job, Observer};
use crate::outcome::{LogLine, Resources};
use crate::{Cancel, Limits};

/// Room for a record's other fields beside the longest string that may cross from guest to host in one call.
const CROSSING_SLACK_BYTES: usize = 4 << 10;

/// Resource handles alive at once. An engine is given one; Rust and C engines have no others.
const MAX_HANDLES: usize = 10_000;

/// The state of one run; the data of its store.
pub(crate) struct Sandbox {
    pub(crate) input: GuestInput,
    pub(crate) log: log::Log,
    pub(crate) progress: progress::Progress,
    meter: meter::Meter,
    memory: memory::Memory,
    crossing_bytes: usize,
}

/// Why the host ended a run. Travels through wasmtime as an error and is found again by type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the engine used up its {clock} of {limit:?}")]
    Time { clock: Clock, limit: std::time::Duration },
    #[error("the engine wanted more than {limit_bytes} bytes of memory")]
    Memory { limit_bytes: usize },
    #[error("the engine logged more than {limit} {unit}")]
    Log { limit: usize, unit: &'static str },
    #[error("the engine called the host more than {limit} times")]
    HostCalls { limit: u64 },
    #[error("the run was cancelled")]
    Cancelled,
    #[error("the engine asked `read` for 0 bytes")]
    ReadOfNothing,
    #[error("{0}")]
    Host(String),
}

impl Sandbox {
    /// A sandbox for one run. Its clocks start now.
    pub(crate) fn new(job: &Job, input: impl InputSource, limits: &Limits, observer: impl Observer) -> Self {
        Self {
            input: GuestInput::new(Box::new(input), limits.read_bytes),
            log: log::Log::new(limits.log_lines, limits.log_bytes),
            progress: progress::Progress::new(Box::new(observer)),
            meter: meter::Meter::start(limits, job.size, job.cancel.clone()),
            memory: memory::Memory::new(limits.memory_bytes),
            crossing_bytes: limits.output_bytes.max(limits.log_bytes) + CROSSING_SLACK_BYTES,
        }
    }

    /// A sandbox without a file, for `describe`.
    pub(crate) fn without_input(limits: &Limits, cancel: Cancel) -> Self {
        let job = Job { cancel, ..Job::default() };
        Self::new(&job, bytes::Bytes::new(), limits, ())
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

    /// Counts a call of the guest to the host. To be called first in each.
    pub(crate) fn count_call(&mut self) -> Result<(), Stop> {
        self.meter.count_call()
    }

    /// What it logged and what it used, until now.
    pub(crate) fn into_parts(self) -> (Vec<LogLine>, Resources) {
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
        (self.log.into_lines(), resources)
    }
}
