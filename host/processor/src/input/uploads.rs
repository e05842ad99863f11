//! The uploads that leases belong to: each header is opened once, and kept while there is room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filemill_api::{LeasedUpload, limits};
use filemill_seal::{Digest, Identity, UploadId};
use tokio::sync::{OnceCell, Semaphore};

use super::header::{NotAdmitted, get_header, most_bytes, objection, open};
use super::upload::Upload;
use crate::budget::{Budget, Held};
use crate::net::{ASKED_AGAIN, HINT, Lifetime, ServerClock, Storage, backoff, difference, named_digest};
use crate::telemetry::Counter;

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

/// The uploads whose headers were opened lately.
pub(crate) struct Uploads {
    opened: Mutex<Opened>,
    budget: Budget,
    openings: Semaphore,
}

#[derive(Default)]
struct Opened {
    // By upload and header digest: a server that names another header for the same upload gets another entry.
    by_name: HashMap<(UploadId, Digest), Entry>,
    clock: u64,
}

struct Entry {
    cell: Arc<OnceCell<Arc<Upload>>>,
    used: u64,
}

impl Uploads {
    pub(crate) fn new() -> Self {
        let (budget, openings) = (Budget::new(HEADERS_BYTES), Semaphore::new(OPENED_AT_ONCE));
        Self { opened: Mutex::default(), budget, openings }
    }

    /// The upload of a lease, once its header was fetched, opened with one of `identities` and found to last. What it allows is asked of each
    /// of its spans. Fetched once for all leases that ask meanwhile or soon after, and not before there is room for
    /// it. Cancel safe.
    pub(crate) async fn admit(
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
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.clock += 1;
        let used = opened.clock;
        let entry = opened.by_name.entry((id, digest)).or_insert_with(|| Entry { cell: Arc::default(), used });
        entry.used = used;
        Arc::clone(&entry.cell)
    }

    fn forget(&self, id: UploadId, digest: Digest) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.by_name.get(&(id, digest)).is_some_and(|entry| !entry.cell.initialized()) {
            opened.by_name.remove(&(id, digest));
        }
    }

    /// Forgets those used longest ago, down to the bounds. Whoever uses one still has it.
    fn trim(&self) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |entry: &Entry| entry.cell.get().map_or(0, |upload| upload.bytes);
        let mut total: usize = opened.by_name.values().map(bytes).sum();
        while opened.by_name.len() > KEPT || (total > KEPT_BYTES && opened.by_name.len() > 1) {
            let Some(oldest) = opened.by_name.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| *name) else {
                return;
            };
            total -= opened.by_name.remove(&oldest).as_ref().map_or(0, bytes);
        }
    }

    /// Forgets the one used longest ago of those that nobody works on; says whether there was one.
    fn forget_idle(&self) -> bool {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |entry: &Entry| entry.cell.get().is_some_and(|upload| Arc::strong_count(upload) == 1);
        let oldest = opened.by_name.iter().filter(|(_, entry)| idle(entry)).min_by_key(|(_, entry)| entry.used);
        let Some(name) = oldest.map(|(name, _)| *name) else {
            return false;
        };
        let gone = opened.by_name.remove(&name);
        drop(opened);
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
