//! Results on their way in: fetched, opened, checked against the journal, and written down with their cursor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use filemill_api::{Event, EventKind, EventPage, SealedResult};
use filemill_seal::{
    Artifact, Digest, Expected, Identity, Outcome, RESULT_MAX_SEALED_BYTES, UploadId, Verdict, open_result,
};
use futures::StreamExt;

use crate::api::{Api, Got, Patience, Storage};
use crate::error::Error;
use crate::journal::{Arrived, FilePlace, Journal, Missing, UploadKeys};
use crate::notice::Ending;

/// Large results that are fetched at the same time.
const FETCHES_AT_ONCE: usize = 4;
/// Uploads whose keys are kept at hand.
const KEYS_KEPT: usize = 64;
/// Results that are opened and taken in together, at most so many bytes of them: each is held sealed and open.
const BYTES_AT_ONCE: u64 = 16 << 20;
/// URLs that storage must refuse before an object counts as gone.
const REFUSALS_MAX: u32 = 2;
/// Events asked for at once.
pub(crate) const EVENTS_PER_PAGE: u32 = 256;

/// Takes events in.
pub(crate) struct Inbox {
    pub(crate) api: Arc<Api>,
    pub(crate) storage: Storage,
    pub(crate) journal: Arc<Journal>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) account: String,
    pub(crate) keys: Mutex<HashMap<UploadId, Arc<UploadKeys>>>,
    /// How often storage refused the object of the event at the cursor.
    pub(crate) refusals: Mutex<(i64, u32)>,
}

/// A result that was taken in.
pub(crate) struct Arrival {
    pub(crate) upload: UploadId,
    pub(crate) index: u32,
    /// The age file, if it is to be believed.
    pub(crate) sealed: Option<Vec<u8>>,
    /// What lies in it beside the report.
    pub(crate) artifacts: Arc<[Artifact]>,
    pub(crate) ending: Ending,
    /// The files that it is the result of: the one that was sent, and others with the same content.
    pub(crate) places: Vec<FilePlace>,
}

/// A result that the journal kept.
#[derive(Clone)]
pub(crate) struct Reopened {
    /// The age file, if it is to be believed.
    pub(crate) sealed: Option<Vec<u8>>,
    /// What lies in it beside the report.
    pub(crate) artifacts: Arc<[Artifact]>,
    pub(crate) ending: Ending,
}

/// What a page of events brought.
#[derive(Default)]
pub(crate) struct TakenIn {
    pub(crate) arrivals: Vec<Arrival>,
    /// Uploads of which chunks must be sent again.
    pub(crate) missing: Vec<UploadId>,
}

/// What is known of the job that an event is about.
struct Job {
    cursor: i64,
    upload: UploadId,
    index: u32,
    keys: Arc<UploadKeys>,
    length: u64,
    sha256: Option<Digest>,
    outcome: Outcome,
    sealed: Sealed,
    places: Vec<FilePlace>,
}

enum Sealed {
    None,
    Bytes(Vec<u8>),
    /// Storage handed out something else.
    Wrong(String),
}

