//! What nodes say about their leases, many in one statement.

use std::sync::Arc;

use filemill_api::limits::MAX_LEASES_PER_REQUEST;
use filemill_api::{ErrorBody, ReportAnswer, ReportRequest};

use super::batch::ReportAsk;
use super::coalesce;
use super::handle::Queue;
use crate::refusal::{check_node, too_many};

impl Queue {
    /// Records which jobs are about to run and how far the leases are, and prolongs them all. A started job is a
    /// suspect if its node dies. An index that is not in the lease is ignored.
    ///
    /// # Errors
    /// `bad_request`; `unavailable`: of too many leases of the pool reports wait to be written; those of the database. Leases that are
    /// not held in the caller's `own` pool are answered as lost.
    pub async fn report(&self, own: &str, request: ReportRequest) -> Result<ReportAnswer, ErrorBody> {
        check_node(&request.node)?;
        if request.leases.len() > MAX_LEASES_PER_REQUEST {
            return Err(too_many("leases", MAX_LEASES_PER_REQUEST));
        }
        let mut answer = ReportAnswer { lease_ms: self.core().lease_ms(), ..ReportAnswer::default() };
        if request.leases.is_empty() {
            return Ok(answer);
        }
        self.core().catalog.spoke(own, &request.node);
        let pool: Arc<str> = own.into();
        let leases: Vec<_> = request.leases.iter().map(|report| report.lease).collect();
        let asks = request.leases.iter().map(|report| ReportAsk::new(&pool, report)).collect();
        drop(request.leases);
        let held = self.inner.reporting.ask(coalesce::owner_of_node(own, &request.node), asks).await?;
        for (lease, held) in leases.into_iter().zip(held) {
            match held {
                Some(true) => answer.cancelled.push(lease),
                Some(false) => {}
                None => answer.lost.push(lease),
            }
        }
        Ok(answer)
    }
}
