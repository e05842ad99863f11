//! An upload that some of this node's leases belong to: its header, opened and checked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use filemill_api::{LeasedUpload, limits};
use filemill_seal::{
    ChunkOpener, Digest, EnvelopeError, FileEntry, FileSpan, Header, HeaderError, Identity, Layout, SealedHeader,
    UploadId, Verdict,
};
use tokio::sync::{OnceCell, Semaphore};

use super::budget::{Budget, Held};
use super::chunks::Chunk;
use super::events::event;
use super::server_clock::{HINT, Lifetime, ServerClock, difference};
use super::storage::{ASKED_AGAIN, Storage, StorageError, backoff, named_digest};
use super::totals::Counter;
use filemill_runtime::Parameters;

/// Opened headers that are kept, and what they may take together.
const KEPT: usize = 256;
const KEPT_BYTES: usize = 4 << 20;

/// What all headers may take, those of uploads that are worked on included: enough to open the longest. It is apart from
/// the chunks' budget, in which those wait whose headers are held.
const HEADERS_BYTES: usize = 24 << 20;
/// Headers opened at once.
const OPENED_AT_ONCE: usize = 2;
/// How often it is looked whether headers are no longer used, while others wait for their room.
const ROOM_LOOK: Duration = Duration::from_millis(50);
/// What a file takes in an opened header beside its name: its entry, its place in the layout, its name's allocation.
const FILE_BYTES: usize = size_of::<FileEntry>() + 16 + 24;

/// An upload, as its opened header describes it.
pub(super) struct Upload {
    pub(super) header: Header,
    pub(super) header_digest: Digest,
    pub(super) layout: Layout,
    pub(super) opener: ChunkOpener,
    pub(super) parameters: Parameters,
    bytes: usize,
    /// Given back when nobody uses it any more.
    _held: Held,
}

/// Why nothing of an upload is run.
#[derive(Debug)]
pub(super) enum NotAdmitted {
    /// It does not stand up to a check. `upload` is there if the header belongs to it, so that the reason can be sealed.
    Refused { why: String, upload: Option<Arc<Upload>> },
    /// Its header is not there, or not the one that was stored.
    Missing(String),
    /// None of the identities that were tried opens its header.
    UnknownKey,
    /// By one of two clocks its time is over, this machine's and the server's.
    Disputed(String),
    /// Storage does not answer this node.
    Away(String),
    /// This node cannot tell.
    Fault(String),
}

/// The uploads whose headers were opened lately.
pub(super) struct Uploads {
    kept: Mutex<Kept>,
    budget: Budget,
    openings: Semaphore,
}

#[derive(Default)]
struct Kept {
    // By upload and header digest: a server that names another header for the same upload gets another entry.
    by_name: HashMap<(UploadId, Digest), Entry>,
    clock: u64,
}

struct Entry {
    cell: Arc<OnceCell<Arc<Upload>>>,
    used: u64,
}

impl Uploads {
    pub(super) fn new() -> Self {
        let (budget, openings) = (Budget::new(HEADERS_BYTES), Semaphore::new(OPENED_AT_ONCE));
        Self { kept: Mutex::default(), budget, openings }
    }

    /// The upload of a lease, once its header was fetched, opened with one of `identities` and found to allow the
    /// leased release now. Fetched once for all leases that ask meanwhile or soon after, and not before there is room for
    /// it. Cancel safe.
    pub(super) async fn admit(
        &self,
        leased: &LeasedUpload,
        storage: &Storage,
        identities: &[Identity],
        clock: &ServerClock,
        opened: &Counter,
    ) -> Result<Arc<Upload>, NotAdmitted> {
        let refused = |why: String| NotAdmitted::Refused { why, upload: None };
        let id: UploadId = leased.upload.parse().map_err(|error| refused(format!("the upload's id: {error}")))?;
        let digest = named_digest(&leased.header).map_err(|error| refused(format!("the header: {error}")))?;
        let cell = self.cell(id, digest);
        let fetched = async || {
            let upload = self.fetch(leased, id, digest, storage, identities).await?;
            opened.add(1);
            Ok(upload)
        };
        let upload = cell.get_or_try_init(fetched).await;
        if upload.is_err() {
            self.forget(id, digest);
        }
        let upload = Arc::clone(upload?);
        self.trim();
        if let Some(why) = objection(&upload, leased) {
            return Err(NotAdmitted::Refused { why, upload: Some(upload) });
        }
        let not_after = upload.header.not_after;
        match clock.lifetime(not_after) {
            Lifetime::Lasts => Ok(upload),
            Lifetime::Over => {
                let why = format!("the upload was to be run until {not_after} (seconds since 1970), which is over");
                Err(NotAdmitted::Refused { why, upload: Some(upload) })
            }
            Lifetime::Disputed { ahead } => Err(NotAdmitted::Disputed(format!(
                "the upload was to be run until {not_after} (seconds since 1970), and {}: one of them says that this is over \
                 (hint: {HINT})",
                difference(ahead)
            ))),
        }
    }

