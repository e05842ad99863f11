//! Renewing leases: heartbeats, progress and *started* in one call for all of them, and what it is answered with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{LeaseReport, ReportAnswer, ReportRequest, SpanKey, limits};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease::{End, Lease, Leases};
use super::returns::Returns;
use super::stop::Stop;
use crate::clock;
use crate::net::{Backoff, CallError, Major, Server};
use crate::shutdown::Shutdown;

/// How long a lease lasts before the server has said so.
const FIRST_LEASE: Duration = Duration::from_secs(15);
/// Never more often than this, however short a lease.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);
/// A report is given at least this long.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// *Started* that may wait to be sent.
const WAITING: usize = 256;

/// "These jobs are about to run", and whoever waits to hear that the server knows.
struct Started {
    lease: Arc<Lease>,
    jobs: Vec<u32>,
    known: oneshot::Sender<()>,
}

/// Where jobs are reported as started, and who is told how long leases last.
pub(crate) struct Renewal {
    started: mpsc::Sender<Started>,
    lasts: watch::Sender<Duration>,
    shutdown: Shutdown,
}

/// What reports the leases in hand.
pub(crate) struct Renewing {
    parts: Parts,
    started: mpsc::Receiver<Started>,
    lasts: watch::Receiver<Duration>,
}

struct Parts {
    server: Arc<Server>,
    leases: Arc<Leases>,
    returns: Arc<Returns>,
    renewal: Arc<Renewal>,
}

impl Renewal {
    pub(crate) fn channel(
        server: Arc<Server>,
        leases: Arc<Leases>,
        returns: Arc<Returns>,
        shutdown: Shutdown,
    ) -> (Arc<Self>, Renewing) {
        let (sender, started) = mpsc::channel(WAITING);
        let (lasts, lasting) = watch::channel(FIRST_LEASE);
        let renewal = Arc::new(Self { started: sender, lasts, shutdown });
        let parts = Parts { server, leases, returns, renewal: Arc::clone(&renewal) };
        (renewal, Renewing { parts, started, lasts: lasting })
    }

    /// The server said how long a lease lasts: from now on they are reported as often as that asks for.
    pub(crate) fn lease_lasts(&self, lasts: Duration) {
        if !lasts.is_zero() {
            self.lasts.send_if_modified(|known| std::mem::replace(known, lasts) != lasts);
        }
    }

    /// Says that `jobs` of `lease` are about to run, and waits until the server knows, which allows them to run.
    ///
    /// Calls of many spans share one request. Cancel safe; the report may be made all the same.
    ///
    /// # Errors
    ///
    /// [`Stop`], where the lease has ended, the node is to end, or the server refuses the report.
    pub(crate) async fn started(&self, lease: &Arc<Lease>, jobs: Vec<u32>) -> Result<(), Stop> {
        if self.shutdown.is_draining() {
            return Err(Stop::ShuttingDown);
        }
        let (known, answer) = oneshot::channel();
        let started = Started { lease: Arc::clone(lease), jobs, known };
        let is_known = self.started.send(started).await.is_ok() && answer.await.is_ok();
        match lease.ended() {
            Some(_) => Err(Stop::Over),
            None if is_known => Ok(()),
            None => Err(Stop::Fault("the server does not take the report that its jobs start".to_owned())),
        }
    }
}

