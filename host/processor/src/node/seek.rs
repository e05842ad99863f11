//! A file of many chunks whose engine reads by offset: it runs once the file is stored as a whole, and chunks are fetched as it
//! asks for them.
//!
//! The file's hash is not computed here, which would take all of its chunks: what it is made of was sealed chunk by chunk by
//! whoever sealed the verdict, and no chunk opens in another's place.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use filemill_seal::{Digest, FileSpan, Verdict};
use tokio::sync::{mpsc, oneshot};

use super::fetch::Fetcher;
use super::guests::is_for_another;
use super::handing_in::{About, hand_in};
use super::job::{FirstByte, Input, Job};
use super::results::JobEnd;
use super::slots::Slots;
use super::stop::Stop;
use super::upload::Upload;
use filemill_runtime::{InputEnd, InputSource, Outcome};

/// How often each chunk may be fetched, on average, and how often any number of chunks. What is still in memory is not
/// fetched, and costs the engine no more than a call of the host.
const FETCHES_PER_CHUNK: u64 = 8;
const FETCHES_FREE: u64 = 64;

/// Runs one file through its engine, and hands in the result.
///
/// # Errors
///
/// [`Stop`], and nothing is handed in.
pub(super) async fn run(fetcher: &Arc<Fetcher>, index: u32, span: FileSpan) -> Result<(), Stop> {
    let (node, context) = (&fetcher.node, &fetcher.context);
    fetcher.urls.wait_from_now();
    let beginning = async {
        for sequence in chunks(&span) {
            fetcher.stored(sequence).await?;
        }
        let last = fetcher.chunk_to_keep(span.last_chunk).await?;
        let verdict = context.upload.verdict(&last, index, span.last_chunk);
        verdict.ok_or_else(|| Stop::Refused(format!("chunk {} has no verdict on file {index}", span.last_chunk)))
    };
    let sha256 = match node.unless_draining(beginning).await?? {
        Verdict::Intact(sha256) => sha256,
        Verdict::Void(reason) => {
            return hand_in(node, About::run(context), vec![(index, span, JobEnd::Void(reason))]).await;
        }
    };
    let _place = node.unless_draining(node.streams.place(true)).await?;
    node.started(&context.lease, vec![index]).await?;

    let (ask, asked) = mpsc::channel(1);
    let source = Sought::new(fetcher, index, span, sha256, ask);
    let (ended, run) = oneshot::channel();
    let job = Job { context: Arc::clone(context), index, span, input: Input::Sought { source, ended } };
    let _batch = node.slots.push([job], context.lease.run.alone);
    let served = serve(fetcher, &span, asked).await;
    // The engine has no way to its input any more, and ends; it must not run beside what comes next.
    let run = run.await;
    served?;
    // Dropped unrun: the node is to end, or the lease has.
    let run = run.map_err(|_| node.why_dropped(&context.lease))?;
    if run.outcome() == Outcome::Cancelled {
        return Err(Stop::Over);
    }
    if is_for_another(&run, context) {
        return Err(Stop::Fault("this processor could not run a job".to_owned()));
    }
    hand_in(node, About::run(context), vec![(index, span, JobEnd::Analysed { run: Box::new(run), sha256 })]).await
}

/// A chunk that the engine's thread waits for.
struct Asked {
    sequence: u32,
    answer: oneshot::Sender<Result<Bytes, InputEnd>>,
}

/// Fetches what the engine asks for, until it has ended.
async fn serve(fetcher: &Fetcher, span: &FileSpan, mut asked: mpsc::Receiver<Asked>) -> Result<(), Stop> {
    let mut left = FETCHES_FREE + FETCHES_PER_CHUNK * chunks(span).count() as u64;
    while let Some(Asked { sequence, answer }) = asked.recv().await {
        fetcher.urls.wait_from_now();
        let piece = match fetcher.chunk_within(sequence, &mut left).await? {
            Some(chunk) => Ok(fetcher.context.upload.piece(&chunk, span, sequence)),
            None => Err(InputEnd::TooOften),
        };
        // Whoever asked may have gone.
        let _ = answer.send(piece);
    }
    Ok(())
}

fn chunks(span: &FileSpan) -> RangeInclusive<u32> {
    span.first_chunk..=span.last_chunk
}

/// The file as its engine's thread reads it: one chunk of it at a time, so that several that share a tight budget cannot wait
/// for each other.
pub(super) struct Sought {
    ask: mpsc::Sender<Asked>,
    upload: Arc<Upload>,
    span: FileSpan,
    sha256: Digest,
    slots: Arc<Slots<Job>>,
    first: FirstByte,
    /// Where `read` is.
    position: u64,
    /// A part of the file, and where it begins.
    at_hand: Option<(u64, Bytes)>,
}

impl Sought {
    fn new(fetcher: &Fetcher, index: u32, span: FileSpan, sha256: Digest, ask: mpsc::Sender<Asked>) -> Self {
        let (node, context) = (&fetcher.node, &fetcher.context);
        Self {
            ask,
            upload: Arc::clone(&context.upload),
            span,
            sha256,
            slots: Arc::clone(&node.slots),
            first: FirstByte::of(context, index, &span),
            position: 0,
            at_hand: None,
        }
    }

    /// What is at hand from `offset` on; nothing if it lies elsewhere.
    fn find(&self, offset: u64) -> Option<Bytes> {
        let (start, part) = self.at_hand.as_ref()?;
        let within = usize::try_from(offset.checked_sub(*start)?).ok()?;
        (within < part.len()).then(|| part.slice(within..))
    }

    /// The part of the file that holds `offset`, which lies in the file.
    fn fetch(&mut self, offset: u64) -> Result<Bytes, InputEnd> {
        let lost = || InputEnd::Failed(format!("the upload has no byte {offset} of this file"));
        let sequence = (self.span.offset + offset) / u64::from(self.upload.layout.chunk_size());
        let sequence = u32::try_from(sequence).map_err(|_| lost())?;
        let chunk_start = self.upload.layout.chunk_offset(sequence).ok_or_else(lost)?;
        // Given back before the next is waited for.
        self.at_hand = None;
        let (answer, hear) = oneshot::channel();
        let ask = &self.ask;
        let part = self.slots.without_slot(|| {
            ask.blocking_send(Asked { sequence, answer }).ok()?;
            hear.blocking_recv().ok()
        });
        // Whoever fetches was told to stop.
        let part = part.unwrap_or(Err(InputEnd::Cancelled))?;
        self.first.read();
        self.at_hand = Some((chunk_start.saturating_sub(self.span.offset), part));
        self.find(offset).ok_or_else(lost)
    }
}

impl InputSource for Sought {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        let bytes = self.read_at(self.position, max)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
        if offset >= self.span.length {
            return Ok(Bytes::new());
        }
        let mut bytes = match self.find(offset) {
            Some(bytes) => bytes,
            None => self.fetch(offset)?,
        };
        bytes.truncate(max);
        Ok(bytes)
    }

    fn sha256(&self) -> Option<[u8; 32]> {
        Some(*self.sha256.as_bytes())
    }
}
