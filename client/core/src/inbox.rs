//! Results on their way in: fetched, opened, checked against the journal, and written down with their cursor.

mod again;
mod groups;
mod judge;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use filemill_api::{EventKind, EventPage, JobOutcome, SealedResult, SignedGet};
use filemill_seal::{
    Artifact, BATCH_MAX_SEALED_BYTES, Format, Header, Identity, Outcome, RESULT_MAX_SEALED_BYTES, SealedHeader,
    UploadId,
};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::api::{Api, Got, Patience, Position, Storage};
use crate::ending::Ending;
use crate::error::Error;
use crate::journal::{FilePlace, Journal, KeptBytes, KeptResult, Missing, SealedBatch, Single, Unfetched, UploadKeys};
use again::is_any_unknown;
pub(crate) use again::of_first_events;
pub(crate) use groups::groups;
use judge::{Case, Job, Judged, Sealed, judge_all, known_outcome, misnamed, row, shown, too_many};

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
    /// Whether each result that came in a batch is sealed by itself, too.
    pub(crate) singles: AtomicBool,
}

/// A result that was taken in.
pub(crate) struct Arrival {
    pub(crate) upload: UploadId,
    /// The job's number.
    pub(crate) job: u32,
    /// Its task.
    pub(crate) task: u32,
    /// Its file.
    pub(crate) index: u32,
    /// The age file of this result alone, if it is to be believed and [singles are kept](Inbox::keep_singles) or it came alone.
    pub(crate) sealed: Option<Vec<u8>>,
    /// Else the batch that it came in, for the journal.
    pub(crate) batch: Option<SealedBatch>,
    /// What lies in it beside the report.
    pub(crate) artifacts: Arc<[Artifact]>,
    pub(crate) ending: Ending,
    /// The files that it is the result of: the one that was sent, and others with the same content.
    pub(crate) places: Vec<FilePlace>,
}

/// A result that the journal kept.
#[derive(Clone)]
pub(crate) struct Reopened {
    /// The age file of this result alone, if it is to be believed and [singles are kept](Inbox::keep_singles) or it came alone.
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

/// What the server says of jobs of one upload.
struct Came {
    cursor: i64,
    upload: UploadId,
    keys: Arc<UploadKeys>,
    jobs: Vec<JobOutcome>,
    /// The server gives it again, together with its SHA-256.
    can_be_had_again: bool,
}

/// What was sealed of it.
enum Had {
    Nothing,
    Bytes(Vec<u8>),
    /// All of it came before, and is in the journal.
    Kept,
    /// What the server says that there is cannot be it.
    Wrong(String),
    /// It cannot be had now, for this reason.
    NotNow(String),
}

/// What is read of the journal at once.
#[derive(Default)]
struct Held {
    bytes: u64,
    /// Each is held once, whole, for however many of its results.
    batches: HashSet<i64>,
}

impl Held {
    /// How many bytes these are beside what is held.
    fn more(&self, results: &[KeptBytes]) -> u64 {
        let mut batches = HashSet::new();
        let is_more =
            |kept: &&KeptBytes| kept.batch.is_none_or(|batch| !self.batches.contains(&batch) && batches.insert(batch));
        results.iter().filter(is_more).map(|kept| kept.bytes).sum()
    }

    fn has_room_for(&self, results: &[KeptBytes]) -> bool {
        self.bytes + self.more(results) <= BYTES_AT_ONCE
    }

    fn hold(&mut self, results: &[KeptBytes]) {
        self.bytes += self.more(results);
        self.batches.extend(results.iter().filter_map(|kept| kept.batch));
    }
}

/// Files by upload and index.
type Places = HashMap<(UploadId, u32), Vec<FilePlace>>;

impl Inbox {
    /// Seals each result by itself for its owner that came in a batch, for whoever keeps results as files. It is done once for each: the file
    /// is the same whenever it is kept.
    pub(crate) fn keep_singles(&self) {
        self.singles.store(true, Ordering::Relaxed);
    }