impl Inbox {
    /// Asks for all events that there are now, and takes them in.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        let mut after = self.journal.cursor(&self.account).await?;
        let mut failures = (after, 0);
        loop {
            let page = self.api.events(after, EVENTS_PER_PAGE, Patience::Brief).await?;
            if page.events.is_empty() {
                return Ok(());
            }
            for group in groups(page) {
                let next = group.next;
                match self.take_in(group).await {
                    Ok(_) => after = next,
                    // Another page has other URLs.
                    Err(Error::Storage { .. }) if failures != (after, REFUSALS_MAX) => {
                        failures = (after, if failures.0 == after { failures.1 + 1 } else { 1 });
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Takes a page in, or one of its [`groups`]: when this returns, the journal has results and cursor.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if a large result could not be fetched: ask for the page again. A result that storage refuses to
    /// hand out again and again is taken in as one that is not shown. Errors of the journal.
    pub(crate) async fn take_in(&self, page: EventPage) -> Result<TakenIn, Error> {
        let cursor = page.events.last().map_or(page.next, |event| event.cursor.max(page.next));
        let mut missing = Vec::new();
        let mut results = Vec::new();
        for event in page.events {
            let Ok(upload) = event.upload.parse::<UploadId>() else {
                continue;
            };
            // Other devices and other users of the organisation have uploads, too.
            let Some(keys) = self.keys_of(upload).await? else {
                continue;
            };
            match event.kind {
                EventKind::ChunksMissing { sequences } => missing.push(Missing { upload, sequences }),
                EventKind::Result { .. } => results.push((upload, keys, event)),
                _ => {}
            }
        }
        let jobs = self.jobs(results).await?;
        let arrivals = judge_all(Arc::clone(&self.identity), jobs).await?;
        let rows = arrivals.iter().map(|(cursor, arrival)| row(*cursor, arrival)).collect();
        let missing_uploads = missing.iter().map(|missing| missing.upload).collect();
        self.journal.take_in(self.account.clone(), cursor, rows, missing).await?;
        let arrivals = arrivals.into_iter().map(|(_, mut arrival)| {
            if matches!(arrival.ending, Ending::NotShown { .. }) {
                arrival.sealed = None;
            }
            arrival
        });
        Ok(TakenIn { arrivals: arrivals.collect(), missing: missing_uploads })
    }

    /// The places in parts whose results may be held in memory, sealed and open.
    pub(crate) async fn portions(&self, asked: &[(UploadId, u32)]) -> Result<Vec<Vec<(UploadId, u32)>>, Error> {
        let sizes: HashMap<_, _> = self.journal.result_sizes(asked).await?.into_iter().collect();
        let mut portions: Vec<Vec<(UploadId, u32)>> = Vec::new();
        let mut bytes = 0;
        for place in asked {
            let size = sizes.get(place).copied().unwrap_or(0);
            match portions.last_mut().filter(|_| bytes + size <= BYTES_AT_ONCE) {
                Some(portion) => portion.push(*place),
                None => {
                    portions.push(vec![*place]);
                    bytes = 0;
                }
            }
            bytes += size;
        }
        Ok(portions)
    }

    /// Opens and checks results that the journal kept, for as many of the places as it has some. Holds all of them in memory:
    /// ask for one of the [`portions`](Self::portions).
    pub(crate) async fn reopen(&self, asked: &[(UploadId, u32)]) -> Result<HashMap<(UploadId, u32), Reopened>, Error> {
        let mut opened = HashMap::new();
        let mut places: HashMap<(UploadId, u32), Vec<FilePlace>> = HashMap::new();
        for place in self.journal.places(asked).await? {
            if !place.reused {
                places.entry((place.upload, place.index)).or_default().push(place);
            }
        }
        let mut jobs = Vec::new();
        for kept in self.journal.results(asked).await? {
            let place = (kept.upload, kept.index);
            if let Some(reason) = kept.refusal {
                opened.insert(
                    place,
                    Reopened { sealed: None, artifacts: Arc::default(), ending: Ending::NotShown { reason } },
                );
                continue;
            }
            let Some(keys) = self.keys_of(kept.upload).await? else { continue };
            let outcome = Outcome::from_code(&kept.outcome).unwrap_or(Outcome::HostFailed);
            let sealed = kept.sealed.map_or(Sealed::None, Sealed::Bytes);
            let places = places.remove(&place).unwrap_or_default();
            jobs.extend(job(0, kept.upload, kept.index, keys, outcome, sealed, places));
        }
        for (_, arrival) in judge_all(Arc::clone(&self.identity), jobs).await? {
            let Arrival { upload, index, sealed, artifacts, ending, .. } = arrival;
            opened.insert((upload, index), Reopened { sealed, artifacts, ending });
        }
        Ok(opened)
    }

    /// Storage refuses an object. Its URL may have been at fault: the first time that is an error.
    fn refused(&self, cursor: i64, url: &str, detail: String) -> Result<Sealed, Error> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, times) = *refusals;
        let times = if last == cursor { times + 1 } else { 1 };
        *refusals = (cursor, times);
        if times < REFUSALS_MAX {
            let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
            return Err(Error::Storage { origin, detail });
        }
        Ok(Sealed::Wrong(format!("storage does not hand the result out: {detail}")))
    }

    pub(crate) async fn keys_of(&self, upload: UploadId) -> Result<Option<Arc<UploadKeys>>, Error> {
        let kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&upload).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let Some(keys) = self.journal.upload_keys(upload).await?.map(Arc::new) else {
            return Ok(None);
        };
        let mut kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEYS_KEPT {
            kept.clear();
        }
        kept.insert(upload, Arc::clone(&keys));
        Ok(Some(keys))
    }

    /// Finds out what is known of each job, and fetches the results that did not come with their event.
    async fn jobs(&self, results: Vec<(UploadId, Arc<UploadKeys>, Event)>) -> Result<Vec<Job>, Error> {
        let asked: Vec<(UploadId, u32)> = results
            .iter()
            .filter_map(|(upload, _, event)| match event.kind {
                EventKind::Result { index, .. } => Some((*upload, index)),
                _ => None,
            })
            .collect();
        let mut places: HashMap<(UploadId, u32), Vec<FilePlace>> = HashMap::new();
        for place in self.journal.places(&asked).await? {
            places.entry((place.upload, place.index)).or_default().push(place);
        }
        let fetched = futures::stream::iter(results).map(|(upload, keys, event)| async move {
            let EventKind::Result { index, outcome, sealed } = event.kind else {
                return Ok(None);
            };
            let sealed = match sealed {
                None => Sealed::None,
                Some(SealedResult::Inline(bytes)) => Sealed::Bytes(bytes.0),
                Some(SealedResult::Object(get)) => match self.storage.get(&get, RESULT_MAX_SEALED_BYTES as u64).await {
                    Ok(Got::Object(bytes)) => Sealed::Bytes(bytes),
                    Ok(Got::Refused(detail)) => self.refused(event.cursor, &get.url, detail)?,
                    Err(error @ (Error::ForeignOrigin { .. } | Error::WrongObject { .. })) => {
                        Sealed::Wrong(error.to_string())
                    }
                    Err(error) => return Err(error),
                },
            };
            Ok(Some((event.cursor, upload, index, keys, known_outcome(outcome), sealed)))
        });
        let mut fetched = fetched.buffered(FETCHES_AT_ONCE);
        let mut jobs = Vec::new();
        while let Some(result) = fetched.next().await {
            let Some((cursor, upload, index, keys, outcome, sealed)) = result? else {
                continue;
            };
            let places = places.remove(&(upload, index)).unwrap_or_default();
            // A file that the upload does not have, or the same one twice in a page, is nothing to anybody.
            jobs.extend(job(cursor, upload, index, keys, outcome, sealed, places));
        }
        Ok(jobs)
    }
}

/// Parts of a page, in order, each of which can be held in memory.
pub(crate) fn groups(page: EventPage) -> impl Iterator<Item = EventPage> {
    let EventPage { events, next } = page;
    let mut events = events.into_iter().peekable();
    std::iter::from_fn(move || {
        events.peek()?;
        let (mut group, mut bytes) = (Vec::new(), 0_u64);
        while let Some(event) = events.next_if(|event| group.is_empty() || bytes + announced(event) <= BYTES_AT_ONCE) {
            bytes += announced(&event);
            group.push(event);
        }
        let last = group.last().map_or(next, |event: &Event| event.cursor);
        let next = if events.peek().is_none() { next.max(last) } else { last };
        Some(EventPage { events: group, next })
    })
}

/// How many bytes the result has that an event brings.
fn announced(event: &Event) -> u64 {
    match &event.kind {
        EventKind::Result { sealed: Some(SealedResult::Inline(bytes)), .. } => bytes.0.len() as u64,
        EventKind::Result { sealed: Some(SealedResult::Object(get)), .. } => {
            // A longer one is not fetched.
            if get.length > RESULT_MAX_SEALED_BYTES as u64 { 0 } else { get.length }
        }
        _ => 0,
    }
}

fn job(
    cursor: i64,
    upload: UploadId,
    index: u32,
    keys: Arc<UploadKeys>,
    outcome: Outcome,
    sealed: Sealed,
    places: Vec<FilePlace>,
) -> Option<Job> {
    let sent = places.iter().find(|place| !place.reused)?;
    let sha256 = match sent.verdict {
        Some(Verdict::Intact(sha256)) => Some(sha256),
        _ => None,
    };
    let length = sent.size;
    Some(Job { cursor, upload, index, keys, length, sha256, outcome, sealed, places })
}

/// Opens and checks results on threads that may block, some at a time.
async fn judge_all(identity: Arc<Identity>, jobs: Vec<Job>) -> Result<Vec<(i64, Arrival)>, Error> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let part = jobs.len().div_ceil(threads).max(1);
    let mut parts = Vec::new();
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let jobs: Vec<Job> = jobs.by_ref().take(part).collect();
        let identity = Arc::clone(&identity);
        parts.push(tokio::task::spawn_blocking(move || {
            jobs.into_iter().map(|job| judge(&identity, job)).collect::<Vec<_>>()
        }));
    }
    let mut arrivals = Vec::new();
    for part in parts {
        arrivals.extend(part.await.map_err(|_| Error::Stopped)?);
    }
    Ok(arrivals)
}

