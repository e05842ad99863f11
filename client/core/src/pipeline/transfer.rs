//! One upload on its way: a small state machine whose steps run at the same time.
//!
//! The first request goes when a chunk is sealed, so that it opens the upload and asks for a URL at once. After that there
//! is one request under way for each upload; what is sealed and stored meanwhile goes with the next one. An upload of one
//! chunk thus takes two requests and two objects.
//!
//! No step waits for the budget while it holds some of it, except for the network: uploads cannot block each other.

mod judged;
mod refusal;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_api::abilities::LONG_PARAMETERS;
use filemill_api::{
    AdvanceUpload, AdvancedUpload, ChunkWant, ErrorBody, FileRange, OpenTask, OpenUpload, OpenedUpload, SignedPut,
    UploadState, limits,
};
use filemill_seal::{ChunkSealer, Digest, Format, Layout, PARAMETERS_USUAL_BYTES, Verdict, VoidReason};
use filemill_transport::Backoff;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::remaining::{self, Remaining, chunks_of_ranges};
use super::seal::{ReadChunk, ReadyChunk};
use super::shared::Pipeline;
use crate::api::{Put, backoff};
use crate::error::Error;
use crate::journal::{ChunkRecord, Ended, NewFile, NewUpload, StoredChunk};
use crate::read::Reader;
use crate::reason::AgainReason;
use crate::rules::LeftOut;
use crate::source::Found;
pub(crate) use judged::Judged;

/// An upload of so few chunks is written down only when the first of them is sealed: in one transaction instead of two.
const FEW_CHUNKS: u32 = 2;
/// Chunks of one upload that are sealed at the same time, at most; the cores are shared with other uploads.
const SEALS_AT_ONCE: usize = 8;
/// Stored chunks are told together with the next wish, or when they are so many, or when one has waited so long: a processor
/// may be waiting for it.
const TELL_AT: usize = 4;
const TELL_AFTER: Duration = Duration::from_millis(200);

/// One upload on its way.
pub(crate) struct Transfer {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) upload: NewUpload,
    pub(super) files: Arc<[Found]>,
    pub(super) layout: Arc<Layout>,
    pub(super) sealer: ChunkSealer,
    pub(super) header: HeaderState,
    pub(super) header_bytes: u64,
    /// Absent once every file had its result.
    pub(super) header_body: Option<Bytes>,
    /// The journal knows it.
    pub(super) journalled: bool,
    /// It was taken out of the journal.
    pub(super) resumed: bool,
    /// The server knows it.
    pub(super) opened: bool,
    pub(super) remaining: Remaining,
    /// Digests of chunks that were sealed before.
    pub(super) plain: HashMap<u32, Digest>,
    /// Verdicts of files that were read in full before.
    pub(super) verdicts: HashMap<u32, Verdict>,
    /// Stored before, perhaps without the server's knowledge.
    pub(super) untold: Vec<StoredChunk>,
    pub(super) rules: Judged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    ToSend,
    Sending,
    Stored,
    Told,
}

/// What a transfer came to.
pub(crate) struct Transferred {
    /// How it ended; an error is whatever keeps it from going on. The journal still knows it.
    pub(crate) end: Result<TransferEnd, Error>,
    /// Files that were not intact.
    pub(crate) voided: Vec<Voided>,
}

/// How a transfer ended.
#[derive(Debug)]
pub(crate) enum TransferEnd {
    /// Everything is stored, and the server knows.
    Stored,
    /// What was stored does not fit the files any more, or the server has forgotten it: send the files again.
    Abandoned(AgainReason),
    /// A rule that was written meanwhile leaves out a file of it, which says nothing of the others: send those again.
    LeftOut(LeftOut),
    /// The server has less than it was told of: resume.
    Incomplete,
    /// Somebody cancelled it. The server says so of each file.
    Cancelled,
}

/// A file that was not intact.
#[derive(Clone, Debug)]
pub(crate) struct Voided {
    pub(crate) index: u32,
    pub(crate) reason: VoidReason,
    /// What happened, for people.
    pub(crate) detail: String,
}

/// What a step came to.
enum Done {
    Read(Box<(Reader, ReadChunk)>),
    Sealed(ReadyChunk),
    Opened(Vec<ReadyChunk>, Instant, Result<OpenedUpload, ErrorBody>),
    Advanced(Box<Asked>, Instant, Result<AdvancedUpload, ErrorBody>),
    /// One of these two, when rule files were read since, and why a file is left out by them.
    Judged(Box<Done>, Instant, Option<LeftOut>),
    Header(Put),
    Chunk(ReadyChunk, Put),
    /// What was refused may be asked again.
    Waited,
}

