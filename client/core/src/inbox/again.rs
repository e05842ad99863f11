//! Results that could not be fetched or checked when their event came: asked for again, until the server says that one is gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use filemill_api::limits::MAX_FETCHED;
use filemill_api::{ErrorCode, EventKind, FetchedResult, Item, JobOutcome, SealedResult};
use filemill_seal::{Digest, Format, Outcome, UploadId};

use super::judge::{Case, Job, Sealed, judge_all, row, shown};
use super::{Arrival, Came, Had, Inbox, Reopened};
use crate::api::{Patience, Position};
use crate::ending::Ending;
use crate::error::Error;
use crate::journal::{Unfetched, UploadKeys};

/// Attempts at an object each time that it is asked for again: the next time has another URL.
const ATTEMPTS: u32 = 2;

/// Why a result cannot be asked for by what was known of it.
const OTHER_DATABASE: &str = "the server has another database than it had";
/// Why an answer is none.
const OTHER_JOBS: &str = "the server answered with the results of other jobs";

/// Why what a server of an earlier version says is not the last word.
pub(super) const OLDER_SERVER: &str =
    "the server is of an earlier version, and cannot tell of a batch of results: it is asked for again";

/// What came of asking again.
#[derive(Default)]
pub(crate) struct Again {
    /// Results that are there now, or that the server has no more. Of a batch all of it, also what was not asked for.
    pub(crate) arrivals: Vec<Arrival>,
    /// Jobs whose results could not be had this time either, and why.
    pub(crate) left: Vec<((UploadId, u32), String)>,
}

/// Jobs whose results came, or were to come, with one event: asked for by the first of them.
struct Group {
    upload: UploadId,
    cursor: i64,
    keys: Arc<UploadKeys>,
    jobs: Vec<Unfetched>,
}

/// What the server says of what was asked for.
enum Said {
    /// With what was sealed, or why that cannot be it.
    There(Vec<JobOutcome>, Result<Option<Vec<u8>>, String>),
    /// The same of what may be a batch, by a server that may not know batches: it tells one as a result of its first job.
    ByOlder(Vec<JobOutcome>, Result<Option<Vec<u8>>, String>),
    Gone,
    NotNow(String),
}

impl Inbox {
    /// Asks once for each of these results, which the journal has as still to be fetched; for those of a batch once together. The server
    /// keeps them from then on.
    ///
    /// # Errors
    ///
    /// Errors of the journal; and what makes asking useless, like a revoked token. A server that does not answer is a reason why
    /// the results are left.
    pub(crate) async fn fetch_again(&self, unfetched: Vec<Unfetched>) -> Result<Again, Error> {
        let position = self.journal.position(&self.account).await?;
        let mut again = Again::default();
        let (mut singles, mut batches) = (Vec::new(), Vec::new());
        for group in self.groups_of(unfetched).await? {
            if group.keys.format == Format::One { singles.push(group) } else { batches.push(group) }
        }
        while !singles.is_empty() {
            let rest = singles.split_off(singles.len().min(MAX_FETCHED));
            self.ask_for(&position, singles, false, &mut again).await?;
            singles = rest;
        }
        while !batches.is_empty() {
            let mut rest = batches.split_off(batches.len().min(MAX_FETCHED));
            let others = self.ask_for(&position, batches, true, &mut again).await?;
            // Once more for jobs that the server did not name with the one that was asked for.
            rest.extend(self.groups_of(others).await?);
            batches = rest;
        }
        self.journal.not_fetched(again.left.clone()).await?;
        Ok(again)
    }

    /// Results that another program of this home has fetched meanwhile.
    pub(crate) async fn fetched_elsewhere(&self, jobs: &[(UploadId, u32)]) -> Result<Vec<Arrival>, Error> {
        let jobs = self.journal.with_result(jobs).await?;
        let mut arrivals = Vec::new();
        for portion in self.portions(&jobs).await? {
            let mut opened = self.reopen(&portion).await?;
            for (upload, job) in portion {
                let Some(Reopened { sealed, artifacts, ending }) = opened.remove(&(upload, job)) else { continue };
                let at = self.keys_of(upload).await?.and_then(|keys| keys.task_and_file(job));
                let Some((task, index)) = at else { continue };
                let places = self.journal.places(&[(upload, index)]).await?;
                arrivals.push(Arrival { upload, job, task, index, sealed, batch: None, artifacts, ending, places });
            }
        }
        Ok(arrivals)
    }