fn judge(identity: &Identity, job: Job) -> (i64, Arrival) {
    let (ending, artifacts) = ending_of(identity, &job);
    let sealed = match job.sealed {
        Sealed::Bytes(bytes) => Some(bytes),
        Sealed::None | Sealed::Wrong(_) => None,
    };
    let artifacts = artifacts.into();
    (job.cursor, Arrival { upload: job.upload, index: job.index, sealed, artifacts, ending, places: job.places })
}

fn ending_of(identity: &Identity, job: &Job) -> (Ending, Vec<Artifact>) {
    let without = |ending: Ending| (ending, Vec::new());
    let sealed = match &job.sealed {
        Sealed::Wrong(reason) => return without(Ending::NotShown { reason: reason.clone() }),
        Sealed::None if job.outcome.analysed() => {
            let reason = format!("the server says `{}` and has no result", job.outcome.code());
            return without(Ending::NotShown { reason });
        }
        Sealed::None => {
            let message = format!("{} (said by the server)", job.outcome);
            return without(Ending::EndedByServer { outcome: job.outcome, message });
        }
        Sealed::Bytes(sealed) => sealed,
    };
    let expected = Expected {
        upload: job.upload,
        index: job.index,
        header: job.keys.header_digest,
        releases: std::slice::from_ref(&job.keys.release),
        length: job.length,
        sha256: job.sha256,
    };
    let verified =
        open_result(sealed, std::slice::from_ref(identity)).and_then(|result| result.verify(&job.keys.key, &expected));
    match verified {
        Ok(body) => Ending::of(body),
        Err(error) => without(Ending::NotShown { reason: error.to_string() }),
    }
}