/// What an advance said and asked.
struct Asked {
    header_stored: bool,
    told: Vec<StoredChunk>,
    want: Vec<ReadyChunk>,
}

/// What is going on.
struct Going {
    steps: FuturesUnordered<BoxFuture<'static, Result<Done, Error>>>,
    /// Absent while it reads.
    reader: Option<Reader>,
    sealing: usize,
    putting: usize,
    asking: bool,
    ready: Vec<ReadyChunk>,
    confirmed: Vec<StoredChunk>,
    /// When the first of these has waited long enough to be told.
    tell_at: Option<Instant>,
    /// Of new uploads that are not in the journal yet.
    records: Vec<ChunkRecord>,
    voided: Vec<Voided>,
    state: UploadState,
    backoff: Backoff,
}

impl Transfer {
    pub(crate) fn id(&self) -> filemill_seal::UploadId {
        self.upload.id
    }

    pub(crate) fn files(&self) -> &Arc<[Found]> {
        &self.files
    }

    /// Runs until everything is stored. Dropping it leaves an upload that can be resumed.
    pub(crate) async fn run(mut self) -> Transferred {
        let mut going = Going {
            steps: FuturesUnordered::new(),
            reader: None,
            sealing: 0,
            putting: 0,
            asking: false,
            ready: Vec::new(),
            confirmed: Vec::new(),
            tell_at: None,
            records: Vec::new(),
            voided: Vec::new(),
            state: UploadState::Uploading,
            backoff: backoff(),
        };
        let end = self.run_to_end(&mut going).await;
        Transferred { end, voided: going.voided }
    }

    async fn run_to_end(&mut self, going: &mut Going) -> Result<TransferEnd, Error> {
        if self.resumed {
            if let Some(end) = self.left_out_meanwhile().await? {
                return Ok(end);
            }
            if let Some(end) = self.find_out(going).await? {
                return Ok(end);
            }
        } else if self.layout.chunk_count() > FEW_CHUNKS {
            self.write_down(going).await?;
        }
        going.reader = Some(Reader::new(Arc::clone(&self.files), Arc::clone(&self.layout), self.remaining.hash_from));
        loop {
            self.start_reading(going);
            self.start_asking(going).await?;
            let done = tokio::select! {
                biased;
                done = going.steps.next() => done,
                () = reached(going.tell_at), if !going.asking => continue,
            };
            let Some(done) = done.transpose()? else { break };
            let done = match done {
                // What is sealed leaves this machine after these; the server may have been away for as long as it likes.
                answer @ (Done::Opened(..) | Done::Advanced(..)) => match self.judge_first(going, answer) {
                    Some(answer) => answer,
                    None => continue,
                },
                other => other,
            };
            if let Some(end) = self.take(going, done)? {
                return Ok(end);
            }
        }
        match going.state {
            UploadState::Uploading => Ok(TransferEnd::Incomplete),
            UploadState::Cancelled => Ok(TransferEnd::Cancelled),
            _ => Ok(TransferEnd::Stored),
        }
    }

    /// Writes a new upload down, with what was read of it.
    async fn write_down(&mut self, going: &mut Going) -> Result<(), Error> {
        let records = std::mem::take(&mut going.records);
        let mut verdicts: HashMap<u32, Verdict> =
            records.iter().flat_map(|record| &record.ended).map(|ended| (ended.index, ended.verdict)).collect();
        let files = (0..)
            .zip(self.files.iter())
            .map(|(index, found)| NewFile { found: found.clone(), verdict: verdicts.remove(&index) })
            .collect();
        self.pipeline.journal.begin_upload(self.upload.clone(), files, records).await?;
        self.journalled = true;
        // The journal has it.
        self.upload.header = Vec::new();
        Ok(())
    }

