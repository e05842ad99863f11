//! Results on their way in: fetched, opened, checked against the journal, and written down with their cursor.

mod again;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use filemill_api::v1::{Event, EventKind, EventPage};
use filemill_api::{SealedResult, SignedGet};
use filemill_seal::{
    Artifact, Digest, Expected, Format, Identity, Outcome, RESULT_MAX_SEALED_BYTES, UploadId, Verdict, open_result,
};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::api::{Api, Got, Patience, Position, Storage};
use crate::ending::Ending;
use crate::error::Error;
use crate::journal::{Arrived, FilePlace, Journal, KeptResult, Missing, Unfetched, UploadKeys};

/// Large results that are fetched at the same time.
const FETCHES_AT_ONCE: usize = 4;
/// Uploads whose keys are kept at hand.
const KEYS_KEPT: usize = 64;
/// Results that are opened and taken in together, at most so many bytes of them: each is held sealed and open.
const BYTES_AT_ONCE: u64 = 16 << 20;
/// Attempts at a large result when its event comes: others wait behind it, and it is asked for again.
const FIRST_ATTEMPTS: u32 = 3;
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
    /// Rung when a result could not be fetched with its event.
    pub(crate) unfetched: Notify,
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
    /// Results of uploads that the journal does not know.
    pub(crate) unknown: u64,
    /// The events are of another life of the server's database: they are read from the beginning.
    pub(crate) reset: bool,
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
    /// It may have been damaged on its way, and can be had again.
    doubtful: bool,
}

enum Sealed {
    None,
    Bytes(Vec<u8>),
    /// It cannot be one.
    Wrong(String),
    /// It cannot be had now, for this reason.
    Unfetched(String),
}

impl Inbox {
    /// Asks for all events that there are now, and takes them in. Returns how many results among them are of uploads that the
    /// journal does not know. What could not be fetched is [still to be fetched](Self::fetch_again).
    pub(crate) async fn catch_up(&self) -> Result<u64, Error> {
        if let Some(unknown) = self.read_on().await? {
            return Ok(unknown);
        }
        self.journal.start_over(self.account.clone()).await?;
        Ok(self.read_on().await?.unwrap_or(0))
    }

    /// The same; `None` where the server says that its events are to be read from the beginning, which is left to the caller.
    pub(crate) async fn read_on(&self) -> Result<Option<u64>, Error> {
        let mut position = self.journal.position(&self.account).await?;
        let mut unknown = 0;
        loop {
            let page = self.api.events(&position, EVENTS_PER_PAGE, Patience::Brief).await?;
            if page.reset {
                return Ok(None);
            }
            let Some(next) = page.events.last().map(Position::of) else {
                return Ok(Some(unknown));
            };
            if next.cursor <= position.cursor {
                let detail = "its events do not go on".to_owned();
                return Err(Error::Protocol { server: self.api.server().to_owned(), detail });
            }
            for group in groups(page) {
                unknown += self.take_in(group).await?.unknown;
            }
            position = next;
        }
    }

    /// Takes a page in, or one of its [`groups`]: when this returns, the journal has results and cursor. What cannot be fetched or checked
    /// now is written down as still to be fetched.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub(crate) async fn take_in(&self, page: EventPage) -> Result<TakenIn, Error> {
        if page.reset {
            self.journal.start_over(self.account.clone()).await?;
            return Ok(TakenIn { reset: true, ..TakenIn::default() });
        }
        // Not what the page calls `next`: only an event has a mark that shows whether a server has it.
        let Some(position) = page.events.last().map(Position::of) else {
            return Ok(TakenIn::default());
        };
        let mut missing = Vec::new();
        let mut results = Vec::new();
        let mut unknown = 0;
        for event in page.events {
            let Ok(upload) = event.upload.parse::<UploadId>() else {
                continue;
            };
            // Other devices and other users of the organisation have uploads, too.
            let Some(keys) = self.keys_of(upload).await? else {
                unknown += u64::from(matches!(event.kind, EventKind::Result { .. }));
                continue;
            };
            match event.kind {
                EventKind::ChunksMissing { sequences } => missing.push(Missing { upload, sequences }),
                EventKind::Result { .. } => results.push((upload, keys, event)),
                _ => {}
            }
        }
        let (jobs, mut unfetched) = self.jobs(results).await?;
        let (arrivals, doubtful) = judge_all(Arc::clone(&self.identity), jobs).await?;
        unfetched.extend(doubtful);
        let rows = arrivals.iter().map(|(cursor, arrival)| row(*cursor, arrival)).collect();
        let missing_uploads = missing.iter().map(|missing| missing.upload).collect();
        let is_any_unfetched = !unfetched.is_empty();
        self.journal.take_in(self.account.clone(), position, rows, missing, unfetched).await?;
        if is_any_unfetched {
            self.unfetched.notify_one();
        }
        let arrivals = arrivals.into_iter().map(|(_, arrival)| shown(arrival)).collect();
        Ok(TakenIn { arrivals, missing: missing_uploads, unknown, reset: false })
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
        let (arrivals, _) = judge_all(Arc::clone(&self.identity), jobs).await?;
        for (_, arrival) in arrivals {
            let Arrival { upload, index, sealed, artifacts, ending, .. } = arrival;
            opened.insert((upload, index), Reopened { sealed, artifacts, ending });
        }
        Ok(opened)
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

