//! An installed release: what it says about itself, and its runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::backend::{
    Cancel, DescribeError, Description, Failure, InputSource, Job, Limits, Observer, Outcome, ReleaseDigest, Report,
    Resources, Run,
};
use crate::contract::{ContractVersion, Ended, Said};
use crate::install::{CodeOrigin, Linked};
use crate::sandbox::{InputError, Left, Sandbox};
use crate::slots::Slots;

/// An engine release that this host can run. Cheap to clone, and usable from any thread; it keeps what it needs of the
/// [`Runtime`](crate::Runtime) alive.
#[derive(Clone)]
pub struct Release(Arc<Inner>);

struct Inner {
    digest: ReleaseDigest,
    linked: Linked,
    slots: Arc<Slots>,
}

impl Release {
    pub(crate) fn new(digest: ReleaseDigest, linked: Linked, slots: Arc<Slots>) -> Self {
        Self(Arc::new(Inner { digest, linked, slots }))
    }

    /// SHA-256 of its component.
    pub fn digest(&self) -> ReleaseDigest {
        self.0.digest
    }

    /// The contract it was built for.
    pub fn contract(&self) -> &ContractVersion {
        &self.0.linked.contract
    }

    /// Whether it was compiled when it was installed, or found in the cache.
    pub fn origin(&self) -> CodeOrigin {
        self.0.linked.origin
    }

    /// What its machine code takes while this or a clone of it lives, in bytes.
    pub fn code_bytes(&self) -> usize {
        self.0.linked.code_bytes
    }

    /// Asks the engine what it is: one run without input, within `limits` and tighter ones of its own (1 s, 128 KiB).
    /// Blocks, and takes a slot.
    ///
    /// # Errors
    ///
    /// [`DescribeError`] where it fails like any run, or where the answer breaks the contract.
    pub fn describe(&self, limits: &Limits) -> Result<Description, DescribeError> {
        let limits = limits.within(&self.0.slots.maxima).for_describe();
        let _running = self.0.slots.ticker.running();
        let sandbox = Sandbox::without_input(&limits, Cancel::default());
        let ended = guarded(|| self.0.linked.adapter.describe(sandbox));
        ended.result.map_err(DescribeError::Ended)?.checked()
    }

    /// Runs the engine over one file, in a fresh instance that is dropped before this returns.
    ///
    /// Blocks the calling thread until the engine ends, which it does within `limits` (each at most the runtime's
    /// maximum) plus whatever time `input` takes; the thread wants a stack of
    /// [`THREAD_STACK_BYTES`](crate::THREAD_STACK_BYTES). Takes one of the runtime's slots; when none is left, the run
    /// ends at once as [`Outcome::HostFailed`]. It does not panic and leaves nothing behind, whatever the engine does.
    ///
    /// A run that did not [read to the end](Resources::read_to_end) has not seen whether the rest of its input is void:
    /// that is the caller's to find out before it believes the report.
    pub fn run(&self, job: &Job, input: impl InputSource, limits: &Limits, observer: impl Observer) -> Run {
        self.run_boxed(job, Box::new(input), limits, Box::new(observer))
    }

    /// The same for what is in a box already.
    pub(crate) fn run_boxed(
        &self,
        job: &Job,
        input: Box<dyn InputSource>,
        limits: &Limits,
        observer: Box<dyn Observer>,
    ) -> Run {
        let limits = limits.within(&self.0.slots.maxima);
        let _running = self.0.slots.ticker.running();
        if job.cancel.is_cancelled() {
            return Run { result: Err(cancelled()), log: Vec::new(), resources: Resources::default() };
        }
        let sandbox = Sandbox::new(job, input, &limits, observer);
        let Ended { result, sandbox } = guarded(|| self.0.linked.adapter.analyze(sandbox, job));
        let ended = sandbox.as_ref().and_then(|sandbox| sandbox.input.ended().cloned());
        let Left { findings, artifacts, log, resources } = sandbox.map(Sandbox::into_parts).unwrap_or_default();
        let result = match ended {
            // Whatever the engine made of it: it was not the file.
            Some(InputError::Void(reason)) => Err(void(&reason)),
            Some(InputError::Cancelled) => Err(cancelled()),
            None => {
                result.and_then(|Said { summary, json }| Report::checked(&summary, json, findings, artifacts, &limits))
            }
        };
        Run { result, log, resources }
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release")
            .field("digest", &self.digest())
            .field("contract", self.contract())
            .finish_non_exhaustive()
    }
}

/// A panic in an input source, an observer or wasmtime costs its own run, not the thread that runs the next one.
/// Nothing that was broken half-way is seen again: the store goes with the panic.
fn guarded<T>(call: impl FnOnce() -> Ended<T>) -> Ended<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("for an unknown reason");
        tracing::error!(panic = what, "the host panicked during a run");
        Ended {
            result: Err(Failure::new(Outcome::HostFailed, format!("this processor has a fault of its own: {what}"))),
            sandbox: None,
        }
    })
}

fn void(reason: &str) -> Failure {
    Failure::new(Outcome::Void, format!("the file was not sent whole: {reason}"))
        .with_hint("it is sent again as it is now")
}

fn cancelled() -> Failure {
    Failure::new(Outcome::Cancelled, "the run was cancelled")
}