    fn cell(&self, id: UploadId, digest: Digest) -> Arc<OnceCell<Arc<Upload>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let used = kept.clock;
        let entry = kept.by_name.entry((id, digest)).or_insert_with(|| Entry { cell: Arc::default(), used });
        entry.used = used;
        Arc::clone(&entry.cell)
    }

    fn forget(&self, id: UploadId, digest: Digest) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_name.get(&(id, digest)).is_some_and(|entry| !entry.cell.initialized()) {
            kept.by_name.remove(&(id, digest));
        }
    }

    /// Forgets those used longest ago, down to the bounds. Whoever uses one still has it.
    fn trim(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |entry: &Entry| entry.cell.get().map_or(0, |upload| upload.bytes);
        let mut total: usize = kept.by_name.values().map(bytes).sum();
        while kept.by_name.len() > KEPT || (total > KEPT_BYTES && kept.by_name.len() > 1) {
            let Some(oldest) = kept.by_name.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| *name) else {
                return;
            };
            total -= kept.by_name.remove(&oldest).as_ref().map_or(0, bytes);
        }
    }

    /// Forgets the one used longest ago of those that nobody works on; says whether there was one.
    fn forget_idle(&self) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |entry: &Entry| entry.cell.get().is_some_and(|upload| Arc::strong_count(upload) == 1);
        let oldest = kept.by_name.iter().filter(|(_, entry)| idle(entry)).min_by_key(|(_, entry)| entry.used);
        let Some(name) = oldest.map(|(name, _)| *name) else {
            return false;
        };
        let gone = kept.by_name.remove(&name);
        drop(kept);
        // Some MiB in small pieces; not under the lock.
        drop(gone);
        true
    }

    /// Room for a header, for which those that are only kept are forgotten. Cancel safe.
    async fn room(&self, bytes: usize) -> Held {
        let taking = self.budget.take(bytes, || self.forget_idle());
        tokio::pin!(taking);
        loop {
            tokio::select! {
                held = &mut taking => return held,
                // Nobody says when the last run of an upload ends.
                () = tokio::time::sleep(ROOM_LOOK) => while self.forget_idle() {},
            }
        }
    }

    async fn fetch(
        &self,
        leased: &LeasedUpload,
        id: UploadId,
        digest: Digest,
        storage: &Storage,
        identities: &[Identity],
    ) -> Result<Arc<Upload>, NotAdmitted> {
        let length = leased.header.length.min(limits::MAX_HEADER_BYTES) as usize;
        let (mut attempt, mut backoff) = (1, backoff());
        loop {
            let held = self.room(most_bytes(length)).await;
            let sealed = get_header(leased, storage).await?;
            // An age decryption and a parse of up to 4 MiB: not on a thread that answers heartbeats.
            let identities = identities.to_vec();
            let turn = self.openings.acquire().await;
            let opened = tokio::task::spawn_blocking(move || open(sealed, id, digest, &identities, held))
                .await
                .map_err(|error| NotAdmitted::Fault(format!("opening the header failed: {error}")))?;
            drop(turn);
            match opened {
                // Damaged on its way, perhaps.
                Err(NotAdmitted::Missing(_)) if attempt < ASKED_AGAIN => {
                    attempt += 1;
                    backoff.wait().await;
                }
                opened => return opened.map(Arc::new),
            }
        }
    }
}

/// What a header of so many sealed bytes takes while it is opened: itself, its plaintext, what it is compared with, and
/// what comes of it, in which a file takes at least four of the bytes.
fn most_bytes(sealed: usize) -> usize {
    4 * sealed + (sealed / 4).min(limits::MAX_FILES as usize) * FILE_BYTES
}