    /// Finds out what is known of each job, and fetches the results that did not come with their event. What cannot be fetched now comes
    /// apart.
    async fn jobs(
        &self,
        results: Vec<(UploadId, Arc<UploadKeys>, Event)>,
    ) -> Result<(Vec<Job>, Vec<Unfetched>), Error> {
        let place = |upload: UploadId, event: &Event| match &event.kind {
            EventKind::Result { index, sealed, .. } => {
                Some(((upload, *index), matches!(sealed, Some(SealedResult::Object(_)))))
            }
            _ => None,
        };
        let asked: Vec<_> = results.iter().filter_map(|(upload, _, event)| place(*upload, event)).collect();
        let large: Vec<_> = asked.iter().filter(|(_, is_large)| *is_large).map(|(place, _)| *place).collect();
        let mut asked: Vec<_> = asked.into_iter().map(|(place, _)| place).collect();
        // Whatever the server tells twice has each of its files once.
        asked.sort_unstable();
        asked.dedup();
        let mut places: HashMap<(UploadId, u32), Vec<FilePlace>> = HashMap::new();
        for place in self.journal.places(&asked).await? {
            places.entry((place.upload, place.index)).or_default().push(place);
        }
        // What the journal has need not be fetched: events are read again after a reset, and by several programs.
        let kept = self.journal.with_result(&large).await?;
        let kept: HashMap<_, _> = self.kept_results(&kept).await?;
        let kept = &kept;
        let fetched = futures::stream::iter(results).map(|(upload, keys, event)| async move {
            let EventKind::Result { index, outcome, sealed } = event.kind else {
                return None;
            };
            let sealed = match (kept.get(&(upload, index)), sealed) {
                (Some(kept), _) => match &kept.refusal {
                    Some(reason) => Sealed::Wrong(reason.clone()),
                    None => kept.sealed.clone().map_or(Sealed::None, Sealed::Bytes),
                },
                (None, None) => Sealed::None,
                (None, Some(SealedResult::Inline(bytes))) => Sealed::Bytes(bytes.0),
                (None, Some(SealedResult::Object(get))) => self.object(&get, FIRST_ATTEMPTS).await,
            };
            // Only such a server gives it again together with its SHA-256.
            let doubtful = event.mark.is_some() && !kept.contains_key(&(upload, index));
            Some((event.cursor, upload, index, keys, outcome, sealed, doubtful))
        });
        let mut fetched = fetched.buffered(FETCHES_AT_ONCE);
        let (mut jobs, mut unfetched) = (Vec::new(), Vec::new());
        while let Some(result) = fetched.next().await {
            let Some((cursor, upload, index, keys, outcome, sealed, doubtful)) = result else {
                continue;
            };
            let places = places.remove(&(upload, index)).unwrap_or_default();
            let outcome = known_outcome(outcome);
            if let Sealed::Unfetched(reason) = sealed {
                // Nobody waits for the result of a file that the upload does not have.
                if !places.is_empty() {
                    let outcome = outcome.code().to_owned();
                    unfetched.push(Unfetched { upload, index, cursor, outcome, reason });
                }
                continue;
            }
            // A file that the upload does not have, or the same one twice in a page, is nothing to anybody.
            let job = job(cursor, upload, index, keys, outcome, sealed, places);
            jobs.extend(job.map(|job| Job { doubtful: doubtful && matches!(job.sealed, Sealed::Bytes(_)), ..job }));
        }
        Ok((jobs, unfetched))
    }

    async fn kept_results(&self, places: &[(UploadId, u32)]) -> Result<HashMap<(UploadId, u32), KeptResult>, Error> {
        let kept = self.journal.results(places).await?;
        Ok(kept.into_iter().map(|kept| ((kept.upload, kept.index), kept)).collect())
    }

    /// A large result from storage, or why it cannot be had.
    async fn object(&self, get: &SignedGet, attempts: u32) -> Sealed {
        if get.length > RESULT_MAX_SEALED_BYTES as u64 {
            return Sealed::Wrong(format!("the server says that it has {} bytes, which no result has", get.length));
        }
        match self.storage.get(get, RESULT_MAX_SEALED_BYTES, attempts).await {
            Ok(Got::Object(bytes)) => Sealed::Bytes(bytes),
            Ok(Got::Refused(detail)) => Sealed::Unfetched(format!("storage does not hand the result out: {detail}")),
            Err(error) => Sealed::Unfetched(error.to_string()),
        }
    }
}

