//! What all jobs of a leased span share.

use std::sync::Arc;

use filemill_runtime::Run;
use filemill_seal::Digest;

use crate::input::Upload;
use crate::leases::Lease;
use crate::releases::Ready;
use crate::results::SpanResults;

/// The attempt at which it is final that a processor cannot run a job. Before, another processor may get it.
pub(super) const FINAL_ATTEMPT: u32 = 3;

/// What all jobs of a leased span share.
pub(crate) struct SpanContext {
    pub(crate) lease: Arc<Lease>,
    pub(crate) upload: Arc<Upload>,
    pub(crate) release_digest: Digest,
    pub(crate) ready: Arc<Ready>,
    /// What came of its jobs.
    pub(crate) results: Arc<SpanResults>,
}

impl SpanContext {
    /// Whether a job that this host failed is handed back, rather than ended for good.
    pub(super) fn is_for_another(&self, run: &Run) -> bool {
        run.outcome().retryable() && self.lease.span.attempt < FINAL_ATTEMPT
    }
}