async fn get_header(leased: &LeasedUpload, storage: &Storage) -> Result<Vec<u8>, NotAdmitted> {
    if leased.header.length > limits::MAX_HEADER_BYTES {
        let (found, most) = (leased.header.length, limits::MAX_HEADER_BYTES);
        let why = format!("the header has {found} bytes, it cannot have more than {most}");
        return Err(NotAdmitted::Refused { why, upload: None });
    }
    match storage.get(&leased.header, limits::MAX_HEADER_BYTES as usize, 0).await {
        Ok(bytes) => Ok(bytes),
        Err(error @ (StorageError::NotFound | StorageError::Other(_))) => Err(NotAdmitted::Missing(error.to_string())),
        Err(error) => {
            let why = format!("the header cannot be fetched: {error}");
            Err(if matches!(error, StorageError::Away(_)) { NotAdmitted::Away(why) } else { NotAdmitted::Fault(why) })
        }
    }
}

fn open(
    sealed: Vec<u8>,
    id: UploadId,
    digest: Digest,
    identities: &[Identity],
    mut held: Held,
) -> Result<Upload, NotAdmitted> {
    let refused = |why: String| NotAdmitted::Refused { why, upload: None };
    let found = Digest::of(&sealed);
    if found != digest {
        return Err(NotAdmitted::Missing(format!("the header has the SHA-256 `{found}` instead of `{digest}`")));
    }
    let sealed = SealedHeader::from_bytes(sealed).map_err(|error| refused(error.to_string()))?;
    // The newest first: it is the one that most headers are sealed for.
    let newest_first: Vec<Identity> = identities.iter().rev().cloned().collect();
    let header = Header::open(&sealed, &newest_first).map_err(|error| match error {
        HeaderError::Envelope(EnvelopeError::NoMatchingKey) => NotAdmitted::UnknownKey,
        error => refused(error.to_string()),
    })?;
    drop(sealed);
    if header.upload != id {
        return Err(refused(format!("the header is that of upload `{}`", header.upload)));
    }
    let layout = header.layout().map_err(|error| refused(error.to_string()))?;
    let parameters = Parameters::parse(header.parameters.clone()).map_err(|error| refused(error.to_string()))?;
    let opener = ChunkOpener::new(&header.key, header.upload, digest);
    event!("header opened", upload = %id, files = header.files.len());
    let bytes =
        2 * header.parameters.len() + header.files.iter().map(|file| file.name.capacity() + FILE_BYTES).sum::<usize>();
    held.shrink_to(bytes);
    Ok(Upload { header, header_digest: digest, layout, opener, parameters, bytes, _held: held })
}

/// Why a lease of the upload is never run, if there is a reason beside its age.
fn objection(upload: &Upload, leased: &LeasedUpload) -> Option<String> {
    let header = &upload.header;
    match leased.release.parse() {
        Ok(release) if header.allows(&release) => {}
        Ok(release) => return Some(format!("the header does not name release `{release}`")),
        Err(error) => return Some(format!("the release: {error}")),
    }
    let chunks = upload.layout.chunk_count();
    (chunks != leased.chunks_expected)
        .then(|| format!("the server says that there are {} chunks, the header {chunks}", leased.chunks_expected))
}

impl Upload {
    pub(super) fn id(&self) -> UploadId {
        self.header.upload
    }

    /// What the uploader says of file `index` in `chunk`, the one with that sequence number; `None` if the file does not end there.
    pub(super) fn verdict(&self, chunk: &Chunk, index: u32, sequence: u32) -> Option<Verdict> {
        let position = index.checked_sub(self.layout.ends_in(sequence).start)?;
        chunk.verdicts().get(position as usize).copied()
    }

    /// The part of a file in `chunk`, the one with that sequence number, without a copy.
    pub(super) fn piece(&self, chunk: &Chunk, span: &FileSpan, sequence: u32) -> Bytes {
        let data = chunk.data();
        let start = self.layout.chunk_offset(sequence).unwrap_or(0);
        // Both lie within the chunk, so that they fit.
        let within = |offset: u64| offset.saturating_sub(start).min(data.len() as u64) as usize;
        data.slice(within(span.offset)..within(span.offset + span.length))
    }

    /// The file's name as an engine is told it: what is not UTF-8 is replaced.
    pub(super) fn name(&self, index: u32) -> String {
        self.header
            .files
            .get(index as usize)
            .map_or_else(String::new, |file| String::from_utf8_lossy(&file.name).into_owned())
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("id", &self.id()).finish_non_exhaustive()
    }
}