/// Parts of a page, in order, each of which can be held in memory.
pub(crate) fn groups(page: EventPage) -> impl Iterator<Item = EventPage> {
    let EventPage { events, next, reset } = page;
    let mut events = events.into_iter().peekable();
    let mut reset = reset.then_some(EventPage { events: Vec::new(), next, reset });
    std::iter::from_fn(move || {
        if let Some(reset) = reset.take() {
            return Some(reset);
        }
        events.peek()?;
        let (mut group, mut bytes) = (Vec::new(), 0_u64);
        while let Some(event) = events.next_if(|event| group.is_empty() || bytes + announced(event) <= BYTES_AT_ONCE) {
            bytes += announced(&event);
            group.push(event);
        }
        let next = group.last().map_or(next, |event: &Event| event.cursor);
        Some(EventPage { events: group, next, reset: false })
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
    Some(Job { cursor, upload, index, keys, length, sha256, outcome, sealed, places, doubtful: false })
}

/// Opens and checks results on threads that may block, some at a time. Those that do not stand up to it and may have been damaged on their
/// way come apart.
async fn judge_all(identity: Arc<Identity>, jobs: Vec<Job>) -> Result<(Vec<(i64, Arrival)>, Vec<Unfetched>), Error> {
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
    let (mut arrivals, mut doubtful) = (Vec::new(), Vec::new());
    for part in parts {
        for judged in part.await.map_err(|_| Error::Stopped)? {
            match judged {
                Ok(arrival) => arrivals.push(arrival),
                Err(unfetched) => doubtful.push(unfetched),
            }
        }
    }
    Ok((arrivals, doubtful))
}

fn judge(identity: &Identity, job: Job) -> Result<(i64, Arrival), Unfetched> {
    let (ending, artifacts) = ending_of(identity, &job);
    if let Ending::NotShown { reason } = &ending
        && job.doubtful
    {
        let (outcome, reason) = (job.outcome.code().to_owned(), format!("{reason}, unless it was damaged on its way"));
        return Err(Unfetched { upload: job.upload, index: job.index, cursor: job.cursor, outcome, reason });
    }
    let sealed = match job.sealed {
        Sealed::Bytes(bytes) => Some(bytes),
        Sealed::None | Sealed::Wrong(_) | Sealed::Unfetched(_) => None,
    };
    let artifacts = artifacts.into();
    Ok((job.cursor, Arrival { upload: job.upload, index: job.index, sealed, artifacts, ending, places: job.places }))
}

/// An arrival as it is handed on: what is not to be believed stays in the journal.
fn shown(mut arrival: Arrival) -> Arrival {
    if matches!(arrival.ending, Ending::NotShown { .. }) {
        arrival.sealed = None;
    }
    arrival
}

fn ending_of(identity: &Identity, job: &Job) -> (Ending, Vec<Artifact>) {
    let without = |ending: Ending| (ending, Vec::new());
    let sealed = match &job.sealed {
        Sealed::Wrong(reason) | Sealed::Unfetched(reason) => {
            return without(Ending::NotShown { reason: reason.clone() });
        }
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
        format: Format::One,
        upload: job.upload,
        task: 0,
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

macro_rules! map_outcomes {
    ($($name:ident = $code:literal, $class:ident;)+) => {
        /// The server's word for an outcome. One that this program does not know is a failure of whoever said it.
        fn known_outcome(outcome: filemill_api::Outcome) -> Outcome {
            match outcome {
                $(filemill_api::Outcome::$name => Outcome::$name,)+
                filemill_api::Outcome::Unknown => Outcome::HostFailed,
            }
        }
    };
}

filemill_api::outcomes!(map_outcomes);

#[cfg(test)]
mod tests {
    use filemill_api::OutcomeClass;

    use super::*;

    #[test]
    fn the_server_and_a_sealed_result_say_the_same_of_an_outcome() {
        let known = filemill_api::Outcome::ALL.map(|said| (said, known_outcome(said)));
        assert_eq!(known.map(|(_, outcome)| outcome), Outcome::ALL);
        for (said, outcome) in known {
            assert_eq!(outcome.code(), said.code());
            assert_eq!(outcome.analysed(), said.class() == OutcomeClass::Analysed, "{outcome}");
            assert_eq!(outcome.is_sealed(), said.by_processor(), "{outcome}");
        }
        assert_eq!(known_outcome(filemill_api::Outcome::Unknown), Outcome::HostFailed);
    }
}
