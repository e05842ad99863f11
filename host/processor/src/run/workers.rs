//! The threads that run engines: apart from those that talk to the server, so that a busy engine never costs a lease.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use filemill_runtime::{InputSource, Job as EngineJob, Run};
use filemill_seal::{Sha256, Verdict};
use tokio::sync::oneshot;

use super::context::SpanContext;
use super::job::{Input, Job};
use super::sources::Whole;
use crate::input::UploadJob;
use crate::leases::Prefetch;
use crate::releases::NamedLimits;
use crate::results::JobEnd;
use crate::slots::{Slots, Turn};
use crate::telemetry::{Counters, Metrics};

/// What runs engines, on threads of its own.
pub(crate) struct Workers {
    pub(crate) slots: Arc<Slots<Job>>,
    pub(crate) prefetch: Arc<Prefetch>,
    pub(crate) limits: Arc<NamedLimits>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) metrics: Option<Arc<Metrics>>,
}

impl Workers {
    /// Starts `count` threads. They end when the slots are closed and their jobs have ended.
    pub(crate) fn start(self: &Arc<Self>, count: usize, stack_bytes: usize) -> io::Result<Vec<JoinHandle<()>>> {
        (0..count)
            .map(|number| {
                let workers = Arc::clone(self);
                thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .stack_size(stack_bytes)
                    .spawn(move || workers.work())
            })
            .collect()
    }

    fn work(&self) {
        while let Some(turn) = self.slots.next() {
            let job = &turn.job;
            let (upload, index) = (job.context.lease.upload.clone(), job.of.number);
            // A fault of this host costs one job, not the thread: its lease is handed back by whoever attends to the run.
            if catch_unwind(AssertUnwindSafe(|| self.run(turn))).is_err() {
                tracing::error!(upload, index, "the processor panicked at this job");
            }
        }
    }

    fn run(&self, turn: Turn<'_, Job>) {
        let lease = &turn.job.context.lease;
        // In doubt, nothing is begun; and what was handed back or lost is not begun either.
        if !lease.wait_held() {
            return;
        }
        let started = Instant::now();
        let Turn { job, slot: _slot } = turn;
        match job.input {
            Input::Whole { pieces, verdict } => {
                let end = self.analyse_whole(&job.context, &job.of, &pieces, verdict);
                drop(pieces);
                let Some(end) = end else { return };
                if let Err(error) = job.context.results.put(&job.of, end) {
                    let upload = &job.context.lease.upload;
                    tracing::error!(upload, index = job.of.number, "the result cannot be sealed: {error}");
                    return;
                }
                self.prefetch.record(started.elapsed());
            }
            Input::Fed { source, ended } => {
                let run = self.analyse(&job.context, &job.of, source);
                self.tell(run, ended, started);
            }
        }
    }

    /// Tells the task that attends to a file how its run ended.
    fn tell(&self, run: Run, ended: oneshot::Sender<Run>, started: Instant) {
        self.prefetch.record(started.elapsed().saturating_sub(run.resources.input_wait));
        // Nobody listens any more when the lease has ended.
        let _ = ended.send(run);
    }

    /// What came of a file that is in memory; `None` if its lease ended meanwhile, or if another attempt may end otherwise: the
    /// job is handed back then.
    fn analyse_whole(
        &self,
        context: &Arc<SpanContext>,
        of: &UploadJob,
        pieces: &[Bytes],
        verdict: Verdict,
    ) -> Option<JobEnd> {
        let sha256 = match verdict {
            // The verdict is known before the first byte is handed out: there is nothing to run.
            Verdict::Void(reason) => return Some(JobEnd::Void(reason)),
            Verdict::Intact(sha256) => sha256,
        };
        let mut hash = Sha256::new();
        pieces.iter().for_each(|piece| hash.update(piece));
        let found = hash.finish();
        if found != sha256 {
            return Some(JobEnd::differs(found, sha256));
        }
        let whole = || Box::new(Whole::new(context, of, pieces, sha256));
        let mut run = self.analyse(context, of, whole());
        if run.outcome().retryable() {
            // Another try may find what the first did not (memory, a slot); a third would be stubborn.
            run = self.analyse(context, of, whole());
        }
        if context.is_for_another(&run) {
            let (upload, index) = (&context.lease.upload, of.number);
            tracing::warn!(upload, index, "this processor could not run a job: it is handed back");
            return None;
        }
        context.lease.ended().is_none().then_some(JobEnd::Analysed { run: Box::new(run), sha256 })
    }

    fn analyse(&self, context: &Arc<SpanContext>, of: &UploadJob, input: Box<dyn InputSource>) -> Run {
        let job = EngineJob {
            name: context.upload.name(of.index),
            size: of.file.length,
            parameters: context.upload.parameters(of),
            access: context.ready.described.access,
            cancel: context.lease.cancel.clone(),
        };
        let lease = Arc::clone(&context.lease);
        let limits = self.limits.of(context.release_digest);
        let observer = move |per_mille: u16| lease.set_progress(per_mille.into());
        let run = context.ready.release.run(&job, input, limits, Box::new(observer));
        self.counters.ran(&run.resources);
        if let Some(metrics) = &self.metrics {
            metrics.ran(context.ready.release.digest(), &run);
        }
        run
    }
}
