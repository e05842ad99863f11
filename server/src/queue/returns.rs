//! What nodes hand back, and what they say is missing.

use filemill_api::limits::{MAX_LEASES_PER_REQUEST, MAX_WANTED_CHUNKS};
use filemill_api::{ErrorBody, MissingRequest, ReportAnswer, ReturnRequest};

use super::handle::Queue;
use super::requeue::Why;
use crate::refusal::{bad_request, check_node, from_store, is_hex, shown, too_many};
use crate::retry::retried;

impl Queue {
    /// Hands leases back: their jobs wait for another node, without blame. A stalled one waits until it is complete.
    ///
    /// # Errors
    /// `bad_request`, and those of the database. Leases that are not held in the caller's `own` pool are answered as lost.
    pub async fn give_back(&self, own: &str, request: ReturnRequest) -> Result<ReportAnswer, ErrorBody> {
        if request.leases.len() > MAX_LEASES_PER_REQUEST {
            return Err(too_many("leases", MAX_LEASES_PER_REQUEST));
        }
        check_node(&request.node)?;
        let leases: Vec<_> = request.leases.into_iter().map(|back| (back.lease, Why::Returned(back.reason))).collect();
        let _turn = self.core().catalog.may_write(own).await;
        let lost =
            retried(|| self.core().requeue(own, &leases)).await.map_err(|error| from_store("return leases", &error))?;
        Ok(ReportAnswer { cancelled: Vec::new(), lost, lease_ms: self.core().lease_ms() })
    }

    /// Chunks, or the header, that were said to be stored are not there, or not what was said: the uploader is asked for
    /// them, and the lease ends. A chunk that was stored anew meanwhile is left alone.
    ///
    /// # Errors
    /// `bad_request`, and those of the database. A lease that is not held in the caller's `own` pool is answered as lost.
    pub async fn missing(&self, own: &str, request: MissingRequest) -> Result<ReportAnswer, ErrorBody> {
        check_node(&request.node)?;
        if request.chunks.len() > MAX_WANTED_CHUNKS {
            return Err(too_many("missing chunks", MAX_WANTED_CHUNKS));
        }
        if let Some((sequence, sha256)) = request.chunks.iter().find(|(_, sha256)| !is_hex(sha256, 64)) {
            return Err(bad_request(format!(
                "sha256 `{}` of chunk {sequence} is not 64 lower-case hex characters",
                shown(sha256)
            )));
        }
        let _turn = self.core().catalog.may_write(own).await;
        let held = retried(|| self.core().missing(own, &request))
            .await
            .map_err(|error| from_store("missing chunks", &error))?;
        let lost = if held { Vec::new() } else { vec![request.lease] };
        Ok(ReportAnswer { cancelled: Vec::new(), lost, lease_ms: self.core().lease_ms() })
    }
}
