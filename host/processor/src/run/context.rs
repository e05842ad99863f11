//! What all jobs of a leased span share.

use std::sync::Arc;

use filemill_runtime::Run;
use filemill_seal::Digest;

use crate::input::Upload;
use crate::leases::Lease;
use crate::releases::Ready;
use crate::results::About;

/// The attempt at which it is final that a processor cannot run a job. Before, another processor may get it.
pub(super) const FINAL_ATTEMPT: u32 = 3;

/// What all jobs of a leased span share.
pub(crate) struct SpanContext {
    pub(crate) lease: Arc<Lease>,
    pub(crate) upload: Arc<Upload>,
    pub(crate) release_digest: Digest,
    pub(crate) ready: Arc<Ready>,
}

impl SpanContext {
    /// What their results belong to.
    pub(super) fn about(&self) -> About {
        let (lease, upload) = (Arc::clone(&self.lease), Arc::clone(&self.upload));
        let description = Some(self.ready.described.digest);
        About { lease, upload, release: Some(self.release_digest), description }
    }

    /// Whether a job that this host failed is handed back, rather than ended for good.
    pub(super) fn is_for_another(&self, run: &Run) -> bool {
        run.outcome().retryable() && self.lease.run.attempt < FINAL_ATTEMPT
    }
}