    /// Those that came with one event together; in format 1 each has an event of its own. Whatever is of an upload that the journal has lost
    /// meanwhile is left out.
    async fn groups_of(&self, unfetched: Vec<Unfetched>) -> Result<Vec<Group>, Error> {
        let mut groups: Vec<Group> = Vec::new();
        let mut by_event: HashMap<(UploadId, i64), usize> = HashMap::new();
        for one in unfetched {
            let Some(keys) = self.keys_of(one.upload).await? else { continue };
            let (upload, cursor) = (one.upload, one.cursor);
            let known = by_event.get(&(upload, cursor)).filter(|_| keys.format == Format::Two);
            match known.and_then(|position| groups.get_mut(*position)) {
                Some(group) => group.jobs.push(one),
                None => {
                    by_event.insert((upload, cursor), groups.len());
                    groups.push(Group { upload, cursor, keys, jobs: vec![one] });
                }
            }
        }
        Ok(groups)
    }

    /// Asks for the first job of each group, [`MAX_FETCHED`] of them at most, and returns the others of which the server said nothing.
    async fn ask_for(
        &self,
        position: &Position,
        groups: Vec<Group>,
        has_batches: bool,
        again: &mut Again,
    ) -> Result<Vec<Unfetched>, Error> {
        let mut others = Vec::new();
        if groups.is_empty() {
            return Ok(others);
        }
        let asked: Vec<_> = groups.iter().filter_map(Group::first).collect();
        match self.api.fetch(position, &asked, &[], has_batches).await {
            // Whoever reads the events hears of it, too, and starts over.
            Ok(answer) if answer.reset => leave_all(groups, OTHER_DATABASE, again),
            Ok(answer) => {
                let before = again.arrivals.len();
                // One after the other: each may be as long as a result can be.
                for (group, item) in groups.into_iter().zip(answer.results) {
                    let said = self.said(item, &group).await;
                    others.extend(self.settle(group, said, again).await?);
                }
                let there = again.arrivals.iter().skip(before).map(|arrival| (arrival.upload, arrival.job));
                let there: HashSet<_> = there.collect();
                let fetched: Vec<_> = asked.into_iter().filter(|job| there.contains(job)).collect();
                if !fetched.is_empty() {
                    // If it does not hear of it, it keeps them for longer.
                    let _ = self.api.fetch(position, &[], &fetched, has_batches).await;
                }
            }
            // A server that does not know the call: an event that is read again has a fresh URL.
            Err(Error::Refused { body, .. }) if body.code == ErrorCode::NotFound => {
                for group in groups {
                    let said = self.read_again(&group).await?;
                    others.extend(self.settle(group, said, again).await?);
                }
            }
            Err(error @ (Error::Unreachable { .. } | Error::Protocol { .. } | Error::Refused { .. })) => {
                leave_all(groups, &error.to_string(), again);
            }
            Err(error) => return Err(error),
        }
        Ok(others)
    }

    async fn said(&self, item: Item<FetchedResult>, group: &Group) -> Said {
        let found = match item.into_result() {
            Ok(found) => found,
            Err(body) if body.code == ErrorCode::NotFound => return Said::Gone,
            Err(body) => return Said::NotNow(body.message),
        };
        match found.sealed {
            None => Said::There(found.jobs, Ok(None)),
            Some(SealedResult::Inline(bytes)) => match found.sha256 {
                Some(sha256) if Digest::of(&bytes.0).to_string() != sha256 => {
                    Said::NotNow("it was damaged on its way".to_owned())
                }
                _ => Said::There(found.jobs, Ok(Some(bytes.0))),
            },
            Some(SealedResult::Object(get)) => {
                let kept = found.kept;
                match Said::of(found.jobs, self.object(&get, group.keys.format, ATTEMPTS).await) {
                    Said::NotNow(reason) if !kept => Said::NotNow(format!(
                        "{reason}; the server keeps so many such results already that it does not keep this one for longer"
                    )),
                    said => said,
                }
            }
        }
    }