    /// Opens an upload of the journal again, and plans what is left to do.
    async fn find_out(&mut self, going: &mut Going) -> Result<Option<TransferEnd>, Error> {
        let answer = loop {
            let (ask, parts) = self.open_question(&[]);
            match self.pipeline.opens.ask(ask, parts).await? {
                Ok(answer) => {
                    if let Some(end) = self.left_out_meanwhile().await? {
                        return Ok(Some(end));
                    }
                    break answer;
                }
                Err(error) => {
                    if let Some(end) = self.refused(error, going).await? {
                        return Ok(Some(end));
                    }
                }
            }
        };
        let Some(mut stored) = chunks_of_ranges(&answer.stored, self.layout.chunk_count()) else {
            return Ok(Some(TransferEnd::Abandoned(AgainReason::ChunksUnknown)));
        };
        self.opened = true;
        going.state = answer.state;
        if answer.state != UploadState::Uploading {
            self.pipeline.progress.stored(self.files.iter().map(|found| found.stat.size).sum());
            self.header = HeaderState::Told;
            self.untold.clear();
            return Ok(None);
        }
        // What storage confirmed and the server was not told: it is told now.
        let untold = std::mem::take(&mut self.untold);
        going.confirmed = untold.into_iter().filter(|chunk| stored.insert(chunk.sequence)).collect();
        let Some(remaining) = remaining::after(&self.layout, &self.plain, &stored) else {
            return Ok(Some(TransferEnd::Abandoned(AgainReason::ChunksNeverSealed)));
        };
        self.remaining = remaining;
        let done: u64 = stored.iter().filter_map(|sequence| self.layout.chunk_length(*sequence)).map(u64::from).sum();
        self.pipeline.progress.stored(done);
        if let Some(end) = self.header_answer(going, answer.header, Instant::now()) {
            return Ok(Some(end));
        }
        Ok(None)
    }

    fn start_reading(&mut self, going: &mut Going) {
        if going.sealing >= SEALS_AT_ONCE {
            return;
        }
        let Some(step) = self.remaining.steps.front().copied() else {
            return;
        };
        let (Some(reader), Some(shape)) = (going.reader.take(), self.layout.shape(step.sequence)) else {
            return;
        };
        self.remaining.steps.pop_front();
        let pipeline = Arc::clone(&self.pipeline);
        // To be compared, or to be written down together with the upload.
        let digest = step.known || !self.journalled;
        going.steps.push(Box::pin(async move {
            Ok(Done::Read(Box::new(pipeline.read_chunk(reader, step, shape, digest).await?)))
        }));
    }

    async fn start_asking(&mut self, going: &mut Going) -> Result<(), Error> {
        if going.asking {
            return Ok(());
        }
        let all_read = self.remaining.steps.is_empty() && going.reader.is_some() && going.sealing == 0;
        if !self.opened || self.header == HeaderState::ToSend {
            if !self.opened && going.ready.is_empty() {
                return Ok(());
            }
            if !self.journalled {
                self.write_down(going).await?;
            }
            let want: Vec<ReadyChunk> = take_some(&mut going.ready);
            let (ask, parts) = self.open_question(&want);
            let pipeline = Arc::clone(&self.pipeline);
            going.asking = true;
            going.steps.push(Box::pin(async move {
                let asked_at = Instant::now();
                Ok(Done::Opened(want, asked_at, pipeline.opens.ask(ask, parts).await?))
            }));
            return Ok(());
        }
        let quiet = going.putting == 0 && going.sealing == 0 && (all_read || going.ready.is_empty());
        let header_stored = self.header == HeaderState::Stored;
        let something = header_stored || !going.confirmed.is_empty() || !going.ready.is_empty();
        let due = going.tell_at.is_some_and(|tell_at| tell_at <= Instant::now());
        let now = !going.ready.is_empty() || going.confirmed.len() >= TELL_AT || due || (quiet && something);
        if !now {
            return Ok(());
        }
        going.tell_at = None;
        let confirmed: Vec<StoredChunk> =
            going.confirmed.drain(..going.confirmed.len().min(limits::MAX_STORED_CHUNKS)).collect();
        let asked = Asked { header_stored, told: confirmed.clone(), want: take_some(&mut going.ready) };
        let ask = AdvanceUpload {
            id: self.upload.id.to_string(),
            header_stored,
            stored: confirmed
                .iter()
                .map(|chunk| ChunkWant {
                    sequence: chunk.sequence,
                    length: chunk.bytes,
                    sha256: chunk.sha256.to_string(),
                })
                .collect(),
            want: asked.want.iter().map(want).collect(),
        };
        let parts = ask.stored.len() + ask.want.len();
        // A crash between here and there would send a few chunks again: not worth a flush for a small upload.
        let record = self.layout.chunk_count() > FEW_CHUNKS;
        let (pipeline, upload) = (Arc::clone(&self.pipeline), self.upload.id);
        going.asking = true;
        going.steps.push(Box::pin(async move {
            if record && !confirmed.is_empty() {
                pipeline.journal.record_stored(upload, confirmed).await?;
            }
            let asked_at = Instant::now();
            let answer = pipeline.advances.ask(ask, parts).await?;
            Ok(Done::Advanced(Box::new(asked), asked_at, answer))
        }));
        Ok(())
    }