impl Renewing {
    /// Reports until `finish` is cancelled.
    pub(crate) async fn run(self, finish: CancellationToken) {
        let Self { parts, started: mut reported, mut lasts } = self;
        let mut last_beat = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut started: Vec<Started> = Vec::new();
        while !finish.is_cancelled() {
            let next_beat = last_beat + interval(*lasts.borrow_and_update());
            if started.is_empty() {
                tokio::select! {
                    () = finish.cancelled() => return,
                    next = reported.recv() => started.extend(next),
                    // The next beat may come sooner than was thought.
                    _ = lasts.changed() => continue,
                    () = tokio::time::sleep_until(next_beat) => {}
                }
            }
            while let Ok(next) = reported.try_recv() {
                started.push(next);
            }
            let (now, beat) = (Instant::now(), Instant::now() >= next_beat);
            let sent = tokio::select! {
                () = finish.cancelled() => return,
                sent = report(&parts, &mut started, beat) => sent,
                // A connection that hangs must not cost the leases: another is tried while there is time.
                () = tokio::time::sleep(interval(*lasts.borrow()).max(LEAST_PATIENCE)) => {
                    Err(CallError::Away("no answer in time".to_owned()))
                }
            };
            match sent {
                Ok(()) => {
                    backoff.reset();
                    if beat {
                        last_beat = now;
                    }
                }
                Err(error) => {
                    if !error.is_transient() {
                        tracing::error!("the server does not take a report: {error}");
                        // Nothing is run that the server was not told of; the leases are handed back.
                        started.clear();
                    }
                    tokio::select! {
                        () = finish.cancelled() => return,
                        () = backoff.wait() => {}
                    }
                }
            }
        }
    }
}

/// How often a lease is reported: within a third of its life, the server asks; the trip there takes a while, too.
fn interval(lasts: Duration) -> Duration {
    (lasts * 3 / 10).max(LEAST_INTERVAL)
}

/// Sends what is due, and tells those in `started` that were heard.
async fn report(parts: &Parts, started: &mut Vec<Started>, beat: bool) -> Result<(), CallError> {
    started.retain(|started| started.lease.ended().is_none());
    let mut reports: HashMap<SpanKey, (Arc<Lease>, LeaseReport)> = HashMap::new();
    let beating = if beat { parts.leases.all() } else { Vec::new() };
    for lease in beating.iter().chain(started.iter().map(|started| &started.lease)) {
        reports.entry(lease.key).or_insert_with(|| {
            let report = LeaseReport { lease: lease.key, started: Vec::new(), per_mille: lease.progress() };
            (Arc::clone(lease), report)
        });
    }
    for started in started.iter() {
        if let Some((_, report)) = reports.get_mut(&started.lease.key) {
            report.started.extend(&started.jobs);
        }
    }
    let reports: Vec<_> = reports.into_values().collect();
    for part in reports.chunks(limits::MAX_LEASES_PER_REQUEST) {
        let request = ReportRequest {
            node: parts.server.node().to_owned(),
            leases: part.iter().map(|(_, report)| report.clone()).collect(),
        };
        let sent_at = clock::now();
        let (answer, major) = parts.server.ask_in(&request, Duration::ZERO, Major::One).await?;
        apply(parts, part, &answer, major, sent_at);
    }
    for started in started.drain(..) {
        // Whoever waited may have gone.
        let _ = started.known.send(());
    }
    Ok(())
}

/// Takes the answer to heart: which leases ended, and until when the others are held, counted from when it was asked.
///
/// A server of version 1 may not know a lease that only version 2 has words for. What it says of such a one is believed once the lease has
/// run out here, too; until then a server of version 2 may hold it.
fn apply(
    parts: &Parts,
    reported: &[(Arc<Lease>, LeaseReport)],
    answer: &ReportAnswer,
    major: Major,
    sent_at: Duration,
) {
    let lost: HashSet<SpanKey> = answer.lost.iter().copied().collect();
    for key in &lost {
        if let Some(lease) = parts.leases.find(*key)
            && (lease.least() <= major || clock::now() >= lease.held_until())
        {
            parts.leases.lost(&lease);
        }
    }
    for key in &answer.cancelled {
        if let Some(lease) = parts.leases.find(*key) {
            tracing::info!(upload = %lease.upload, run = key.span, "the uploader cancelled");
            // Its jobs get their verdict with the return: without one, only once the lease has run out.
            if parts.leases.end(&lease, End::Cancelled) {
                parts.returns.say_ended(lease);
            }
        }
    }
    let lasts = Duration::from_millis(answer.lease_ms.into());
    parts.renewal.lease_lasts(lasts);
    let known = *parts.renewal.lasts.borrow();
    for (lease, _) in reported.iter().filter(|(lease, _)| !lost.contains(&lease.key)) {
        if !parts.leases.end_if_in_vain(lease, known) {
            lease.confirm(sent_at + lasts);
        }
    }
}
