//! How the work on a lease ends, beside its results.

use std::sync::Arc;

use filemill_api::ReturnReason;

use crate::leases::{Cooldown, Lease, Returns, Stop};

/// What tells the server.
pub(crate) struct Conclusion {
    pub(crate) returns: Arc<Returns>,
    pub(crate) cooldown: Arc<Cooldown>,
}

impl Conclusion {
    /// Tells the server what a span came to beside its results.
    pub(super) async fn conclude(&self, lease: &Arc<Lease>, ended: Result<(), Stop>) {
        let (upload, run) = (&lease.upload, lease.key.span);
        match ended {
            Ok(()) => {
                lease.settled().await;
                // The server does not count as many jobs as we have run: it may go on without us.
                let reason = if lease.lacks_storage() { ReturnReason::Stalled } else { ReturnReason::NodeFault };
                self.returns.hand_back(lease, reason).await;
            }
            Err(Stop::Over) => {}
            Err(Stop::Stalled) => {
                tracing::info!(upload, run, "handed back: no new chunk came in time");
                self.returns.hand_back(lease, ReturnReason::Stalled).await;
            }
            Err(Stop::Away(why)) => {
                tracing::warn!(upload, run, "handed back: {why}");
                self.cooldown.fault();
                // As where an uploader stalls, what it needs does not come; that says nothing of its jobs, however often it is said.
                self.returns.hand_back(lease, ReturnReason::Stalled).await;
            }
            Err(Stop::ShuttingDown) => self.returns.hand_back(lease, ReturnReason::ShuttingDown).await,
            Err(Stop::Fault(why) | Stop::Refused(why)) => {
                tracing::warn!(upload, run, "handed back: {why}");
                self.cooldown.fault();
                self.returns.hand_back(lease, ReturnReason::NodeFault).await;
            }
            Err(Stop::Unfit(why)) => {
                tracing::warn!(upload, run, "handed back: {why}");
                self.returns.hand_back(lease, ReturnReason::NodeFault).await;
            }
            Err(Stop::Missing { what, why }) => {
                tracing::warn!(upload, run, "{what} is missing: {why}");
                self.returns.report_missing(lease, what).await;
            }
        }
    }
}