    /// Takes in what a step came to; `Some` if the transfer ends with it.
    fn take(&mut self, going: &mut Going, done: Done) -> Result<Option<TransferEnd>, Error> {
        match done {
            Done::Read(read) => {
                let (reader, chunk) = *read;
                going.reader = Some(reader);
                return self.chunk_read(going, chunk);
            }
            Done::Sealed(chunk) => {
                going.sealing -= 1;
                going.ready.push(chunk);
            }
            Done::Opened(wanted, asked_at, answer) => {
                going.asking = false;
                return match answer {
                    Ok(answer) => self.upload_opened(going, wanted, asked_at, answer),
                    Err(error) => {
                        going.ready.extend(wanted);
                        self.wait_or_end(going, error)
                    }
                };
            }
            Done::Advanced(asked, asked_at, answer) => {
                going.asking = false;
                match answer {
                    Ok(answer) => {
                        going.state = answer.state;
                        if answer.state == UploadState::Cancelled {
                            return Ok(Some(TransferEnd::Cancelled));
                        }
                        going.backoff.reset();
                        if asked.header_stored {
                            self.header = HeaderState::Told;
                        }
                        self.start_puts(going, asked.want, answer.chunks, asked_at)?;
                    }
                    Err(error) => {
                        going.ready.extend(asked.want);
                        going.confirmed.extend(asked.told);
                        return self.wait_or_end(going, error);
                    }
                }
            }
            Done::Judged(answer, at, why) => match self.judged(at, why) {
                Some(end) => return Ok(Some(end)),
                None => return self.take(going, *answer),
            },
            // The backoff stays: only an answer shows that the server takes it again.
            Done::Waited => going.asking = false,
            Done::Header(put) => {
                going.putting -= 1;
                self.header = if put == Put::Stored { HeaderState::Stored } else { HeaderState::ToSend };
            }
            Done::Chunk(chunk, Put::Expired) => {
                going.putting -= 1;
                going.ready.push(chunk);
            }
            Done::Chunk(chunk, Put::Stored) => {
                going.putting -= 1;
                self.pipeline.progress.stored(chunk.plain_bytes);
                going.tell_at.get_or_insert_with(|| Instant::now() + TELL_AFTER);
                going.confirmed.push(StoredChunk {
                    sequence: chunk.sequence,
                    bytes: chunk.body.len() as u64,
                    sha256: chunk.sha256,
                });
            }
        }
        Ok(None)
    }

    fn chunk_read(&mut self, going: &mut Going, chunk: ReadChunk) -> Result<Option<TransferEnd>, Error> {
        let step = chunk.step;
        if step.known && chunk.digest.as_ref() != self.plain.get(&step.sequence) {
            return Ok(Some(TransferEnd::Abandoned(AgainReason::NeighbourChanged)));
        }
        let Some(shape) = self.layout.shape(step.sequence).filter(|_| step.send) else {
            return Ok(None);
        };
        let mut verdicts = Vec::with_capacity(chunk.ended.len());
        let mut ended = Vec::with_capacity(chunk.ended.len());
        for file in &chunk.ended {
            let journalled = self.verdicts.get(&file.index).copied().filter(|_| step.known);
            let Some(verdict) = journalled.or(file.verdict) else {
                return Ok(Some(TransferEnd::Abandoned(AgainReason::VerdictLost)));
            };
            verdicts.push(verdict);
            ended.push(Ended { index: file.index, verdict });
            if let (Verdict::Void(reason), false) = (verdict, step.known) {
                going.voided.push(Voided { index: file.index, reason, detail: file.detail.clone() });
            }
        }
        going.sealing += 1;
        let (pipeline, sealer, upload) = (Arc::clone(&self.pipeline), self.sealer.clone(), self.upload.id);
        if self.journalled {
            going.steps.push(Box::pin(async move {
                let journal = Arc::clone(&pipeline.journal);
                let ready = pipeline.seal_chunk(sealer, shape, chunk, verdicts).await?;
                if !step.known {
                    let record = ChunkRecord { sequence: ready.sequence, plain: ready.plain, ended };
                    journal.record_chunks(upload, vec![record]).await?;
                }
                Ok(Done::Sealed(ready))
            }));
        } else {
            let plain = chunk.digest.unwrap_or_else(|| Digest::of(&chunk.plain));
            going.records.push(ChunkRecord { sequence: step.sequence, plain, ended });
            going.steps.push(Box::pin(async move {
                Ok(Done::Sealed(pipeline.seal_chunk(sealer, shape, chunk, verdicts).await?))
            }));
        }
        Ok(None)
    }