    /// What the server says in the event, which is read once more.
    async fn read_again(&self, group: &Group) -> Result<Said, Error> {
        let before = Position { cursor: group.cursor - 1, mark: None };
        let (page, by_older) = match self.api.events_by(&before, 1, Patience::Brief).await {
            Ok(told) => told,
            Err(error @ (Error::Unreachable { .. } | Error::Refused { .. } | Error::Protocol { .. })) => {
                return Ok(Said::NotNow(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let is_there = page.events.first().is_some_and(|event| event.cursor <= group.cursor);
        if page.reset {
            return Ok(Said::NotNow(OTHER_DATABASE.to_owned()));
        }
        for event in page.events {
            if let EventKind::Results { jobs, sealed } = event.kind
                && event.upload == group.upload.to_string()
                && group.is_among(&jobs)
            {
                let had = match sealed {
                    None => Had::Nothing,
                    Some(SealedResult::Inline(bytes)) => Had::Bytes(bytes.0),
                    Some(SealedResult::Object(get)) => self.object(&get, group.keys.format, ATTEMPTS).await,
                };
                return Ok(match Said::of(jobs, had) {
                    Said::There(jobs, sealed) if by_older && group.keys.format == Format::Two => {
                        Said::ByOlder(jobs, sealed)
                    }
                    said => said,
                });
            }
        }
        // Where another event has its number, the result may be anywhere.
        Ok(if is_there { Said::NotNow(OTHER_DATABASE.to_owned()) } else { Said::Gone })
    }

    /// Takes in what the server said, and returns the jobs of the group of which it said nothing.
    async fn settle(&self, group: Group, said: Said, again: &mut Again) -> Result<Vec<Unfetched>, Error> {
        let Group { upload, cursor, keys, jobs } = group;
        let by_older = matches!(said, Said::ByOlder(..));
        let (case, named) = match said {
            Said::NotNow(reason) => {
                leave(&jobs, &reason, again);
                return Ok(Vec::new());
            }
            Said::There(named, _) | Said::ByOlder(named, _)
                if !jobs.first().is_some_and(|first| is_among(first, &named)) =>
            {
                leave(&jobs, OTHER_JOBS, again);
                return Ok(Vec::new());
            }
            // It tells the end of many jobs by an outcome that it does not know.
            Said::ByOlder(named, Ok(None)) if is_any_unknown(&named) => {
                leave(&jobs, OLDER_SERVER, again);
                return Ok(Vec::new());
            }
            Said::There(named, sealed) | Said::ByOlder(named, sealed) => {
                let numbers: HashSet<u32> = named.iter().map(|one| one.job).collect();
                let came = Came { cursor, upload, keys, jobs: named, can_be_had_again: false };
                let mut places = self.places(came.files()).await?;
                (self.case(came, sealed, &mut places).await?, numbers)
            }
            Said::Gone => {
                let numbers = jobs.iter().map(|one| one.job).collect();
                (self.gone(upload, cursor, keys, &jobs).await?, numbers)
            }
        };
        let arrivals = judge_all(&self.identity, case.into_iter().collect(), self.singles()).await?.arrivals;
        if by_older && arrivals.iter().any(|(_, arrival)| matches!(arrival.ending, Ending::NotShown { .. })) {
            leave(&jobs, OLDER_SERVER, again);
            return Ok(Vec::new());
        }
        let rows = arrivals.iter().map(|(cursor, arrival)| row(*cursor, arrival)).collect();
        self.journal.take_in_fetched(rows).await?;
        again.arrivals.extend(arrivals.into_iter().map(|(_, arrival)| shown(arrival)));
        Ok(jobs.into_iter().filter(|one| !named.contains(&one.job)).collect())
    }

    /// The end of waiting for what the server does not have any more.
    async fn gone(
        &self,
        upload: UploadId,
        cursor: i64,
        keys: Arc<UploadKeys>,
        jobs: &[Unfetched],
    ) -> Result<Option<Case>, Error> {
        let before = jobs.first().map(|one| one.reason.clone()).unwrap_or_default();
        let reason =
            format!("the server does not have the result any more, which could not be fetched before: {before}");
        let file = |one: &Unfetched| Some((upload, keys.task_and_file(one.job)?.1));
        let places = self.places(jobs.iter().filter_map(file)).await?;
        let known = |one: &Unfetched| {
            let at = keys.task_and_file(one.job)?;
            let places = places.get(&(upload, at.1)).cloned().unwrap_or_default();
            Job::sent(one.job, at, Outcome::from_code(&one.outcome).unwrap_or(Outcome::HostFailed), places)
        };
        let jobs: Vec<Job> = jobs.iter().filter_map(known).collect();
        let sealed = Sealed::Wrong(reason);
        Ok(Some(Case { upload, cursor, keys, jobs, sealed, doubtful: false }))
    }
}

/// Those that came with the first events among these, of which [`MAX_FETCHED`] are asked for at once: never a part of a batch.
pub(crate) fn of_first_events(unfetched: impl IntoIterator<Item = Unfetched>) -> Vec<Unfetched> {
    let mut events = HashSet::new();
    let is_first = |one: &Unfetched| {
        let event = (one.upload, one.cursor);
        events.contains(&event) || events.len() < MAX_FETCHED && events.insert(event)
    };
    unfetched.into_iter().filter(is_first).collect()
}

impl Group {
    /// The job that is asked for.
    fn first(&self) -> Option<(UploadId, u32)> {
        self.jobs.first().map(|one| (one.upload, one.job))
    }

    fn is_among(&self, named: &[JobOutcome]) -> bool {
        self.jobs.first().is_some_and(|first| is_among(first, named))
    }
}

impl Said {
    fn of(jobs: Vec<JobOutcome>, had: Had) -> Self {
        match had {
            Had::Nothing | Had::Kept => Self::There(jobs, Ok(None)),
            Had::Bytes(bytes) => Self::There(jobs, Ok(Some(bytes))),
            Had::Wrong(reason) => Self::There(jobs, Err(reason)),
            Had::NotNow(reason) => Self::NotNow(reason),
        }
    }
}

fn is_among(one: &Unfetched, named: &[JobOutcome]) -> bool {
    named.iter().any(|named| named.job == one.job)
}

/// Whether the server says an outcome that is not known here.
pub(super) fn is_any_unknown(named: &[JobOutcome]) -> bool {
    named.iter().any(|one| one.outcome == filemill_api::Outcome::Unknown)
}

fn leave(jobs: &[Unfetched], reason: &str, again: &mut Again) {
    again.left.extend(jobs.iter().map(|one| ((one.upload, one.job), reason.to_owned())));
}

fn leave_all(groups: Vec<Group>, reason: &str, again: &mut Again) {
    for group in groups {
        leave(&group.jobs, reason, again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_batch_is_asked_for_by_itself() {
        let upload = UploadId::random();
        let one = |cursor: i64, job: u32| {
            let (outcome, reason) = (String::new(), String::new());
            Unfetched { upload, job, cursor, outcome, reason }
        };
        let most = MAX_FETCHED as i64;
        let singles = (1..most).map(|cursor| one(cursor, cursor as u32));
        let batch = (100..164).map(|job| one(most, job));
        let more = (0..9).map(|job| one(most + 1, 200 + job));
        let first = of_first_events(singles.chain(batch).chain(more));
        assert_eq!(first.len(), MAX_FETCHED - 1 + 64);
        assert!(first.iter().all(|one| one.cursor <= most));
    }
}
