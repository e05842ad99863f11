//! Completed jobs on their way to the server: many in one request, again until it is certain what became of them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use filemill_api::{
    Base64, Complete, CompleteAnswer, CompleteRequest, Completion, ErrorCode, Item, Outcome, ResultUrlRequest,
    ResultUrls, RunKey, SealedBody, WantResult, limits, paths,
};
use filemill_seal::Digest;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Node;
use super::backoff::Backoff;
use super::events::event;
use super::lease::{End, Lease};
use super::results::Sealed;
use super::server::CallError;
use super::storage::StorageError;

/// A request is sent when so many jobs or bytes are together, or the first of them has waited so long.
const BATCH_JOBS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// Completions that may wait to be sent; guests wait when there are more.
const WAITING: usize = 1024;

/// Bytes of sealed results that may be on their way, in all. Engines that report a MiB each get no more memory than others.
const ROOM_BYTES: usize = 8 << 20;

/// Requests under way at once.
const REQUESTS: usize = 4;

/// How often a large result is tried, each time with a URL of its own, before its job is given up.
const STORES_TRIED: u32 = 5;

/// One completed job.
pub(super) struct Done {
    lease: Arc<Lease>,
    index: u32,
    outcome: Outcome,
    sealed: Option<Vec<u8>>,
    taken: Option<Taken>,
}

impl Done {
    fn bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, Vec::len)
    }
}

/// Where completed jobs are handed in.
pub(super) struct Completions {
    sender: mpsc::Sender<Done>,
    room: Arc<Room>,
}

impl Completions {
    pub(super) fn channel() -> (Self, mpsc::Receiver<Done>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender, room: Arc::default() }, receiver)
    }

    /// Hands in what came of a job, sealed; blocks while too much is on its way.
    pub(super) fn send(&self, lease: &Arc<Lease>, index: u32, sealed: Sealed) {
        lease.completion_sent();
        let taken = Some(self.room.take(sealed.body.len()));
        let (lease, outcome, sealed) = (Arc::clone(lease), sealed.outcome, Some(sealed.body));
        if let Err(mpsc::error::SendError(done)) =
            self.sender.blocking_send(Done { lease, index, outcome, sealed, taken })
        {
            done.lease.completions_settled(1);
        }
    }

    /// Hands in a job of an upload whose header does not open: there is nobody to seal the reason for.
    pub(super) async fn send_unsealed(&self, lease: &Arc<Lease>, index: u32) {
        lease.completion_sent();
        let (lease, outcome) = (Arc::clone(lease), Outcome::Refused);
        let done = Done { lease, index, outcome, sealed: None, taken: None };
        if let Err(mpsc::error::SendError(done)) = self.sender.send(done).await {
            done.lease.completions_settled(1);
        }
    }
}

/// How much of [`ROOM_BYTES`] is taken. Guests wait for it on their own threads, which no semaphore of tokio's can do.
#[derive(Default)]
struct Room {
    taken_bytes: Mutex<usize>,
    freed: Condvar,
}

/// A part of the room, until it is dropped.
struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Waits for so many bytes; more than there are count as all. Blocks.
    fn take(self: &Arc<Self>, bytes: usize) -> Taken {
        let bytes = bytes.min(ROOM_BYTES);
        let mut taken = self.taken_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken + bytes > ROOM_BYTES {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        drop(taken);
        Taken { room: Arc::clone(self), bytes }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.taken_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_all();
    }
}

/// Sends what is handed in, until `finish` is cancelled and everything was sent.
pub(super) async fn run(node: Arc<Node>, mut handed_in: mpsc::Receiver<Done>, finish: CancellationToken) {
    let requests = TaskTracker::new();
    let places = Arc::new(tokio::sync::Semaphore::new(REQUESTS));
    loop {
        let first = tokio::select! {
            biased;
            done = handed_in.recv() => done,
            () = finish.cancelled() => handed_in.try_recv().ok(),
        };
        let Some(first) = first else { break };
        let place = Arc::clone(&places).acquire_owned().await;
        let batch = collect(first, &mut handed_in, &finish).await;
        let node = Arc::clone(&node);
        requests.spawn(async move {
            send(&node, batch).await;
            drop(place);
        });
    }
    requests.close();
    requests.wait().await;
}

/// The jobs of one request.
async fn collect(first: Done, handed_in: &mut mpsc::Receiver<Done>, finish: &CancellationToken) -> Vec<Done> {
    let until = Instant::now() + BATCH_WAIT;
    let mut bytes = first.bytes();
    let mut batch = vec![first];
    while batch.len() < BATCH_JOBS && bytes < BATCH_BYTES {
        let next = tokio::select! {
            biased;
            done = handed_in.recv() => done,
            () = tokio::time::sleep_until(until) => None,
            () = finish.cancelled() => handed_in.try_recv().ok(),
        };
        let Some(done) = next else { break };
        bytes += done.bytes();
        batch.push(done);
    }
    batch
}

/// Sends one batch. Large results go to storage first; the small ones do not wait for that.
async fn send(node: &Node, batch: Vec<Done>) {
    let (large, small): (Vec<Done>, Vec<Done>) =
        batch.into_iter().partition(|done| done.bytes() > limits::MAX_INLINE_RESULT_BYTES);
    let storing = async {
        let mut stored = Vec::new();
        for done in large {
            let lease = Arc::clone(&done.lease);
            match store(node, done).await {
                Some(ready) => stored.push(ready),
                None => lease.completions_settled(1),
            }
        }
        complete(node, stored).await;
    };
    futures::join!(complete(node, small.into_iter().map(Ready::inline).collect()), storing);
}