    fn singles(&self) -> bool {
        self.singles.load(Ordering::Relaxed)
    }

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
                if let EventKind::Results { jobs, .. } = &event.kind {
                    unknown += jobs.len() as u64;
                }
                continue;
            };
            match event.kind {
                EventKind::ChunksMissing { sequences } => missing.push(Missing { upload, sequences }),
                EventKind::Results { jobs, sealed } => {
                    let (cursor, can_be_had_again) = (event.cursor, event.mark.is_some());
                    results.push((Came { cursor, upload, keys, jobs, can_be_had_again }, sealed));
                }
                _ => {}
            }
        }
        let (cases, mut unfetched) = self.cases(results).await?;
        let Judged { arrivals, mut doubtful } = judge_all(&self.identity, cases, self.singles()).await?;
        if self.api.is_older() {
            for one in &mut doubtful {
                if self.keys_of(one.upload).await?.is_some_and(|keys| keys.format == Format::Two) {
                    again::OLDER_SERVER.clone_into(&mut one.reason);
                }
            }
        }
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

    /// The jobs in parts whose results may be held in memory, sealed and open.
    pub(crate) async fn portions(&self, asked: &[(UploadId, u32)]) -> Result<Vec<Vec<(UploadId, u32)>>, Error> {
        let sizes: HashMap<_, _> = self.journal.result_sizes(asked).await?.into_iter().collect();
        let mut portions: Vec<Vec<(UploadId, u32)>> = Vec::new();
        let mut held = Held::default();
        for place in asked {
            let size = sizes.get(place).copied();
            match portions.last_mut().filter(|_| held.has_room_for(size.as_slice())) {
                Some(portion) => portion.push(*place),
                None => {
                    portions.push(vec![*place]);
                    held = Held::default();
                }
            }
            held.hold(size.as_slice());
        }
        Ok(portions)
    }

    /// Opens and checks results that the journal kept, for as many of the jobs as it has some. Holds all of them in memory:
    /// ask for one of the [`portions`](Self::portions).
    pub(crate) async fn reopen(&self, asked: &[(UploadId, u32)]) -> Result<HashMap<(UploadId, u32), Reopened>, Error> {
        let mut opened = HashMap::new();
        let mut kept = Vec::new();
        for result in self.journal.results(asked).await? {
            if let Some(reason) = result.refusal {
                let ending = Ending::NotShown { reason };
                let reopened = Reopened { sealed: None, artifacts: Arc::default(), ending };
                opened.insert((result.upload, result.job), reopened);
                continue;
            }
            let Some(keys) = self.keys_of(result.upload).await? else { continue };
            let at = keys.task_and_file(result.job);
            kept.extend(at.map(|at| (result, keys, at)));
        }
        let mut places = self.places(kept.iter().map(|(result, _, (_, index))| (result.upload, *index))).await?;
        let (mut cases, mut by_batch): (Vec<Case>, HashMap<usize, usize>) = Default::default();
        let mut members = HashSet::new();
        for (result, keys, at) in kept {
            let places = places_of(&mut places, &keys, (result.upload, at.1));
            let outcome = Outcome::from_code(&result.outcome).unwrap_or(Outcome::HostFailed);
            let Some(job) = Job::sent(result.job, at, outcome, places) else { continue };
            let Some(batch) = &result.batch else {
                cases.push(kept_case(0, keys, job, result));
                continue;
            };
            members.insert((result.upload, result.job));
            // All that is asked for of a batch is opened at once.
            let batch = batch.as_ptr().addr();
            match by_batch.get(&batch).and_then(|position| cases.get_mut(*position)) {
                Some(case) => case.jobs.push(job),
                None => {
                    by_batch.insert(batch, cases.len());
                    cases.push(kept_case(0, keys, job, result));
                }
            }
        }
        let mut singles = Vec::new();
        for (_, arrival) in judge_all(&self.identity, cases, self.singles()).await?.arrivals {
            let Arrival { upload, job, sealed, artifacts, ending, .. } = arrival;
            if let Some(sealed) = sealed.clone().filter(|_| members.contains(&(upload, job))) {
                singles.push(((upload, job), sealed));
            }
            opened.insert((upload, job), Reopened { sealed, artifacts, ending });
        }
        self.keep_opened(singles, &mut opened).await?;
        Ok(opened)
    }

    /// Keeps what was sealed by itself now, or takes what another program has kept meanwhile.
    async fn keep_opened(
        &self,
        singles: Vec<Single>,
        opened: &mut HashMap<(UploadId, u32), Reopened>,
    ) -> Result<(), Error> {
        if singles.is_empty() {
            return Ok(());
        }
        let kept = match self.journal.keep_singles(singles).await {
            // It is another file the next time.
            Err(Error::JournalFull { .. }) => return Ok(()),
            kept => kept?,
        };
        for (job, sealed) in kept {
            if let Some(reopened) = opened.get_mut(&job) {
                reopened.sealed = Some(sealed);
            }
        }
        Ok(())
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
    async fn cases(&self, results: Vec<(Came, Option<SealedResult>)>) -> Result<(Vec<Case>, Vec<Unfetched>), Error> {
        let mut places = self.places(results.iter().flat_map(|(came, _)| came.files())).await?;
        // What the journal has need not be fetched: events are read again after a reset, and by several programs.
        let large = results.iter().filter(|(_, sealed)| matches!(sealed, Some(SealedResult::Object(_))));
        let large: Vec<&Came> = large.map(|(came, _)| came).filter(|came| came.too_many().is_none()).collect();
        let mut kept = self.kept_results(&self.kept_at_once(&large).await?).await?;
        let fetched = {
            let kept = &kept;
            futures::stream::iter(results).map(move |(came, sealed)| async move {
                let had = match (sealed, came.too_many()) {
                    // A server of release 0.1.0 may tell so of many jobs: one that knows their outcomes is asked.
                    (None, _) if came.can_be_had_again && came.is_batch_of_unknown() => {
                        Had::NotNow("the server says an outcome that is not known here".to_owned())
                    }
                    (None, _) => Had::Nothing,
                    (Some(_), Some(reason)) => Had::Wrong(reason),
                    (Some(SealedResult::Inline(bytes)), None) => Had::Bytes(bytes.0),
                    (Some(SealedResult::Object(_)), None) if came.numbers().all(|job| kept.contains_key(&job)) => {
                        Had::Kept
                    }
                    (Some(SealedResult::Object(get)), None) => {
                        self.object(&get, came.keys.format, FIRST_ATTEMPTS).await
                    }
                };
                (came, had)
            })
        };
        let fetched: Vec<_> = fetched.buffered(FETCHES_AT_ONCE).collect().await;
        let (mut cases, mut unfetched) = (Vec::new(), Vec::new());
        for (came, had) in fetched {
            match had {
                Had::NotNow(reason) => unfetched.extend(came.left(&mut places, &reason)),
                Had::Kept => {
                    for (_, job) in came.known_jobs(&mut places) {
                        let Some(job) = job else { continue };
                        let result = kept.remove(&(came.upload, job.job));
                        cases.extend(result.map(|result| kept_case(came.cursor, Arc::clone(&came.keys), job, result)));
                    }
                }
                Had::Nothing => cases.extend(self.case(came, Ok(None), &mut places).await?),
                Had::Bytes(bytes) => cases.extend(self.case(came, Ok(Some(bytes)), &mut places).await?),
                Had::Wrong(reason) => cases.extend(self.case(came, Err(reason), &mut places).await?),
            }
        }
        Ok((cases, unfetched))
    }

    /// What is to be judged of what the server says, and of what was sealed, or why that cannot be it; `None` if it is all of files that the
    /// upload does not have, which is nothing to anybody.
    async fn case(
        &self,
        came: Came,
        sealed: Result<Option<Vec<u8>>, String>,
        places: &mut Places,
    ) -> Result<Option<Case>, Error> {
        let mut jobs = came.known_jobs(places);
        if jobs.iter().all(|(_, job)| job.is_none()) {
            return Ok(None);
        }
        let numbers: Vec<u32> = came.jobs.iter().map(|one| one.job).collect();
        let sealed = match sealed {
            Ok(None) => Sealed::None,
            Err(reason) => Sealed::Wrong(reason),
            Ok(Some(bytes)) => match (came.keys.format, misnamed(came.keys.format, &numbers)) {
                (Format::One, None) => Sealed::Single(bytes),
                (Format::One, Some(reason)) => Sealed::Wrong(reason),
                (Format::Two, Some(reason)) => Sealed::Batch(bytes, Some(reason)),
                (Format::Two, None) => {
                    if jobs.iter().any(|(_, job)| job.is_none()) {
                        self.fill(&came, &mut jobs).await?;
                    }
                    let gap = jobs.iter().find(|(_, job)| job.is_none());
                    let unknown = |(one, _): &(JobOutcome, _)| {
                        format!(
                            "the server says that the batch has job {} of the upload, which is not known here",
                            one.job
                        )
                    };
                    Sealed::Batch(bytes, gap.map(unknown))
                }
            },
        };
        let Came { cursor, upload, keys, can_be_had_again: doubtful, .. } = came;
        let jobs = jobs.into_iter().filter_map(|(_, job)| job).collect();
        Ok(Some(Case { upload, cursor, keys, jobs, sealed, doubtful }))
    }

    /// Finds in the header what the journal has lost of a batch's files: the others of that batch are not lost with them.
    async fn fill(&self, came: &Came, jobs: &mut [(JobOutcome, Option<Job>)]) -> Result<(), Error> {
        let Some(sealed) = self.journal.sealed_header(came.upload).await? else { return Ok(()) };
        let identity = Arc::clone(&self.identity);
        let opened = tokio::task::spawn_blocking(move || {
            let sealed = SealedHeader::from_bytes(sealed).ok()?;
            Header::open(&sealed, std::slice::from_ref(&*identity)).ok()
        });
        let Some(header) = opened.await.map_err(|_| Error::Stopped)? else { return Ok(()) };
        for (one, job) in jobs.iter_mut().filter(|(_, job)| job.is_none()) {
            let at = came.keys.task_and_file(one.job);
            *job = at.and_then(|at| Job::in_header(one.job, at, known_outcome(one.outcome), &header));
        }
        Ok(())
    }

    /// The files that were sent in these places, and those with the same content.
    async fn places(&self, asked: impl Iterator<Item = (UploadId, u32)>) -> Result<Places, Error> {
        // Whatever the server tells twice has each of its files once.
        let mut asked: Vec<_> = asked.collect();
        asked.sort_unstable();
        asked.dedup();
        let mut places = Places::new();
        for place in self.journal.places(&asked).await? {
            places.entry((place.upload, place.index)).or_default().push(place);
        }
        Ok(places)
    }

    /// The jobs of those of these that the journal has whole, as far as all of it may be held in memory: what an event announces says nothing
    /// of how long it is. What goes beyond that is fetched, which is no longer than was announced.
    async fn kept_at_once(&self, large: &[&Came]) -> Result<Vec<(UploadId, u32)>, Error> {
        let asked: Vec<_> = large.iter().flat_map(|came| came.numbers()).collect();
        let sizes: HashMap<_, _> = self.journal.result_sizes(&asked).await?.into_iter().collect();
        let (mut at_once, mut held) = (Vec::new(), Held::default());
        for came in large {
            let of_all: Option<Vec<_>> = came.numbers().map(|job| sizes.get(&job).copied()).collect();
            if let Some(of_all) = of_all.filter(|of_all| held.has_room_for(of_all)) {
                held.hold(&of_all);
                at_once.extend(came.numbers());
            }
        }
        Ok(at_once)
    }

    async fn kept_results(&self, jobs: &[(UploadId, u32)]) -> Result<HashMap<(UploadId, u32), KeptResult>, Error> {
        let kept = self.journal.results(jobs).await?;
        Ok(kept.into_iter().map(|kept| ((kept.upload, kept.job), kept)).collect())
    }

    /// A large result from storage, or a large batch of an upload of format 2.
    async fn object(&self, get: &SignedGet, format: Format, attempts: u32) -> Had {
        let most = most_sealed_bytes(format);
        if get.length > most as u64 {
            return Had::Wrong(format!("the server says that it has {} bytes, which no result has", get.length));
        }
        match self.storage.get(get, most, attempts).await {
            Ok(Got::Object(bytes)) => Had::Bytes(bytes),
            Ok(Got::Refused(detail)) => Had::NotNow(format!("storage does not hand the result out: {detail}")),
            Err(error) => Had::NotNow(error.to_string()),
        }
    }
}