    fn upload_opened(
        &mut self,
        going: &mut Going,
        wanted: Vec<ReadyChunk>,
        asked_at: Instant,
        answer: OpenedUpload,
    ) -> Result<Option<TransferEnd>, Error> {
        self.opened = true;
        going.state = answer.state;
        going.backoff.reset();
        if answer.state == UploadState::Cancelled {
            return Ok(Some(TransferEnd::Cancelled));
        }
        if let Some(end) = self.header_answer(going, answer.header, asked_at) {
            return Ok(Some(end));
        }
        self.start_puts(going, wanted, answer.chunks, asked_at)?;
        Ok(None)
    }

    /// Sends the header if the server wants it.
    fn header_answer(&mut self, going: &mut Going, put: Option<SignedPut>, asked_at: Instant) -> Option<TransferEnd> {
        match (put, self.header_body.clone()) {
            (None, _) => self.header = HeaderState::Told,
            (Some(_), None) => {
                return Some(TransferEnd::Abandoned(AgainReason::HeaderLost));
            }
            (Some(put), Some(body)) => {
                self.header = HeaderState::Sending;
                going.putting += 1;
                let pipeline = Arc::clone(&self.pipeline);
                going.steps.push(Box::pin(async move {
                    let _permit = pipeline.machine.puts.acquire().await.map_err(|_| Error::Stopped)?;
                    Ok(Done::Header(pipeline.storage.put(&put, asked_at, body).await?))
                }));
            }
        }
        None
    }

    fn start_puts(
        &self,
        going: &mut Going,
        chunks: Vec<ReadyChunk>,
        puts: Vec<SignedPut>,
        asked_at: Instant,
    ) -> Result<(), Error> {
        if puts.len() != chunks.len() {
            return Err(Error::Protocol {
                server: self.pipeline.api.server().to_owned(),
                detail: format!("{} URLs for {} chunks", puts.len(), chunks.len()),
            });
        }
        for (chunk, put) in chunks.into_iter().zip(puts) {
            going.putting += 1;
            let pipeline = Arc::clone(&self.pipeline);
            going.steps.push(Box::pin(async move {
                let permit = pipeline.machine.puts.acquire().await.map_err(|_| Error::Stopped)?;
                let put = pipeline.storage.put(&put, asked_at, chunk.body.clone()).await?;
                drop(permit);
                Ok(Done::Chunk(chunk, put))
            }));
        }
        Ok(())
    }

    fn open_question(&self, chunks: &[ReadyChunk]) -> (OpenUpload, usize) {
        let files: Vec<FileRange> = self
            .layout
            .job_ranges()
            .map(|range| FileRange {
                first_index: range.first_index,
                count: range.count,
                first_chunk: range.first_chunk,
                last_chunk: range.last_chunk,
            })
            .collect();
        let parts = files.len() + chunks.len();
        // What the journal has lost is still in the header, which is longer.
        let parameters_bytes = self.upload.parameters.as_ref().map(|parameters| parameters.as_json().len() as u64);
        let is_long = parameters_bytes.unwrap_or(self.header_bytes) > PARAMETERS_USUAL_BYTES as u64;
        let needs = if is_long { vec![LONG_PARAMETERS.to_owned()] } else { Vec::new() };
        let ask = OpenUpload {
            id: self.upload.id.to_string(),
            format: match self.upload.format {
                Format::One => 1,
                Format::Two => 2,
            },
            tasks: vec![OpenTask { releases: vec![self.upload.release.to_string()], needs }],
            pool: self.upload.pool.clone(),
            header_length: self.header_bytes,
            header_sha256: self.upload.header_digest.to_string(),
            chunks: self.layout.chunk_count(),
            files,
            want: chunks.iter().map(want).collect(),
        };
        (ask, parts)
    }
}

/// Waits until then; for ever if there is no such time.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn take_some(ready: &mut Vec<ReadyChunk>) -> Vec<ReadyChunk> {
    ready.drain(..ready.len().min(limits::MAX_WANTED_CHUNKS)).collect()
}

fn want(chunk: &ReadyChunk) -> ChunkWant {
    ChunkWant { sequence: chunk.sequence, length: chunk.body.len() as u64, sha256: chunk.sha256.to_string() }
}
