//! Telling the server of completed jobs: many in one request, again until it is certain what became of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{
    Base64, Complete, CompleteAnswer, CompleteRequest, ErrorCode, Item, Outcome, ResultUrlRequest, SealedBody, SpanKey,
    SpanResult, WantResult, limits,
};
use filemill_seal::Digest;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::completions::{Done, Submitted, Taken};
use crate::leases::{Cooldown, End, Lease, Leases};
use crate::net::{Backoff, CallError, Major, Server, Storage, StorageError};
use crate::telemetry::{Counters, event};

/// A request is sent when so many jobs or bytes are together, or the first of them has waited so long.
const REQUEST_JOBS: usize = 256;
const REQUEST_BYTES: usize = 4 << 20;
const REQUEST_WAIT: Duration = Duration::from_millis(20);
const _: () = assert!(REQUEST_JOBS + limits::MAX_SPAN_JOBS as usize <= limits::MAX_COMPLETIONS);

/// Requests under way at once of results that either version of the API has words for, and of those that take version 2.
const REQUESTS: usize = 4;

/// How often a large result is tried, each time with a URL of its own, before its job is given up.
const STORES_TRIED: u32 = 5;

/// The completions of one request.
async fn collect(first: Done, submitted: &mut mpsc::Receiver<Done>, finish: &CancellationToken) -> Vec<Done> {
    let until = Instant::now() + REQUEST_WAIT;
    let (mut jobs, mut bytes) = (first.jobs.len(), first.bytes());
    let mut together = vec![first];
    // What comes last adds no more jobs than a span has.
    while jobs < REQUEST_JOBS && bytes < REQUEST_BYTES {
        let next = tokio::select! {
            biased;
            done = submitted.recv() => done,
            () = tokio::time::sleep_until(until) => None,
            () = finish.cancelled() => submitted.try_recv().ok(),
        };
        let Some(done) = next else { break };
        jobs += done.jobs.len();
        bytes += done.bytes();
        together.push(done);
    }
    together
}

/// A completion as it is sent.
struct Ready {
    lease: Arc<Lease>,
    result: SpanResult,
    _taken: Vec<Taken>,
}

impl Ready {
    fn inline(done: Done) -> Self {
        let sealed = done.sealed.map(|sealed| SealedBody::Inline(Base64(sealed)));
        Self { lease: done.lease, result: SpanResult { jobs: done.jobs, sealed }, _taken: done.taken }
    }
}

/// What sends completions.
pub(crate) struct Completing {
    pub(crate) server: Arc<Server>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) cooldown: Arc<Cooldown>,
    pub(crate) counters: Arc<Counters>,
}

impl Completing {
    /// Sends what is handed in, until `finish` is cancelled and everything was sent.
    pub(crate) async fn run(self, submitted: Submitted, finish: CancellationToken) {
        let (this, Submitted { any, newest }) = (Arc::new(self), submitted);
        futures::join!(this.send_all(any, Major::One, &finish), this.send_all(newest, Major::Two, &finish));
    }

    /// The same for those that take version `least` of the API.
    async fn send_all(self: &Arc<Self>, mut submitted: mpsc::Receiver<Done>, least: Major, finish: &CancellationToken) {
        let requests = TaskTracker::new();
        let places = Arc::new(tokio::sync::Semaphore::new(REQUESTS));
        loop {
            let first = tokio::select! {
                biased;
                done = submitted.recv() => done,
                () = finish.cancelled() => submitted.try_recv().ok(),
            };
            let Some(first) = first else { break };
            let place = Arc::clone(&places).acquire_owned().await;
            let together = collect(first, &mut submitted, finish).await;
            let this = Arc::clone(self);
            requests.spawn(async move {
                this.send(together, least).await;
                drop(place);
            });
        }
        requests.close();
        requests.wait().await;
    }

    /// Sends what goes together. Large results go to storage first; the small ones do not wait for that.
    async fn send(&self, together: Vec<Done>, least: Major) {
        let (large, small): (Vec<Done>, Vec<Done>) =
            together.into_iter().partition(|done| done.bytes() > limits::MAX_INLINE_RESULT_BYTES);
        let storing = async {
            let mut stored = Vec::new();
            for done in large {
                let lease = Arc::clone(&done.lease);
                match self.store(done, least).await {
                    Some(ready) => stored.push(ready),
                    None => lease.completions_settled(1),
                }
            }
            self.complete(stored, least).await;
        };
        futures::join!(self.complete(small.into_iter().map(Ready::inline).collect(), least), storing);
    }