impl Came {
    /// The jobs, with their upload.
    fn numbers(&self) -> impl Iterator<Item = (UploadId, u32)> {
        self.jobs.iter().map(move |one| (self.upload, one.job))
    }

    /// Why nothing that is sealed can be of that many jobs; `None` if it can.
    fn too_many(&self) -> Option<String> {
        too_many(self.keys.format, self.jobs.len())
    }

    /// Whether it is said of what may be many jobs, in a word that is not known here.
    fn is_batch_of_unknown(&self) -> bool {
        self.keys.format == Format::Two && is_any_unknown(&self.jobs)
    }

    /// Their files, with their upload; none of a task that it does not have.
    fn files(&self) -> impl Iterator<Item = (UploadId, u32)> {
        self.jobs.iter().filter_map(move |one| Some((self.upload, self.keys.task_and_file(one.job)?.1)))
    }

    /// What is known of each job, if anything is.
    fn known_jobs(&self, places: &mut Places) -> Vec<(JobOutcome, Option<Job>)> {
        let mut job = |one: &JobOutcome| {
            let at = self.keys.task_and_file(one.job)?;
            let places = places_of(places, &self.keys, (self.upload, at.1));
            Job::sent(one.job, at, known_outcome(one.outcome), places)
        };
        self.jobs.iter().map(|one| (*one, job(one))).collect()
    }

