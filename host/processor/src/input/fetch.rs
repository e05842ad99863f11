//! One chunk from storage to opened bytes.

use std::sync::Arc;

use filemill_api::SignedGet;
use filemill_seal::ChunkShape;
use tokio::sync::{Mutex, Semaphore};

use super::chunks::{Chunk, ChunkName, ChunkStore, Loaded};
use super::openers::{NotOpened, Openers};
use super::upload::Upload;
use super::urls::SpanUrls;
use crate::budget::Held;
use crate::leases::{Missing, Stop};
use crate::net::{ASKED_AGAIN, Storage, StorageError, backoff, named_digest};
use crate::telemetry::{Counters, event};

/// How often a URL is asked for again because storage refuses the one at hand.
const URLS_TRIED: u32 = 3;

/// Objects fetched at once.
const FETCHES: usize = 16;

/// What fetches and opens chunks, for all runs.
pub(crate) struct Fetching {
    storage: Arc<Storage>,
    chunks: Arc<ChunkStore>,
    /// Chunks are opened on as many threads as there are slots.
    openers: Openers,
    counters: Arc<Counters>,
    /// For objects that are fetched at once.
    places: Semaphore,
    /// Held by the one run that collects two chunks.
    pairs: Mutex<()>,
}

/// A run's way to its chunks.
pub(crate) struct Fetcher {
    pub(crate) shared: Arc<Fetching>,
    pub(crate) upload: Arc<Upload>,
    pub(crate) urls: SpanUrls,
}

/// A chunk that may be fetched: there is room for it.
pub(crate) struct Admitted {
    sequence: u32,
    get: SignedGet,
    held: Held,
}

impl Fetching {
    /// Holds chunks of up to `budget_bytes`.
    pub(crate) fn new(storage: Arc<Storage>, budget_bytes: usize, openers: Openers, counters: Arc<Counters>) -> Self {
        let chunks = Arc::new(ChunkStore::new(budget_bytes));
        Self { storage, chunks, openers, counters, places: Semaphore::new(FETCHES), pairs: Mutex::new(()) }
    }

    /// What chunks may take together, in bytes.
    pub(crate) fn budget_bytes(&self) -> usize {
        self.chunks.total_bytes()
    }

    /// Drops what waits to be opened and lets the threads end.
    pub(crate) fn close(&self) {
        self.openers.close();
    }
}

impl Fetcher {
    /// The chunk, from memory or from storage. Cancel safe.
    pub(crate) async fn chunk(&self, sequence: u32) -> Result<Chunk, Stop> {
        self.get(sequence, self.is_shared(sequence)).await
    }

    /// The chunk, which will be wanted again: it stays while nobody else waits for memory. Cancel safe.
    pub(crate) async fn chunk_to_keep(&self, sequence: u32) -> Result<Chunk, Stop> {
        self.get(sequence, true).await
    }

    /// One or two chunks, held at once. Cancel safe.
    pub(crate) async fn pair(&self, first: u32, last: u32) -> Result<(Chunk, Chunk), Stop> {
        if first == last {
            let chunk = self.chunk(first).await?;
            return Ok((chunk.clone(), chunk));
        }
        // Not under the lock: an uploader may take its time.
        futures::try_join!(self.stored(first), self.stored(last))?;
        // One at a time may hold a part of what it needs, or several could wait for each other for ever.
        let _turn = self.shared.pairs.lock().await;
        futures::try_join!(self.chunk(first), self.chunk(last))
    }

    async fn get(&self, sequence: u32, keep: bool) -> Result<Chunk, Stop> {
        let load = async || {
            let admitted = self.admit(sequence).await?;
            self.load(admitted).await
        };
        self.shared.chunks.get(self.name(sequence), keep, load).await
    }

    /// The same for as long as the run may fetch more: `fetches_left` grows less where the chunk has to be fetched, and there is
    /// `None` where it would have to be and nothing is left. Cancel safe.
    pub(crate) async fn chunk_within(&self, sequence: u32, fetches_left: &mut u64) -> Result<Option<Chunk>, Stop> {
        let load = async || {
            // No stop: there is nothing left.
            *fetches_left = fetches_left.checked_sub(1).ok_or(None)?;
            let admitted = self.admit(sequence).await.map_err(Some)?;
            self.load(admitted).await.map_err(Some)
        };
        match self.shared.chunks.get(self.name(sequence), true, load).await {
            Ok(chunk) => Ok(Some(chunk)),
            Err(None) => Ok(None),
            Err(Some(stop)) => Err(stop),
        }
    }

    /// Waits until the chunk is stored. Cancel safe.
    pub(crate) async fn stored(&self, sequence: u32) -> Result<(), Stop> {
        self.urls.get(sequence).await.map(|_| ())
    }

    /// Waits until the chunk is stored and there is room for it. Cancel safe.
    pub(crate) async fn admit(&self, sequence: u32) -> Result<Admitted, Stop> {
        let shape = self.shape(sequence)?;
        let get = self.urls.get(sequence).await?;
        let held = self.shared.chunks.reserve(needed_bytes(&shape, get.length)).await;
        Ok(Admitted { sequence, get, held })
    }

