//! One chunk from storage to opened bytes.

use std::sync::Arc;

use filemill_api::SignedGet;
use filemill_seal::ChunkShape;

use super::Node;
use super::budget::Held;
use super::chunks::{Chunk, ChunkName, Loaded};
use super::events::event;
use super::job::RunContext;
use super::openers::NotOpened;
use super::stop::{Missing, Stop};
use super::storage::{ASKED_AGAIN, StorageError, backoff, named_digest};
use super::urls::RunUrls;

/// How often a URL is asked for again because storage refuses the one at hand.
const URLS_TRIED: u32 = 3;

/// A run's way to its chunks.
pub(super) struct Fetcher {
    pub(super) node: Arc<Node>,
    pub(super) context: Arc<RunContext>,
    pub(super) urls: RunUrls,
}

/// A chunk that may be fetched: there is room for it.
pub(super) struct Admitted {
    sequence: u32,
    get: SignedGet,
    held: Held,
}

impl Fetcher {
    /// The chunk, from memory or from storage. Cancel safe.
    pub(super) async fn chunk(&self, sequence: u32) -> Result<Chunk, Stop> {
        self.get(sequence, self.is_shared(sequence)).await
    }

    /// The chunk, which will be wanted again: it stays while nobody else waits for memory. Cancel safe.
    pub(super) async fn chunk_to_keep(&self, sequence: u32) -> Result<Chunk, Stop> {
        self.get(sequence, true).await
    }

    async fn get(&self, sequence: u32, keep: bool) -> Result<Chunk, Stop> {
        let load = async || {
            let admitted = self.admit(sequence).await?;
            self.load(admitted).await
        };
        self.node.chunks.get(self.name(sequence), keep, load).await
    }

    /// The same for as long as the run may fetch more: `fetches_left` grows less where the chunk has to be fetched, and there is
    /// `None` where it would have to be and nothing is left. Cancel safe.
    pub(super) async fn chunk_within(&self, sequence: u32, fetches_left: &mut u64) -> Result<Option<Chunk>, Stop> {
        let load = async || {
            // No stop: there is nothing left.
            *fetches_left = fetches_left.checked_sub(1).ok_or(None)?;
            let admitted = self.admit(sequence).await.map_err(Some)?;
            self.load(admitted).await.map_err(Some)
        };
        match self.node.chunks.get(self.name(sequence), true, load).await {
            Ok(chunk) => Ok(Some(chunk)),
            Err(None) => Ok(None),
            Err(Some(stop)) => Err(stop),
        }
    }

    /// Waits until the chunk is stored. Cancel safe.
    pub(super) async fn stored(&self, sequence: u32) -> Result<(), Stop> {
        self.urls.get(&self.node, sequence).await.map(|_| ())
    }

    /// Waits until the chunk is stored and there is room for it. Cancel safe.
    pub(super) async fn admit(&self, sequence: u32) -> Result<Admitted, Stop> {
        let shape = self.shape(sequence)?;
        let get = self.urls.get(&self.node, sequence).await?;
        let held = self.node.chunks.reserve(needed_bytes(&shape, get.length)).await;
        Ok(Admitted { sequence, get, held })
    }

    /// The chunk, fetched with what was admitted unless it is here. Cancel safe.
    pub(super) async fn chunk_admitted(&self, admitted: Admitted) -> Result<Chunk, Stop> {
        let (name, keep) = (self.name(admitted.sequence), self.is_shared(admitted.sequence));
        self.node.chunks.get(name, keep, async || self.load(admitted).await).await
    }

    /// The most that the chunk takes while it is opened, in bytes.
    pub(super) fn most_bytes(&self, sequence: u32) -> usize {
        self.shape(sequence).map_or(usize::MAX, |shape| shape.sealed_max_bytes().saturating_mul(2))
    }

    fn name(&self, sequence: u32) -> ChunkName {
        (self.context.upload.header_digest, sequence)
    }

    fn is_shared(&self, sequence: u32) -> bool {
        self.context.upload.layout.files_in(sequence).len() > 1
    }

    fn shape(&self, sequence: u32) -> Result<ChunkShape, Stop> {
        let layout = &self.context.upload.layout;
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
            let opener = self.context.upload.opener.clone();
            match self.node.openers.open(opener, shape, sealed, digest).await {
                Ok(chunk) => break (chunk, sealed_length),
                // Damaged on its way, perhaps; another URL may take another way.
                Err(NotOpened::Differs(_)) if attempt < ASKED_AGAIN => {
                    attempt += 1;
                    backoff.wait().await;
                    self.urls.forget(sequence);
                    get = self.urls.get(&self.node, sequence).await?;
                }
                Err(problem) => return Err(stop(problem, sequence, get.sha256)),
            }
        };
        held.shrink_to(chunk.data().len());
        let counters = &self.node.counters;
        counters.chunks_fetched.add(1);
        counters.sealed_bytes.add(sealed_length as u64);
        counters.plain_bytes.add(chunk.data().len() as u64);
        event!("chunk opened", upload = %self.context.upload.id(), sequence = sequence);
        Ok(Loaded::new(chunk, held))
    }

    /// Fetches the sealed bytes; asks for another URL where storage refuses the one at hand.
    async fn fetch(&self, shape: &ChunkShape, get: &mut SignedGet) -> Result<Vec<u8>, Stop> {
        let sequence = shape.sequence;
        let _place = self.node.fetches.acquire().await;
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
            match self.node.storage.get(get, shape.sealed_max_bytes(), room_bytes).await {
                Ok(sealed) => return Ok(sealed),
                Err(StorageError::Expired(_)) => {
                    self.urls.forget(sequence);
                    *get = self.urls.get(&self.node, sequence).await?;
                }
                Err(error @ (StorageError::NotFound | StorageError::Other(_))) => {
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
