//! The threads that run engines: apart from those that talk to the server, so that a busy engine never costs a lease.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use filemill_seal::{Digest, FileSpan, Sha256, Verdict};
use tokio::sync::oneshot;

use super::Node;
use super::handing_in::{About, seal_and_send};
use super::job::{Input, Job, RunContext, Whole};
use super::results::JobEnd;
use super::run::FINAL_ATTEMPT;
use super::slots::Turn;
use filemill_runtime::{Job as EngineJob, Run, THREAD_STACK_BYTES};

/// Starts `count` threads. They end when the slots are closed and their jobs have ended.
pub(super) fn start(node: &Arc<Node>, count: usize) -> io::Result<Vec<JoinHandle<()>>> {
    (0..count)
        .map(|number| {
            let node = Arc::clone(node);
            thread::Builder::new()
                .name(format!("guest-{number}"))
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || work(&node))
        })
        .collect()
}

fn work(node: &Node) {
    while let Some(turn) = node.slots.next() {
        let job = &turn.job;
        let (upload, index) = (job.context.lease.upload.clone(), job.index);
        // A fault of this host costs one job, not the thread: its lease is handed back by whoever attends to the run.
        if catch_unwind(AssertUnwindSafe(|| run(node, turn))).is_err() {
            tracing::error!(upload, index, "the processor panicked at this job");
        }
    }
}

fn run(node: &Node, turn: Turn<'_, Job>) {
    let lease = &turn.job.context.lease;
    // In doubt, nothing is begun; and what was handed back or lost is not begun either.
    if !lease.wait_held() {
        return;
    }
    let started = Instant::now();
    let Turn { job, slot: _slot } = turn;
    match job.input {
        Input::Whole { pieces, verdict } => {
            let end = analyse_whole(node, &job.context, job.index, &job.span, &pieces, verdict);
            drop(pieces);
            let Some(end) = end else { return };
            let about = About::run(&job.context);
            if let Err(error) = seal_and_send(node, &about, job.index, &job.span, end) {
                let upload = &job.context.lease.upload;
                tracing::error!(upload, index = job.index, "the result cannot be sealed: {error}");
                return;
            }
            node.pace.record(started.elapsed());
        }
        Input::Streamed { source, ended } => {
            let run = analyse(node, &job.context, job.index, job.span.length, source);
            tell(node, run, ended, started);
        }
        Input::Sought { source, ended } => {
            let run = analyse(node, &job.context, job.index, job.span.length, source);
            tell(node, run, ended, started);
        }
    }
}

/// Tells the task that attends to a file how its run ended.
fn tell(node: &Node, run: Run, ended: oneshot::Sender<Run>, started: Instant) {
    node.pace.record(started.elapsed().saturating_sub(run.resources.input_wait));
    // Nobody listens any more when the lease has ended.
    let _ = ended.send(run);
}

/// What came of a file that is in memory; `None` if its lease ended meanwhile, or if another attempt may end otherwise: the
/// job is handed back then.
fn analyse_whole(
    node: &Node,
    context: &Arc<RunContext>,
    index: u32,
    span: &FileSpan,
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
        return Some(JobEnd::Refused(differs(found, sha256)));
    }
    let mut run = analyse(node, context, index, span.length, Whole::new(context, index, span, pieces, sha256));
    if run.outcome().retryable() {
        // Another try may find what the first did not (memory, a slot); a third would be stubborn.
        run = analyse(node, context, index, span.length, Whole::new(context, index, span, pieces, sha256));
    }
    if is_for_another(&run, context) {
        let upload = &context.lease.upload;
        tracing::warn!(upload, index, "this processor could not run a job: it is handed back");
        return None;
    }
    context.lease.ended().is_none().then_some(JobEnd::Analysed { run: Box::new(run), sha256 })
}

/// Whether a job that this host failed is handed back, rather than ended for good.
pub(super) fn is_for_another(run: &Run, context: &RunContext) -> bool {
    run.outcome().retryable() && context.lease.run.attempt < FINAL_ATTEMPT
}

/// Why a file whose hash is not the one of its verdict is refused.
pub(super) fn differs(found: Digest, sealed: Digest) -> String {
    format!("the file's bytes have the SHA-256 `{found}`, the uploader sealed `{sealed}`")
}

fn analyse(
    node: &Node,
    context: &Arc<RunContext>,
    index: u32,
    size: u64,
    input: impl filemill_runtime::InputSource,
) -> Run {
    let job = EngineJob {
        name: context.upload.name(index),
        size,
        parameters: context.upload.parameters.clone(),
        access: context.ready.described.access,
        cancel: context.lease.cancel.clone(),
    };
    let lease = Arc::clone(&context.lease);
    let limits = node.allowed.of(context.release_digest);
    let observer = move |per_mille: u16| lease.set_progress(per_mille.into());
    let run = context.ready.release.run(&job, input, limits, observer);
    node.counters.ran(&run.resources);
    if let Some(metrics) = &node.metrics {
        metrics.ran(context.ready.release.digest(), &run);
    }
    run
}