/// A completion as it is sent.
struct Ready {
    lease: Arc<Lease>,
    completion: Completion,
    _taken: Option<Taken>,
}

impl Ready {
    fn inline(done: Done) -> Self {
        let sealed = done.sealed.map(|sealed| SealedBody::Inline(Base64(sealed)));
        let completion = Completion { index: done.index, outcome: done.outcome, sealed };
        Self { lease: done.lease, completion, _taken: done.taken }
    }
}

/// Stores a large result; `None` if its lease ended before that succeeded, or if it cannot be stored. Whoever attends to
/// the run then hands the job back, once the others of the run are completed.
async fn store(node: &Node, done: Done) -> Option<Ready> {
    let body = bytes::Bytes::from(done.sealed.unwrap_or_default());
    let (length, sha256) = (body.len() as u64, Digest::of(&body).to_string());
    let want = WantResult { lease: done.lease.key, index: done.index, length, sha256: sha256.clone() };
    let request = ResultUrlRequest { results: vec![want] };
    let mut backoff = retries();
    let (mut tried, mut is_away) = (0, false);
    while done.lease.ended().is_none() {
        let answer: Result<ResultUrls, _> = node.server.post(paths::RESULT_URLS, &request, Duration::ZERO).await;
        let why = match answer.map(|answer| answer.results.into_iter().next().map(Item::into_result)) {
            Ok(Some(Ok(put))) => match node.storage.put(&put, body.clone()).await {
                Ok(()) => {
                    let sealed = Some(SealedBody::Object { length, sha256 });
                    let completion = Completion { index: done.index, outcome: done.outcome, sealed };
                    return Some(Ready { lease: done.lease, completion, _taken: None });
                }
                Err(error) => {
                    is_away = matches!(error, StorageError::Away(_));
                    tried = match error {
                        // The next URL would point there as well.
                        StorageError::Foreign(_) | StorageError::Redirect => STORES_TRIED,
                        _ => tried + 1,
                    };
                    error.to_string()
                }
            },
            Ok(Some(Err(error))) if error.code == ErrorCode::Fenced => {
                node.lost(&done.lease);
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
        let (upload, index) = (&done.lease.upload, done.index);
        if tried >= STORES_TRIED {
            tracing::warn!(upload, index, "a large result cannot be stored, its job is given up: {why}");
            node.faults.fault();
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
async fn complete(node: &Node, mut ready: Vec<Ready>) {
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
        let (leases, request) = request(node, &ready);
        match node.server.post::<CompleteAnswer>(paths::RESULTS, &request, Duration::ZERO).await {
            Ok(answer) => return settle(node, &leases, &request, answer),
            Err(error) if error.is_transient() => backoff.wait().await,
            Err(error) => return give_up(node, &leases, &request, &error),
        }
    }
}

/// The request, and the lease of each of its entries.
fn request(node: &Node, ready: &[Ready]) -> (Vec<Arc<Lease>>, CompleteRequest) {
    let mut places: HashMap<RunKey, usize> = HashMap::new();
    let mut leases = Vec::new();
    let mut entries: Vec<Complete> = Vec::new();
    for Ready { lease, completion, .. } in ready {
        let place = *places.entry(lease.key).or_insert_with(|| {
            leases.push(Arc::clone(lease));
            entries.push(Complete { lease: lease.key, jobs: Vec::new() });
            entries.len() - 1
        });
        entries[place].jobs.push(completion.clone());
    }
    (leases, CompleteRequest { node: node.id.clone(), leases: entries })
}

fn settle(node: &Node, leases: &[Arc<Lease>], request: &CompleteRequest, answer: CompleteAnswer) {
    let mut answers = answer.leases.into_iter();
    for (lease, sent) in leases.iter().zip(&request.leases) {
        match answers.next().map(Item::into_result) {
            Some(Ok(completed)) => {
                node.counters.jobs_completed.add(sent.jobs.len() as u64);
                let refused = sent.jobs.iter().filter(|job| job.outcome == Outcome::Refused).count();
                node.counters.jobs_refused.add(refused as u64);
                event!("completed", run = lease.key.run, jobs = sent.jobs.len(), ended = completed.ended);
                node.faults.healthy();
                if completed.ended {
                    node.leases.end(lease, End::Done);
                }
            }
            Some(Err(error)) if matches!(error.code, ErrorCode::Fenced | ErrorCode::NotFound) => node.lost(lease),
            Some(Err(error)) => {
                tracing::error!(upload = %lease.upload, run = lease.key.run, "the server does not take a result: {error}");
                node.lost(lease);
            }
            None => {
                tracing::error!(run = lease.key.run, "the server's answer says nothing about a lease's results");
                node.lost(lease);
            }
        }
        lease.completions_settled(sent.jobs.len() as u32);
    }
}

/// The server does not take the request as such: another would not be taken either, so that the leases are let go.
fn give_up(node: &Node, leases: &[Arc<Lease>], request: &CompleteRequest, error: &CallError) {
    tracing::error!(
        jobs = request.leases.iter().map(|lease| lease.jobs.len()).sum::<usize>(),
        "results are not taken: {error}"
    );
    for (lease, sent) in leases.iter().zip(&request.leases) {
        node.lost(lease);
        lease.completions_settled(sent.jobs.len() as u32);
    }
}

fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}
