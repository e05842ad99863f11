//! Leases on their way back to the server.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{LeaseReturn, MissingRequest, ReturnReason, ReturnRequest, limits};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::lease::{End, Lease, Leases};
use super::stop::Missing;
use crate::clock;
use crate::net::{Backoff, Major, Server};
use crate::shutdown::Shutdown;
use crate::telemetry::{Counters, event};

const WAITING: usize = 256;

/// Where leases are handed back.
pub(crate) struct Returns {
    sender: mpsc::Sender<(Arc<Lease>, ReturnReason)>,
    server: Arc<Server>,
    leases: Arc<Leases>,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

/// The other end.
pub(crate) struct Returning {
    returned: mpsc::Receiver<(Arc<Lease>, ReturnReason)>,
    server: Arc<Server>,
}

impl Returns {
    pub(crate) fn channel(
        server: Arc<Server>,
        leases: Arc<Leases>,
        counters: Arc<Counters>,
        shutdown: Shutdown,
    ) -> (Arc<Self>, Returning) {
        let (sender, returned) = mpsc::channel(WAITING);
        let returning = Returning { returned, server: Arc::clone(&server) };
        (Arc::new(Self { sender, server, leases, counters, shutdown }), returning)
    }

    /// Stops all work on a lease and hands it back, once its completions were answered.
    pub(crate) async fn hand_back(&self, lease: &Arc<Lease>, reason: ReturnReason) {
        lease.settled().await;
        if !self.leases.end(lease, End::Returned) {
            return;
        }
        self.counters.leases_returned.add(1);
        match reason {
            ReturnReason::Stalled => event!("returned stalled", upload = %lease.upload, run = lease.key.span),
            ReturnReason::ShuttingDown => {
                event!("returned shutting down", upload = %lease.upload, run = lease.key.span)
            }
            _ => event!("returned node fault", upload = %lease.upload, run = lease.key.span),
        }
        // It ends only when there is nobody left to hand anything back.
        let _ = self.sender.send((Arc::clone(lease), reason)).await;
    }

    /// Tells the server that nobody works on a cancelled lease any more. Where too many are on their way it is not told, and
    /// the lease, which is no longer reported, runs out.
    pub(crate) fn say_ended(&self, lease: Arc<Lease>) {
        // Of a cancelled one the reason does not matter.
        let _ = self.sender.try_send((lease, ReturnReason::ShuttingDown));
    }

    /// Says that storage lacks something, which ends the lease.
    pub(crate) async fn report_missing(&self, lease: &Arc<Lease>, what: Missing) {
        lease.settled().await;
        self.counters.objects_missing.add(1);
        let said = what.to_string();
        let (chunks, header) = match what {
            Missing::Header => (Vec::new(), true),
            Missing::Chunk { sequence, sha256 } => (vec![(sequence, sha256)], false),
        };
        let request = MissingRequest { node: self.server.node().to_owned(), lease: lease.key, chunks, header };
        let mut backoff = retries();
        while lease.ended().is_none() {
            match self.server.ask(&request, Duration::ZERO, Major::One).await {
                Ok(_) => {
                    event!("object missing", upload = %lease.upload, object = %said);
                    self.leases.end(lease, End::Returned);
                }
                Err(error) if error.is_transient() => tokio::select! {
                    () = backoff.wait() => {}
                    () = lease.over.cancelled() => {}
                    // Somebody else finds it missing, too.
                    () = self.shutdown.aborted() => return,
                },
                Err(error) => {
                    tracing::error!(upload = %lease.upload, "{said} is missing, which cannot be reported: {error}");
                    return self.hand_back(lease, ReturnReason::NodeFault).await;
                }
            }
        }
    }
}

impl Returning {
    /// Hands back until `finish` is cancelled and everything was said. What cannot be said in time expires by itself.
    pub(crate) async fn run(mut self, finish: CancellationToken) {
        let mut waiting: Vec<(Arc<Lease>, ReturnReason)> = Vec::new();
        let mut backoff = retries();
        loop {
            if waiting.is_empty() {
                tokio::select! {
                    biased;
                    next = self.returned.recv() => match next {
                        Some(next) => waiting.push(next),
                        // Nobody is left who could hand anything back.
                        None => return,
                    },
                    () = finish.cancelled() => match self.returned.try_recv() {
                        Ok(next) => waiting.push(next),
                        Err(_) => return,
                    },
                }
            }
            while waiting.len() < limits::MAX_LEASES_PER_REQUEST
                && let Ok(next) = self.returned.try_recv()
            {
                waiting.push(next);
            }
            let leases =
                waiting.iter().map(|(lease, reason)| LeaseReturn { lease: lease.key, reason: *reason }).collect();
            let request = ReturnRequest { node: self.server.node().to_owned(), leases };
            match self.server.ask(&request, Duration::ZERO, Major::One).await {
                Ok(_) => {
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
}

fn retries() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}