    /// The chunk, fetched with what was admitted unless it is here. Cancel safe.
    pub(crate) async fn chunk_admitted(&self, admitted: Admitted) -> Result<Chunk, Stop> {
        let (name, keep) = (self.name(admitted.sequence), self.is_shared(admitted.sequence));
        self.shared.chunks.get(name, keep, async || self.load(admitted).await).await
    }

    /// The most that the chunk takes while it is opened, in bytes.
    pub(crate) fn most_bytes(&self, sequence: u32) -> usize {
        self.shape(sequence).map_or(usize::MAX, |shape| shape.sealed_max_bytes().saturating_mul(2))
    }

    fn name(&self, sequence: u32) -> ChunkName {
        (self.upload.header_digest, sequence)
    }

    fn is_shared(&self, sequence: u32) -> bool {
        self.upload.layout.files_in(sequence).len() > 1
    }

    fn shape(&self, sequence: u32) -> Result<ChunkShape, Stop> {
        let layout = &self.upload.layout;
        layout.shape(sequence).ok_or_else(|| Stop::Refused(format!("the upload has no chunk {sequence}")))
    }

    async fn load(&self, admitted: Admitted) -> Result<Loaded, Stop> {
        let Admitted { sequence, mut get, mut held } = admitted;
        let shape = self.shape(sequence)?;
        let (mut attempt, mut backoff) = (1, backoff());
        let (chunk, sealed_length) = loop {
            let sealed = self.fetch(&shape, &mut get).await?;
            let (digest, sealed_length) = (named_digest(&get), sealed.len());
            let digest = digest.map_err(|error| Stop::Fault(error.to_string()))?;
            let opener = self.upload.opener.clone();
            match self.shared.openers.open(opener, shape, sealed, digest).await {
                Ok(chunk) => break (chunk, sealed_length),
                // Damaged on its way, perhaps; another URL may take another way.
                Err(NotOpened::Differs(_)) if attempt < ASKED_AGAIN => {
                    attempt += 1;
                    backoff.wait().await;
                    self.urls.forget(sequence);
                    get = self.urls.get(sequence).await?;
                }
                Err(problem) => return Err(stop(problem, sequence, get.sha256)),
            }
        };
        held.shrink_to(chunk.data().len());
        let counters = &self.shared.counters;
        counters.chunks_fetched.add(1);
        counters.sealed_bytes.add(sealed_length as u64);
        counters.plain_bytes.add(chunk.data().len() as u64);
        event!("chunk opened", upload = %self.upload.id(), sequence = sequence);
        Ok(Loaded::new(chunk, held))
    }

    /// Fetches the sealed bytes; asks for another URL where storage refuses the one at hand.
    async fn fetch(&self, shape: &ChunkShape, get: &mut SignedGet) -> Result<Vec<u8>, Stop> {
        let sequence = shape.sequence;
        let _place = self.shared.places.acquire().await;
        for _ in 0..URLS_TRIED {
            if get.length > shape.sealed_max_bytes() as u64 {
                let (found, most) = (get.length, shape.sealed_max_bytes());
                return Err(Stop::Refused(format!(
                    "chunk {sequence} has {found} bytes, it cannot have more than {most}"
                )));
            }
            // Every buffer gets the room of a stored chunk, of which only what is written costs memory: blocks of one size
            // leave no holes in the heap, where lengths of all kinds were measured to leave as much as is in use.
            let room_bytes = shape.sealed_max_bytes();
            match self.shared.storage.get(get, shape.sealed_max_bytes(), room_bytes).await {
                Ok(sealed) => return Ok(sealed),
                Err(StorageError::Refused { .. }) => {
                    self.urls.forget(sequence);
                    *get = self.urls.get(sequence).await?;
                }
                Err(error @ (StorageError::NotFound(_) | StorageError::TooLong(_) | StorageError::Other(_))) => {
                    let what = Missing::Chunk { sequence, sha256: get.sha256.clone() };
                    return Err(Stop::Missing { what, why: error.to_string() });
                }
                Err(error) => {
                    let why = format!("chunk {sequence} cannot be fetched: {error}");
                    return Err(if matches!(error, StorageError::Away(_)) {
                        Stop::Away(why)
                    } else {
                        Stop::Fault(why)
                    });
                }
            }
        }
        Err(Stop::Fault(format!("chunk {sequence} cannot be fetched: storage refused {URLS_TRIED} presigned URLs")))
    }
}

/// Bytes to hold while a chunk is fetched and opened. A stored one is opened where it lies, and its length tells.
fn needed_bytes(shape: &ChunkShape, sealed_bytes: u64) -> usize {
    let longest = shape.sealed_max_bytes();
    match usize::try_from(sealed_bytes) {
        Ok(sealed_bytes) if sealed_bytes < longest => sealed_bytes + shape.length as usize,
        _ => longest,
    }
}

/// What a run does about a chunk that does not open.
fn stop(problem: NotOpened, sequence: u32, sha256: String) -> Stop {
    match problem {
        NotOpened::Differs(found) => {
            let why = format!("it has the SHA-256 `{found}` instead of `{sha256}`");
            Stop::Missing { what: Missing::Chunk { sequence, sha256 }, why }
        }
        NotOpened::Sealed(error) => Stop::Refused(format!("chunk {sequence}: {error} (hint: {})", error.hint())),
        NotOpened::Dropped => Stop::Fault(format!("chunk {sequence} was not opened")),
    }
}
