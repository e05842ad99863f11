//! A file of many chunks, fed to its engine while it arrives.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use filemill_runtime::{InputEnd, Outcome};
use filemill_seal::{Digest, FileSpan, Sha256, Verdict, VoidReason};
use futures::stream::{self, StreamExt};
use tokio::sync::{SemaphorePermit, mpsc, oneshot};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::job::{Input, Job};
use super::parts::Span;
use super::sources::{Part, Streamed};
use crate::input::{Admitted, Chunk, Fetcher, UploadJob};
use crate::leases::Stop;
use crate::results::JobEnd;

/// Chunks under way beside the one that the engine reads; the budget may allow fewer.
const AHEAD: usize = 3;
/// Opened chunks that wait for the engine.
const WAITING: usize = 1;

/// What the last chunk and the hash say of the file.
enum FileEnd {
    Intact(Digest),
    Void(VoidReason),
    Differs { found: Digest, sealed: Digest },
}

/// Runs one file through its engine while its chunks arrive, and hands in the result once its verdict is known.
///
/// # Errors
///
/// [`Stop`], and nothing is handed in.
pub(super) async fn run(span: &Span, job: UploadJob) -> Result<(), Stop> {
    let (fetcher, file) = (&span.fetcher, job.file);
    fetcher.urls.wait_from_now();
    let beginning = async {
        // Whoever waits for its uploader takes no place meanwhile.
        fetcher.stored(file.first_chunk).await?;
        let place = place(span, &file).await?;
        Ok::<_, Stop>((place, fetcher.chunk(file.first_chunk).await?))
    };
    let (_place, first) = span.parts.shutdown.unless_draining(beginning).await??;
    fetcher.urls.hold_place(true);
    let ended = run_placed(span, job, first).await;
    fetcher.urls.hold_place(false);
    ended
}

/// A place among the files that are streamed. A file that is complete comes before those that are not.
async fn place<'a>(span: &'a Span, file: &FileSpan) -> Result<SemaphorePermit<'a>, Stop> {
    let streaming = &span.parts.streaming;
    match streaming.try_place() {
        Some(place) => Ok(place),
        None => {
            let complete = span.fetcher.urls.is_stored(file.last_chunk).await?;
            Ok(streaming.place(complete).await)
        }
    }
}

async fn run_placed(span: &Span, job: UploadJob, first: Chunk) -> Result<(), Stop> {
    let Span { parts, context, .. } = span;
    parts.renewal.started(&context.lease, vec![job.number]).await?;

    let (sender, receiver) = mpsc::channel(WAITING);
    let (ended, run) = oneshot::channel();
    let source = Streamed::new(context, &job, Arc::clone(&parts.slots), receiver);
    let input = Input::Fed { source: Box::new(source), ended };
    let _batch = parts.slots.push([Job { context: Arc::clone(context), of: job, input }], context.lease.span.alone);

    let end = match feed(span, &job, first, sender).await {
        Err(refused @ Stop::Refused(_)) => {
            // The lease goes on: the engine, whose input has ended now, must not run beside what comes next.
            let _ = run.await;
            return Err(refused);
        }
        end => end?,
    };
    // Dropped unrun: the node is to end, or the lease has.
    let run = run.await.map_err(|_| parts.why_dropped(&context.lease))?;
    let end = match end {
        FileEnd::Void(reason) => JobEnd::Void(reason),
        FileEnd::Differs { found, sealed } => JobEnd::differs(found, sealed),
        FileEnd::Intact(_) if run.outcome() == Outcome::Cancelled => return Err(Stop::Over),
        FileEnd::Intact(_) if context.is_for_another(&run) => {
            return Err(Stop::Fault("this processor could not run a job".to_owned()));
        }
        FileEnd::Intact(sha256) => JobEnd::Analysed { run: Box::new(run), sha256 },
    };
    context.results.submit(vec![(job, end)]).await
}