fn row(cursor: i64, arrival: &Arrival) -> Arrived {
    let (outcome, refusal) = match &arrival.ending {
        Ending::NotShown { reason } => (Outcome::Refused, Some(reason.clone())),
        ending => (ending.outcome().unwrap_or(Outcome::HostFailed), None),
    };
    Arrived {
        upload: arrival.upload,
        index: arrival.index,
        cursor,
        outcome: outcome.code(),
        refusal,
        // One that is not to be believed is kept, too: it is evidence.
        sealed: arrival.sealed.clone(),
    }
}

/// The server's word for an outcome. One that this program does not know is a failure of whoever said it.
fn known_outcome(outcome: filemill_api::Outcome) -> Outcome {
    use filemill_api::Outcome as Said;

    match outcome {
        Said::Succeeded => Outcome::Succeeded,
        Said::Rejected => Outcome::Rejected,
        Said::Failed => Outcome::Failed,
        Said::Trapped => Outcome::Trapped,
        Said::TimedOut => Outcome::TimedOut,
        Said::OverMemory => Outcome::OverMemory,
        Said::OverOutput => Outcome::OverOutput,
        Said::OverLog => Outcome::OverLog,
        Said::OverHostCalls => Outcome::OverHostCalls,
        Said::Void => Outcome::Void,
        Said::Refused => Outcome::Refused,
        Said::Cancelled => Outcome::Cancelled,
        Said::Quarantined => Outcome::Quarantined,
        _ => Outcome::HostFailed,
    }
}