    /// Stores a large result; `None` if its lease ended before that succeeded, or if it cannot be stored. Whoever attends to
    /// the span then hands its jobs back, once the others of the span are completed.
    async fn store(&self, done: Done, least: Major) -> Option<Ready> {
        let body = bytes::Bytes::from(done.sealed.unwrap_or_default());
        let (length, sha256) = (body.len() as u64, Digest::of(&body).to_string());
        // Named by its first job; there is one.
        let job = done.jobs.first().map_or(0, |first| first.job);
        let want = WantResult { lease: done.lease.key, job, length, sha256: sha256.clone() };
        let request = ResultUrlRequest { results: vec![want] };
        let mut backoff = retries();
        let (mut tried, mut is_away) = (0, false);
        while done.lease.ended().is_none() {
            let answer = self.server.ask(&request, Duration::ZERO, least).await;
            self.leases.hear_version(least, &answer);
            let why = match answer.map(|answer| answer.results.into_iter().next().map(Item::into_result)) {
                Ok(Some(Ok(put))) => match self.storage.put(&put, body.clone()).await {
                    Ok(()) => {
                        let sealed = Some(SealedBody::Object { length, sha256 });
                        let result = SpanResult { jobs: done.jobs, sealed };
                        return Some(Ready { lease: done.lease, result, _taken: Vec::new() });
                    }
                    Err(error) => {
                        is_away = matches!(error, StorageError::Away(_));
                        tried = match error {
                            // The next URL would point there as well.
                            StorageError::Foreign(_) | StorageError::Redirect(_) => STORES_TRIED,
                            _ => tried + 1,
                        };
                        error.to_string()
                    }
                },
                Ok(Some(Err(error))) if error.code == ErrorCode::Fenced => {
                    self.leases.lost(&done.lease);
                    return None;
                }
                // The server is away, and with it all that would come of giving up.
                Err(error) if error.is_transient() => error.to_string(),
                refused => {
                    tried += 1;
                    match refused {
                        Ok(Some(Err(error))) => error.to_string(),
                        Err(error) => error.to_string(),
                        Ok(_) => "the answer names no URL".to_owned(),
                    }
                }
            };
            let (upload, index, jobs) = (&done.lease.upload, job, done.jobs.len());
            if tried >= STORES_TRIED {
                tracing::warn!(upload, index, jobs, "a large result cannot be stored, its jobs are given up: {why}");
                self.cooldown.fault();
                if is_away {
                    done.lease.storage_is_away();
                }
                return None;
            }
            tracing::debug!(%upload, index, "a large result cannot be stored yet: {why}");
            tokio::select! {
                () = backoff.wait() => {}
                () = done.lease.over.cancelled() => {}
            }
        }
        None
    }

    /// Completes jobs, again until the server has answered or their leases have ended.
    async fn complete(&self, mut ready: Vec<Ready>, least: Major) {
        let mut backoff = retries();
        loop {
            // Lost or cancelled meanwhile: the server would refuse it.
            ready.retain(|ready| {
                let wanted = ready.lease.ended().is_none();
                if !wanted {
                    ready.lease.completions_settled(1);
                }
                wanted
            });
            if ready.is_empty() {
                return;
            }
            let (leases, request) = self.request(&ready);
            let answer = self.server.ask(&request, Duration::ZERO, least).await;
            self.leases.hear_version(least, &answer);
            match answer {
                Ok(answer) => return self.settle(&leases, &request, answer),
                Err(error) if error.is_transient() => backoff.wait().await,
                Err(error) => return self.give_up(&leases, &request, &error),
            }
        }
    }

    /// The request, and the lease of each of its entries.
    fn request(&self, ready: &[Ready]) -> (Vec<Arc<Lease>>, CompleteRequest) {
        let mut places: HashMap<SpanKey, usize> = HashMap::new();
        let mut leases = Vec::new();
        let mut entries: Vec<Complete> = Vec::new();
        for Ready { lease, result, .. } in ready {
            let place = *places.entry(lease.key).or_insert_with(|| {
                leases.push(Arc::clone(lease));
                entries.push(Complete { lease: lease.key, results: Vec::new() });
                entries.len() - 1
            });
            entries[place].results.push(result.clone());
        }
        (leases, CompleteRequest { node: self.server.node().to_owned(), leases: entries })
    }

    fn settle(&self, leases: &[Arc<Lease>], request: &CompleteRequest, answer: CompleteAnswer) {
        let mut answers = answer.leases.into_iter();
        for (lease, sent) in leases.iter().zip(&request.leases) {
            match answers.next().map(Item::into_result) {
                Some(Ok(completed)) => {
                    let jobs = jobs(sent);
                    let refused = sent.results.iter().flat_map(|result| &result.jobs);
                    let refused = refused.filter(|job| job.outcome == Outcome::Refused).count();
                    self.counters.jobs_completed.add(jobs as u64);
                    self.counters.jobs_refused.add(refused as u64);
                    event!("completed", run = lease.key.span, jobs = jobs, ended = completed.ended);
                    self.cooldown.healthy();
                    if completed.ended {
                        self.leases.end(lease, End::Done);
                    }
                }
                Some(Err(error)) if matches!(error.code, ErrorCode::Fenced | ErrorCode::NotFound) => {
                    self.leases.lost(lease)
                }
                Some(Err(error)) => {
                    tracing::error!(upload = %lease.upload, run = lease.key.span, "the server does not take a result: {error}");
                    self.leases.lost(lease);
                }
                None => {
                    tracing::error!(run = lease.key.span, "the server's answer says nothing about a lease's results");
                    self.leases.lost(lease);
                }
            }
            lease.completions_settled(sent.results.len() as u32);
        }
    }

    /// The server does not take the request as such: another would not be taken either, so that the leases are let go.
    fn give_up(&self, leases: &[Arc<Lease>], request: &CompleteRequest, error: &CallError) {
        tracing::error!(jobs = request.leases.iter().map(jobs).sum::<usize>(), "results are not taken: {error}");
        for (lease, sent) in leases.iter().zip(&request.leases) {
            self.leases.lost(lease);
            lease.completions_settled(sent.results.len() as u32);
        }
    }
}

/// How many jobs a lease's results answer.
fn jobs(complete: &Complete) -> usize {
    complete.results.iter().map(|result| result.jobs.len()).sum()
}

fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}
