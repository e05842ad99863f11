//! Results as they came, opened and checked against what is known of their jobs.

use std::collections::HashMap;
use std::sync::Arc;

use filemill_seal::{
    Artifact, BATCH_MAX, Digest, Expected, Format, Header, Identity, Member, Outcome, Recipient, ResultBody,
    ResultError, UploadId, Verdict, open_batch, open_result,
};

use super::Arrival;
use crate::ending::Ending;
use crate::error::Error;
use crate::journal::{Arrived, FilePlace, SealedBatch, Unfetched, UploadKeys};

/// What is known of a job that the server says something of.
pub(super) struct Job {
    /// Its number.
    pub(super) job: u32,
    pub(super) task: u32,
    /// Of its file.
    pub(super) index: u32,
    pub(super) length: u64,
    pub(super) sha256: Option<Digest>,
    /// What the server says.
    pub(super) outcome: Outcome,
    /// The files that it is the result of; none for a file that only the header knows.
    pub(super) places: Vec<FilePlace>,
}

/// What is judged together: one job, or those of a batch.
pub(super) struct Case {
    pub(super) upload: UploadId,
    pub(super) cursor: i64,
    pub(super) keys: Arc<UploadKeys>,
    /// In the order in which the server names them.
    pub(super) jobs: Vec<Job>,
    pub(super) sealed: Sealed,
    /// It may have been damaged on its way, and can be had again.
    pub(super) doubtful: bool,
}

/// What came with what the server says.
pub(super) enum Sealed {
    None,
    /// One result.
    Single(Vec<u8>),
    /// A batch of all of them; and why it cannot be of the jobs that the server names, if that is so.
    Batch(Vec<u8>, Option<String>),
    /// A batch that they are in, and that was found to be good when it came.
    Kept(Arc<[u8]>),
    /// It cannot be a result of these jobs.
    Wrong(String),
}

/// What came of judging.
#[derive(Default)]
pub(super) struct Judged {
    /// Each with the cursor of its event.
    pub(super) arrivals: Vec<(i64, Arrival)>,
    /// Those that did not stand up to it and may have been damaged on their way.
    pub(super) doubtful: Vec<Unfetched>,
}

/// What is said of one job, and what is kept of it.
struct Said {
    sealed: Option<Vec<u8>>,
    batch: Option<SealedBatch>,
    artifacts: Vec<Artifact>,
    ending: Ending,
}

impl Job {
    /// A file that was sent, as the journal knows it; `None` if none of these places is its own.
    pub(super) fn sent(job: u32, (task, index): (u32, u32), outcome: Outcome, places: Vec<FilePlace>) -> Option<Self> {
        let sent = places.iter().find(|place| !place.reused)?;
        let sha256 = match sent.verdict {
            Some(Verdict::Intact(sha256)) => Some(sha256),
            _ => None,
        };
        let length = sent.size;
        Some(Self { job, task, index, length, sha256, outcome, places })
    }

    /// A file that the journal has lost, and the header has: it belongs into a batch, and nobody waits for it. `None` if it is not there
    /// either.
    pub(super) fn in_header(job: u32, (task, index): (u32, u32), outcome: Outcome, header: &Header) -> Option<Self> {
        header.task(task)?;
        let length = header.files.get(index as usize)?.length;
        Some(Self { job, task, index, length, sha256: None, outcome, places: Vec::new() })
    }

    fn expected<'a>(&self, upload: UploadId, keys: &'a UploadKeys) -> Expected<'a> {
        Expected {
            format: keys.format,
            upload,
            task: self.task,
            index: self.index,
            header: keys.header_digest,
            releases: keys.releases(self.task),
            length: self.length,
            sha256: self.sha256,
        }
    }
}

impl Said {
    fn only(ending: Ending) -> Self {
        Self { sealed: None, batch: None, artifacts: Vec::new(), ending }
    }

    fn not_shown(reason: String) -> Self {
        Self::only(Ending::NotShown { reason })
    }

    fn of(body: ResultBody, sealed: Vec<u8>) -> Self {
        let (ending, artifacts) = Ending::of(body);
        Self { sealed: Some(sealed), batch: None, artifacts, ending }
    }

    /// One of a batch, which is sealed for its owner again if that is asked for: each costs as much as a whole batch.
    fn of_member(member: Member, owner: Option<&Recipient>) -> Self {
        let sealed = owner.map(|owner| member.seal_for(owner));
        let (ending, artifacts) = Ending::of(member.into_body());
        Self { sealed, batch: None, artifacts, ending }
    }
}