    /// What is still to be fetched of it, for this reason. Nobody waits for the result of a file that the upload does not have.
    fn left(&self, places: &mut Places, reason: &str) -> Vec<Unfetched> {
        let known = self.known_jobs(places).into_iter().filter_map(|(_, job)| job);
        let left = known.map(|job| Unfetched {
            upload: self.upload,
            job: job.job,
            cursor: self.cursor,
            outcome: job.outcome.code().to_owned(),
            reason: reason.to_owned(),
        });
        left.collect()
    }
}

/// Takes the places of a file, which the jobs of several tasks share.
fn places_of(places: &mut Places, keys: &UploadKeys, file: (UploadId, u32)) -> Vec<FilePlace> {
    let found = if keys.tasks.len() == 1 { places.remove(&file) } else { places.get(&file).cloned() };
    found.unwrap_or_default()
}

/// A result that is in the journal, to be judged again.
fn kept_case(cursor: i64, keys: Arc<UploadKeys>, job: Job, kept: KeptResult) -> Case {
    let sealed = match (kept.refusal, kept.sealed, kept.batch) {
        (Some(reason), ..) => Sealed::Wrong(reason),
        (None, Some(sealed), _) => Sealed::Single(sealed),
        (None, None, Some(batch)) => Sealed::Kept(batch),
        (None, None, None) => Sealed::None,
    };
    Case { upload: kept.upload, cursor, keys, jobs: vec![job], sealed, doubtful: false }
}

/// How long what the server has for jobs of an upload of this format can be.
fn most_sealed_bytes(format: Format) -> usize {
    match format {
        Format::One => RESULT_MAX_SEALED_BYTES,
        Format::Two => BATCH_MAX_SEALED_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_held_once_and_whole_for_however_few_of_its_results() {
        let of = |batch, bytes| [KeptBytes { bytes, batch }];
        let mut held = Held::default();
        held.hold(&of(Some(1), BYTES_AT_ONCE - 9));
        held.hold(&of(Some(1), BYTES_AT_ONCE - 9));
        assert!(held.has_room_for(&of(Some(1), BYTES_AT_ONCE - 9)));
        assert!(held.has_room_for(&[of(Some(2), 9), of(Some(2), 9)].concat()));
        assert!(!held.has_room_for(&[of(Some(2), 9), of(Some(3), 1)].concat()));
        held.hold(&of(None, 8));
        assert!(held.has_room_for(&of(None, 1)) && !held.has_room_for(&of(None, 2)));
    }
}
