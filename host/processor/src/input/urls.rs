//! Where chunks are: the URLs that came with a lease, and those asked for since.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filemill_api::{ChunkUrl, ChunksAnswer, ChunksRequest, ErrorCode, SignedGet};

use super::streaming::Streaming;
use crate::clock;
use crate::leases::{Lease, Leases, Stop};
use crate::net::{Backoff, CallError, Server};
use crate::slots::AloneNext;

/// URLs asked for at once.
const ASKED: u32 = 16;
/// The longest a single question waits, so that a change of circumstances is noticed.
const QUESTION: Duration = Duration::from_secs(2);
/// A URL is not used in the last part of its life: the request has to get there.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a run waits for a chunk while another run waits for it to end.
const STALL_IN_THE_WAY: Duration = Duration::from_secs(1);

/// The known URLs of one upload, shared by its runs.
#[derive(Clone, Default)]
pub(crate) struct Urls(Arc<Mutex<HashMap<u32, Known>>>);

struct Known {
    get: SignedGet,
    /// On [`clock::now`].
    good_until: Duration,
}

/// Where more of them come from.
pub(crate) struct UrlSource {
    pub(crate) server: Arc<Server>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) streaming: Arc<Streaming>,
    pub(crate) slots: Arc<dyn AloneNext>,
    /// How long a run waits for the next chunk.
    pub(crate) stall: Duration,
}

/// A run's view of them: it can ask for more.
pub(crate) struct SpanUrls {
    source: Arc<UrlSource>,
    urls: Urls,
    lease: Arc<Lease>,
    /// On [`clock::now`]: when a URL came that was not known, or the run began to wait for one.
    last_new: Mutex<Duration>,
    /// Whether it holds a place that another run may wait for.
    holds_place: AtomicBool,
}

impl Urls {
    /// Takes in what an answer named that was asked for at `asked_at`.
    pub(crate) fn learn(&self, chunks: Vec<ChunkUrl>, asked_at: Duration) -> bool {
        let mut known = self.lock();
        let mut learnt = false;
        for ChunkUrl { sequence, get } in chunks {
            let life = Duration::from_secs(get.expires_in_s.into());
            let good_until = asked_at + life.saturating_sub(MARGIN.min(life / 4));
            learnt |= known.insert(sequence, Known { get, good_until }).is_none();
        }
        learnt
    }

    fn find(&self, sequence: u32) -> Option<SignedGet> {
        let known = self.lock();
        known.get(&sequence).filter(|known| clock::now() < known.good_until).map(|known| known.get.clone())
    }

    fn forget(&self, sequence: u32) {
        self.lock().remove(&sequence);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanUrls {
    pub(crate) fn new(source: Arc<UrlSource>, urls: Urls, lease: Arc<Lease>) -> Self {
        Self { source, urls, lease, last_new: Mutex::new(clock::now()), holds_place: AtomicBool::new(false) }
    }

    /// From now on the run has nothing to do until its next chunk is stored. The time before counts for no stall: an engine
    /// that took its time, or a long wait for a slot, is not the uploader's fault.
    pub(crate) fn wait_from_now(&self) {
        self.new_came();
    }

    /// Whether the run holds a place among the files that are streamed.
    pub(crate) fn hold_place(&self, holds: bool) {
        self.holds_place.store(holds, Ordering::Relaxed);
    }

    /// Whether a chunk is stored already. Cancel safe.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), but that nothing stalls.
    pub(crate) async fn is_stored(&self, sequence: u32) -> Result<bool, Stop> {
        Ok(self.urls.find(sequence).is_some() || self.ask(sequence, Duration::ZERO).await?)
    }

    /// The URL of a chunk, as soon as the chunk is stored. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Stop::Stalled`] where no new chunk has come for too long; [`Stop::Over`]; [`Stop::Fault`] where the server
    /// refuses the question.
    pub(crate) async fn get(&self, sequence: u32) -> Result<SignedGet, Stop> {
        loop {
            if let Some(get) = self.urls.find(sequence) {
                return Ok(get);
            }
            let in_the_way = self.source.slots.is_alone_next()
                || (self.holds_place.load(Ordering::Relaxed) && self.source.streaming.complete_waits());
            let patience = if in_the_way { STALL_IN_THE_WAY.min(self.source.stall) } else { self.source.stall };
            let waited = clock::now().saturating_sub(*self.last_new.lock().unwrap_or_else(PoisonError::into_inner));
            let left = patience.saturating_sub(waited);
            if self.ask(sequence, left.min(QUESTION)).await? {
                continue;
            }
            if left.is_zero() {
                return Err(Stop::Stalled);
            }
        }
    }

    /// Forgets a URL that storage refuses.
    pub(crate) fn forget(&self, sequence: u32) {
        self.urls.forget(sequence);
    }

    /// Asks for the URLs from `sequence` on, waiting up to `wait` for the first; says whether there was one.
    async fn ask(&self, sequence: u32, wait: Duration) -> Result<bool, Stop> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            let count = self.lease.span.last_chunk.saturating_sub(sequence).saturating_add(1).min(ASKED);
            let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            let request = ChunksRequest { lease: self.lease.key, from: sequence, count, wait_ms };
            let asked_at = clock::now();
            let least = self.lease.least();
            let answer = self.source.server.ask(&request, wait, least).await;
            self.source.leases.hear_version(least, &answer);
            if matches!(answer, Err(CallError::OlderServer)) {
                self.lease.waits_for_version_2(clock::now());
            }
            match answer {
                Ok(answer) => return Ok(self.take_in(answer, sequence, asked_at)),
                // That the server is away does not mean that the uploader stalls.
                Err(error) if error.is_transient() => {
                    backoff.wait().await;
                    self.new_came();
                }
                Err(CallError::Refused { body, .. })
                    if matches!(body.code, ErrorCode::Fenced | ErrorCode::NotFound) =>
                {
                    self.source.leases.lost(&self.lease);
                    return Err(Stop::Over);
                }
                Err(error) => return Err(Stop::Fault(format!("the server gives no chunk URLs: {error}"))),
            }
        }
    }

    fn take_in(&self, answer: ChunksAnswer, sequence: u32, asked_at: Duration) -> bool {
        let asked = sequence..=self.lease.span.last_chunk;
        let chunks: Vec<ChunkUrl> = answer.chunks.into_iter().filter(|chunk| asked.contains(&chunk.sequence)).collect();
        let found = chunks.iter().any(|chunk| chunk.sequence == sequence);
        if self.urls.learn(chunks, asked_at) {
            self.new_came();
        }
        found
    }

    fn new_came(&self) {
        *self.last_new.lock().unwrap_or_else(PoisonError::into_inner) = clock::now();
    }
}
