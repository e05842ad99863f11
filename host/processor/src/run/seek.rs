//! A file of many chunks whose engine reads by offset: it runs once the file is stored as a whole, and chunks are fetched as it
//! asks for them.
//!
//! The file's hash is not computed here, which would take all of its chunks: what it is made of was sealed chunk by chunk by
//! whoever sealed the verdict, and no chunk opens in another's place.

use std::ops::RangeInclusive;
use std::sync::Arc;

use filemill_runtime::{InputEnd, Outcome};
use filemill_seal::{FileSpan, Verdict};
use tokio::sync::{mpsc, oneshot};

use super::job::{Input, Job};
use super::parts::Span;
use super::sources::{Asked, Sought};
use crate::input::{Fetcher, UploadJob};
use crate::leases::Stop;
use crate::results::JobEnd;

/// How often each chunk may be fetched, on average, and how often any number of chunks. What is still in memory is not
/// fetched, and costs the engine no more than a call of the host.
const FETCHES_PER_CHUNK: u64 = 8;
const FETCHES_FREE: u64 = 64;

/// Runs one file through its engine, and hands in the result.
///
/// # Errors
///
/// [`Stop`], and nothing is handed in.
pub(super) async fn run(span: &Span, job: UploadJob) -> Result<(), Stop> {
    let Span { parts, context, fetcher } = span;
    let UploadJob { index, file, .. } = job;
    fetcher.urls.wait_from_now();
    let beginning = async {
        for sequence in chunks(&file) {
            fetcher.stored(sequence).await?;
        }
        let last = fetcher.chunk_to_keep(file.last_chunk).await?;
        let verdict = context.upload.verdict(&last, index, file.last_chunk);
        verdict.ok_or_else(|| Stop::Refused(format!("chunk {} has no verdict on file {index}", file.last_chunk)))
    };
    let sha256 = match parts.shutdown.unless_draining(beginning).await?? {
        Verdict::Intact(sha256) => sha256,
        Verdict::Void(reason) => {
            return context.results.submit(vec![(job, JobEnd::Void(reason))]).await;
        }
    };
    let _place = parts.shutdown.unless_draining(parts.streaming.place(true)).await?;
    parts.renewal.started(&context.lease, vec![job.number]).await?;

    let (ask, asked) = mpsc::channel(1);
    let source = Sought::new(context, &job, sha256, Arc::clone(&parts.slots), ask);
    let (ended, run) = oneshot::channel();
    let input = Input::Fed { source: Box::new(source), ended };
    let _batch = parts.slots.push([Job { context: Arc::clone(context), of: job, input }], context.lease.span.alone);
    let served = serve(fetcher, &file, asked).await;
    // The engine has no way to its input any more, and ends; it must not run beside what comes next.
    let run = run.await;
    served?;
    // Dropped unrun: the node is to end, or the lease has.
    let run = run.map_err(|_| parts.why_dropped(&context.lease))?;
    if run.outcome() == Outcome::Cancelled {
        return Err(Stop::Over);
    }
    if context.is_for_another(&run) {
        return Err(Stop::Fault("this processor could not run a job".to_owned()));
    }
    context.results.submit(vec![(job, JobEnd::Analysed { run: Box::new(run), sha256 })]).await
}

/// Fetches what the engine asks for, until it has ended.
async fn serve(fetcher: &Fetcher, file: &FileSpan, mut asked: mpsc::Receiver<Asked>) -> Result<(), Stop> {
    let mut left = FETCHES_FREE + FETCHES_PER_CHUNK * chunks(file).count() as u64;
    while let Some(Asked { sequence, answer }) = asked.recv().await {
        fetcher.urls.wait_from_now();
        let piece = match fetcher.chunk_within(sequence, &mut left).await? {
            Some(chunk) => Ok(fetcher.upload.piece(&chunk, file, sequence)),
            None => Err(InputEnd::TooOften),
        };
        // Whoever asked may have gone.
        let _ = answer.send(piece);
    }
    Ok(())
}

fn chunks(file: &FileSpan) -> RangeInclusive<u32> {
    file.first_chunk..=file.last_chunk
}