/// Opens and checks results on threads that may block, some at a time. With `singles` each that came in a batch is sealed by itself, too.
pub(super) async fn judge_all(identity: &Arc<Identity>, cases: Vec<Case>, singles: bool) -> Result<Judged, Error> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let part = cases.len().div_ceil(threads).max(1);
    let mut parts = Vec::new();
    let mut cases = cases.into_iter().peekable();
    while cases.peek().is_some() {
        let cases: Vec<Case> = cases.by_ref().take(part).collect();
        let identity = Arc::clone(identity);
        parts.push(tokio::task::spawn_blocking(move || {
            let owner = singles.then(|| identity.recipient());
            let mut judged = Judged::default();
            for case in cases {
                judge(&identity, owner.as_ref(), case, &mut judged);
            }
            judged
        }));
    }
    let mut all = Judged::default();
    for part in parts {
        let Judged { arrivals, doubtful } = part.await.map_err(|_| Error::Stopped)?;
        all.arrivals.extend(arrivals);
        all.doubtful.extend(doubtful);
    }
    Ok(all)
}

fn judge(identity: &Identity, owner: Option<&Recipient>, case: Case, judged: &mut Judged) {
    let Case { upload, cursor, keys, jobs, sealed, doubtful } = case;
    let came = matches!(sealed, Sealed::Single(_) | Sealed::Batch(..));
    let said: Vec<Said> = match sealed {
        Sealed::None => jobs.iter().map(without).collect(),
        Sealed::Wrong(reason) => all_not_shown(&jobs, &reason, None),
        Sealed::Single(sealed) => {
            let verified = |job: &Job| {
                let expected = job.expected(upload, &keys);
                open_result(&sealed, std::slice::from_ref(identity))?.verify(&keys.key, &expected)
            };
            match jobs.first().map(verified) {
                Some(Ok(body)) => vec![Said::of(body, sealed)],
                Some(Err(error)) => all_not_shown(&jobs, &error.to_string(), Some(sealed)),
                None => Vec::new(),
            }
        }
        Sealed::Batch(sealed, Some(reason)) => all_not_shown(&jobs, &reason, Some(sealed)),
        Sealed::Batch(sealed, None) => match members(identity, &sealed, upload, &keys, &jobs) {
            Ok(members) => {
                // Where each is kept by itself, the batch need not be.
                let batch = owner.is_none().then(|| SealedBatch { members: jobs.len() as u32, sealed: sealed.into() });
                let said = |member| Said { batch: batch.clone(), ..Said::of_member(member, owner) };
                members.into_iter().map(said).collect()
            }
            Err(error) => all_not_shown(&jobs, &error.to_string(), Some(sealed)),
        },
        Sealed::Kept(batch) => kept(identity, &batch, upload, &keys, &jobs, owner),
    };
    for (job, said) in jobs.into_iter().zip(said) {
        // Nobody waits for it.
        if job.places.is_empty() {
            continue;
        }
        let Job { job, task, index, outcome, places, .. } = job;
        let Said { sealed, batch, artifacts, ending } = said;
        if let Ending::NotShown { reason } = &ending
            && doubtful
            && came
        {
            let (outcome, reason) = (outcome.code().to_owned(), format!("{reason}, unless it was damaged on its way"));
            judged.doubtful.push(Unfetched { upload, job, cursor, outcome, reason });
            continue;
        }
        let artifacts = artifacts.into();
        judged.arrivals.push((cursor, Arrival { upload, job, task, index, sealed, batch, artifacts, ending, places }));
    }
}

/// The members of a batch, all of them good and in the order of the jobs.
fn members(
    identity: &Identity,
    sealed: &[u8],
    upload: UploadId,
    keys: &UploadKeys,
    jobs: &[Job],
) -> Result<Vec<Member>, ResultError> {
    let expected: Vec<_> = jobs.iter().map(|job| job.expected(upload, keys)).collect();
    open_batch(sealed, std::slice::from_ref(identity))?.verify(&keys.key, &expected)
}

