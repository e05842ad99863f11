//! Heartbeats, progress and *started*: one call for all leases, and what it is answered with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{LeaseReport, ReportAnswer, ReportRequest, RunKey, limits, paths};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Node;
use super::backoff::Backoff;
use super::clock;
use super::lease::{End, Lease};
use super::server::CallError;

/// How often leases are reported before the server has said how long one lasts.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
/// Never more often than this, however short a lease.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);
/// *Started* that may wait to be sent.
const WAITING: usize = 256;

/// "These jobs are about to run", and whoever waits to hear that the server knows.
struct Started {
    lease: Arc<Lease>,
    indexes: Vec<u32>,
    known: oneshot::Sender<()>,
}

/// Where jobs are reported as started.
pub(super) struct Reports(mpsc::Sender<Started>);

/// The other end.
pub(super) struct Reported(mpsc::Receiver<Started>);

impl Reports {
    pub(super) fn channel() -> (Self, Reported) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), Reported(receiver))
    }

    /// Says that `indexes` of `lease` are about to run, and waits until the server knows; `false` if the lease has
    /// ended or the server refuses the report.
    ///
    /// Calls of many runs share one request. Cancel safe; the report may be made all the same.
    pub(super) async fn started(&self, lease: &Arc<Lease>, indexes: Vec<u32>) -> bool {
        let (known, answer) = oneshot::channel();
        let started = Started { lease: Arc::clone(lease), indexes, known };
        self.0.send(started).await.is_ok() && answer.await.is_ok() && lease.ended().is_none()
    }
}

/// Reports until `finish` is cancelled.
pub(super) async fn run(node: Arc<Node>, mut reported: Reported, finish: CancellationToken) {
    let mut interval = FIRST_INTERVAL;
    let mut next_beat = Instant::now() + interval;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut started: Vec<Started> = Vec::new();
    while !finish.is_cancelled() {
        if started.is_empty() {
            tokio::select! {
                () = finish.cancelled() => return,
                next = reported.0.recv() => started.extend(next),
                () = tokio::time::sleep_until(next_beat) => {}
            }
        }
        while let Ok(next) = reported.0.try_recv() {
            started.push(next);
        }
        let beat = Instant::now() >= next_beat;
        let sent = tokio::select! {
            () = finish.cancelled() => return,
            sent = report(&node, &mut started, beat) => sent,
        };
        match sent {
            Ok(lease) => {
                backoff.reset();
                if let Some(lease) = lease {
                    // Within a third, the server asks; the trip there takes a while, too.
                    interval = (lease * 3 / 10).max(LEAST_INTERVAL);
                }
                if beat {
                    next_beat = Instant::now() + interval;
                }
                // A lease may be shorter than those before.
                next_beat = next_beat.min(Instant::now() + interval);
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

/// Sends what is due, and tells those in `started` that were heard. Gives how long leases last.
async fn report(node: &Node, started: &mut Vec<Started>, beat: bool) -> Result<Option<Duration>, CallError> {
    started.retain(|started| started.lease.ended().is_none());
    let mut reports: HashMap<RunKey, (Arc<Lease>, LeaseReport)> = HashMap::new();
    let beating = if beat { node.leases.all() } else { Vec::new() };
    for lease in beating.iter().chain(started.iter().map(|started| &started.lease)) {
        reports.entry(lease.key).or_insert_with(|| {
            let report = LeaseReport { lease: lease.key, started: Vec::new(), per_mille: lease.progress() };
            (Arc::clone(lease), report)
        });
    }
    for started in started.iter() {
        if let Some((_, report)) = reports.get_mut(&started.lease.key) {
            report.started.extend(&started.indexes);
        }
    }
    let reports: Vec<_> = reports.into_values().collect();
    let mut lasts = None;
    for part in reports.chunks(limits::MAX_LEASES_PER_REQUEST) {
        let request =
            ReportRequest { node: node.id.clone(), leases: part.iter().map(|(_, report)| report.clone()).collect() };
        let sent_at = clock::now();
        let answer: ReportAnswer = node.server.post(paths::LEASE_REPORT, &request, Duration::ZERO).await?;
        lasts = Some(apply(node, part, &answer, sent_at));
    }
    for started in started.drain(..) {
        // Whoever waited may have gone.
        let _ = started.known.send(());
    }
    Ok(lasts)
}

/// Takes the answer to heart: which leases ended, and until when the others are held, counted from when it was asked.
fn apply(node: &Node, reported: &[(Arc<Lease>, LeaseReport)], answer: &ReportAnswer, sent_at: Duration) -> Duration {
    for key in &answer.lost {
        if let Some(lease) = node.leases.find(*key) {
            node.lost(&lease);
        }
    }
    for key in &answer.cancelled {
        if let Some(lease) = node.leases.find(*key) {
            tracing::info!(upload = %lease.upload, run = key.run, "the uploader cancelled");
            node.leases.end(&lease, End::Cancelled);
        }
    }
    let lasts = Duration::from_millis(answer.lease_ms.into());
    for (lease, _) in reported {
        lease.confirm(sent_at + lasts);
    }
    lasts
}
