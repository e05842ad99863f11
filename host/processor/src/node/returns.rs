//! Leases on their way back to the server.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{LeaseReturn, MissingRequest, ReturnReason, ReturnRequest, limits, paths};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Node;
use super::backoff::Backoff;
use super::clock;
use super::events::event;
use super::lease::{End, Lease};
use super::stop::Missing;

const WAITING: usize = 256;

/// Where leases are handed back.
pub(super) struct Returns(mpsc::Sender<(Arc<Lease>, ReturnReason)>);

/// The other end.
pub(super) struct Returned(mpsc::Receiver<(Arc<Lease>, ReturnReason)>);

impl Returns {
    pub(super) fn channel() -> (Self, Returned) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), Returned(receiver))
    }

    /// Stops all work on a lease and hands it back, once its completions were answered.
    pub(super) async fn hand_back(&self, node: &Node, lease: &Arc<Lease>, reason: ReturnReason) {
        lease.settled().await;
        if !node.leases.end(lease, End::Returned) {
            return;
        }
        node.counters.leases_returned.add(1);
        match reason {
            ReturnReason::Stalled => event!("returned stalled", upload = %lease.upload, run = lease.key.run),
            ReturnReason::ShuttingDown => event!("returned shutting down", upload = %lease.upload, run = lease.key.run),
            _ => event!("returned node fault", upload = %lease.upload, run = lease.key.run),
        }
        // It ends only when there is nobody left to hand anything back.
        let _ = self.0.send((Arc::clone(lease), reason)).await;
    }

    /// Tells the server that nobody works on a cancelled lease any more. Where too many are on their way it is not told, and
    /// the lease, which is no longer reported, runs out.
    pub(super) fn say_ended(&self, lease: Arc<Lease>) {
        // Of a cancelled one the reason does not matter.
        let _ = self.0.try_send((lease, ReturnReason::ShuttingDown));
    }
}

/// Hands back until `finish` is cancelled and everything was said. What cannot be said in time expires by itself.
pub(super) async fn run(node: Arc<Node>, mut returned: Returned, finish: CancellationToken) {
    let mut waiting: Vec<(Arc<Lease>, ReturnReason)> = Vec::new();
    let mut backoff = retries();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                next = returned.0.recv() => waiting.extend(next),
                () = finish.cancelled() => match returned.0.try_recv() {
                    Ok(next) => waiting.push(next),
                    Err(_) => return,
                },
            }
        }
        while waiting.len() < limits::MAX_LEASES_PER_REQUEST
            && let Ok(next) = returned.0.try_recv()
        {
            waiting.push(next);
        }
        let leases = waiting.iter().map(|(lease, reason)| LeaseReturn { lease: lease.key, reason: *reason }).collect();
        let request = ReturnRequest { node: node.id.clone(), leases };
        match node.server.tell(paths::LEASE_RETURN, &request).await {
            Ok(()) => {
                backoff.reset();
                waiting.clear();
            }
            Err(error) if error.is_transient() && !finish.is_cancelled() => {
                backoff.wait().await;
                waiting.retain(|(lease, _)| clock::now() < lease.held_until());
            }
            Err(error) => {
                tracing::warn!(leases = waiting.len(), "leases cannot be handed back and will expire: {error}");
                waiting.clear();
            }
        }
    }
}

/// Says that storage lacks something, which ends the lease.
pub(super) async fn report_missing(node: &Node, lease: &Arc<Lease>, what: Missing) {
    lease.settled().await;
    node.counters.objects_missing.add(1);
    let said = what.to_string();
    let (chunks, header) = match what {
        Missing::Header => (Vec::new(), true),
        Missing::Chunk { sequence, sha256 } => (vec![(sequence, sha256)], false),
    };
    let request = MissingRequest { node: node.id.clone(), lease: lease.key, chunks, header };
    let mut backoff = retries();
    while lease.ended().is_none() {
        match node.server.tell(paths::LEASE_MISSING, &request).await {
            Ok(()) => {
                event!("object missing", upload = %lease.upload, object = %said);
                node.leases.end(lease, End::Returned);
            }
            Err(error) if error.is_transient() => tokio::select! {
                () = backoff.wait() => {}
                () = lease.over.cancelled() => {}
                // Somebody else finds it missing, too.
                () = node.abort.cancelled() => return,
            },
            Err(error) => {
                tracing::error!(upload = %lease.upload, "{said} is missing, which cannot be reported: {error}");
                return node.returns.hand_back(node, lease, ReturnReason::NodeFault).await;
            }
        }
    }
}

fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}