/// What some members of a batch say that is in the journal, each checked by itself: the journal may know less than when it came.
fn kept(
    identity: &Identity,
    batch: &[u8],
    upload: UploadId,
    keys: &UploadKeys,
    jobs: &[Job],
    owner: Option<&Recipient>,
) -> Vec<Said> {
    let opened = match open_batch(batch, std::slice::from_ref(identity)) {
        Ok(opened) => opened,
        Err(error) => return all_not_shown(jobs, &error.to_string(), None),
    };
    let mut members: HashMap<_, _> = opened
        .into_results()
        .into_iter()
        .map(|member| ((member.claimed_task(), member.claimed_index()), member))
        .collect();
    let said = |job: &Job| {
        let Some(member) = members.remove(&(job.task, job.index)) else {
            return Said::not_shown("the batch of results that the journal has of it does not have it".to_owned());
        };
        match member.verify_alone(&keys.key, &job.expected(upload, keys)) {
            Ok(member) => Said::of_member(member, owner),
            Err(error) => Said::not_shown(error.to_string()),
        }
    };
    jobs.iter().map(said).collect()
}

/// What is said where the server has nothing that was sealed.
fn without(job: &Job) -> Said {
    if job.outcome.analysed() {
        return Said::not_shown(format!("the server says `{}` and has no result", job.outcome.code()));
    }
    let message = format!("{} (said by the server)", job.outcome);
    Said::only(Ending::EndedByServer { outcome: job.outcome, message })
}

/// None of the jobs is shown, for this reason. What came is evidence, and kept once.
fn all_not_shown(jobs: &[Job], reason: &str, mut sealed: Option<Vec<u8>>) -> Vec<Said> {
    let said = |_: &Job| Said { sealed: sealed.take(), ..Said::not_shown(reason.to_owned()) };
    jobs.iter().map(said).collect()
}

/// Why what is sealed cannot be of so many jobs; `None` if it can.
pub(super) fn too_many(format: Format, jobs: usize) -> Option<String> {
    match format {
        Format::One if jobs > 1 => Some(format!("the server says that one result is that of {jobs} files")),
        Format::Two if jobs > BATCH_MAX => {
            Some(format!("the server says that one batch has the results of {jobs} jobs"))
        }
        _ => None,
    }
}

/// Why what is sealed cannot be of the jobs that the server names; `None` if it can.
pub(super) fn misnamed(format: Format, jobs: &[u32]) -> Option<String> {
    match format {
        _ if too_many(format, jobs.len()).is_some() => too_many(format, jobs.len()),
        Format::One if jobs.len() != 1 => {
            Some(format!("the server says that one result is that of {} files", jobs.len()))
        }
        Format::Two if jobs.is_empty() || !jobs.is_sorted_by(|job, next| job < next) => {
            Some("the server names the jobs of a batch of results in disorder".to_owned())
        }
        _ => None,
    }
}

/// How an arrival is written down.
pub(super) fn row(cursor: i64, arrival: &Arrival) -> Arrived {
    let (outcome, refusal) = match &arrival.ending {
        Ending::NotShown { reason } => (Outcome::Refused, Some(reason.clone())),
        ending => (ending.outcome().unwrap_or(Outcome::HostFailed), None),
    };
    Arrived {
        upload: arrival.upload,
        job: arrival.job,
        cursor,
        outcome: outcome.code(),
        refusal,
        // One that is not to be believed is kept, too: it is evidence.
        sealed: arrival.sealed.clone(),
        batch: arrival.batch.clone(),
    }
}

/// An arrival as it is handed on: what is not to be believed stays in the journal, and so does the batch.
pub(super) fn shown(mut arrival: Arrival) -> Arrival {
    arrival.batch = None;
    if matches!(arrival.ending, Ending::NotShown { .. }) {
        arrival.sealed = None;
    }
    arrival
}

macro_rules! map_outcomes {
    ($($name:ident = $code:literal, $class:ident;)+) => {
        /// The server's word for an outcome. One that this program does not know is a failure of whoever said it.
        pub(super) fn known_outcome(outcome: filemill_api::Outcome) -> Outcome {
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

    #[test]
    fn a_batch_is_of_jobs_in_order_and_a_result_of_format_1_of_one_file() {
        assert_eq!(misnamed(Format::One, &[7]), None);
        assert!(misnamed(Format::One, &[7, 8]).is_some() && misnamed(Format::One, &[]).is_some());
        assert_eq!(misnamed(Format::Two, &[0]), None);
        assert_eq!(misnamed(Format::Two, &[0, 5, 6]), None);
        for jobs in [&[][..], &[1, 1], &[2, 1]] {
            assert!(misnamed(Format::Two, jobs).is_some(), "{jobs:?}");
        }
        let jobs: Vec<u32> = (0..=BATCH_MAX as u32).collect();
        assert_eq!(misnamed(Format::Two, &jobs[1..]), None);
        assert!(misnamed(Format::Two, &jobs).is_some_and(|reason| reason.contains("65 jobs")));
    }
}
