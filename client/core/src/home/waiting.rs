//! How other programs of a home are waited for.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;

/// How other programs of a home are waited for.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) stop: CancellationToken,
    pub(super) tell: Arc<dyn Fn(&Path) + Send + Sync>,
    pub(super) told: Arc<AtomicBool>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("stop", &self.stop).finish_non_exhaustive()
    }
}