/// Hands the file's bytes on, in order, and hashes them; goes on to the verdict when the engine wants no more.
async fn feed(span: &Span, job: &UploadJob, first: Chunk, parts: mpsc::Sender<Part>) -> Result<FileEnd, Stop> {
    let (fetcher, file, index) = (&span.fetcher, &job.file, job.index);
    let mut hash = Sha256::new();
    let mut chunk = first;
    let mut sequence = file.first_chunk;
    let mut rest = ahead(span, sequence + 1..=file.last_chunk).boxed();
    loop {
        let piece = fetcher.upload.piece(&chunk, file, sequence);
        hash = hashed(hash, piece.clone()).await?;
        if sequence == file.last_chunk {
            let end = judged(fetcher, &chunk, index, sequence, hash.finish())?;
            hand_over_last(&parts, piece, &end).await;
            return Ok(end);
        }
        drop(chunk);
        // An engine that has ended wants no more; the verdict is wanted all the same.
        let _ = parts.send(Part::Bytes(piece)).await;
        // Takes no chunk out of the hands of those that are under way before the engine has room for it.
        let _ = parts.reserve().await;
        sequence += 1;
        fetcher.urls.wait_from_now();
        chunk = match rest.next().await {
            Some(Err(Stop::Stalled)) => {
                // It was said when the chunk was asked for ahead of time. Does the engine really wait for it?
                let chunk = fetcher.chunk(sequence).await?;
                rest = ahead(span, sequence + 1..=file.last_chunk).boxed();
                chunk
            }
            Some(chunk) => chunk?,
            None => return Err(Stop::Fault(format!("chunk {sequence} was not fetched"))),
        };
    }
}

/// The chunks in order, a few of them under way at once.
///
/// Room is taken in the order of the chunks, so that whoever holds some always has the chunk that the engine needs next:
/// several streams that share a tight budget cannot wait for each other. Each load is a task of its own, because this
/// stream is not polled while the engine is busy, and storage does not wait for ever.
fn ahead(
    span: &Span,
    sequences: RangeInclusive<u32>,
) -> impl futures::Stream<Item = Result<Chunk, Stop>> + Send + 'static {
    let (admitting, loading) = (Arc::clone(&span.fetcher), Arc::clone(&span.fetcher));
    let tasks = span.parts.tasks.clone();
    stream::iter(sequences)
        .then(move |sequence| {
            let fetcher = Arc::clone(&admitting);
            async move { fetcher.admit(sequence).await }
        })
        .map(move |admitted| {
            let load = admitted.map(|admitted| spawn(&tasks, &loading, admitted));
            async move {
                match load?.await {
                    Ok(chunk) => chunk,
                    Err(error) => Err(Stop::Fault(format!("fetching a chunk failed: {error}"))),
                }
            }
        })
        .buffered(AHEAD)
}

fn spawn(tasks: &TaskTracker, fetcher: &Arc<Fetcher>, admitted: Admitted) -> AbortOnDropHandle<Result<Chunk, Stop>> {
    let fetcher = Arc::clone(fetcher);
    AbortOnDropHandle::new(tasks.spawn(async move { fetcher.chunk_admitted(admitted).await }))
}

/// Hashes some MiB: not on a thread that answers heartbeats.
async fn hashed(mut hash: Sha256, piece: Bytes) -> Result<Sha256, Stop> {
    let hash = tokio::task::spawn_blocking(move || {
        hash.update(&piece);
        hash
    });
    hash.await.map_err(|error| Stop::Fault(format!("hashing failed: {error}")))
}

fn judged(fetcher: &Fetcher, chunk: &Chunk, index: u32, sequence: u32, found: Digest) -> Result<FileEnd, Stop> {
    match fetcher.upload.verdict(chunk, index, sequence) {
        Some(Verdict::Intact(sealed)) if sealed == found => Ok(FileEnd::Intact(sealed)),
        Some(Verdict::Intact(sealed)) => Ok(FileEnd::Differs { found, sealed }),
        Some(Verdict::Void(reason)) => Ok(FileEnd::Void(reason)),
        None => Err(Stop::Refused(format!("chunk {sequence} has no verdict on file {index}"))),
    }
}

/// The last bytes of an intact file, or the reason why there are none.
async fn hand_over_last(parts: &mpsc::Sender<Part>, piece: Bytes, end: &FileEnd) {
    let last = match end {
        FileEnd::Intact(_) => {
            let _ = parts.send(Part::Bytes(piece)).await;
            Ok(())
        }
        FileEnd::Void(reason) => Err(InputEnd::Void(reason.to_string())),
        FileEnd::Differs { .. } => Err(InputEnd::Failed("the file is not the one that was sealed".to_owned())),
    };
    let _ = parts.send(Part::End(last)).await;
}
