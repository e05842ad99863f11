//! The two steps in which a node ends.

use tokio_util::sync::CancellationToken;

/// Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
    /// Nothing new is begun.
    drain: CancellationToken,
    /// What still runs is given up.
    abort: CancellationToken,
}

/// Nothing new is begun any more.
pub(crate) struct Draining;

impl Shutdown {
    /// From now on nothing new is begun.
    pub(crate) fn drain(&self) {
        self.drain.cancel();
    }

    /// From now on what still runs is given up.
    pub(crate) fn abort(&self) {
        self.abort.cancel();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until what still runs is given up. Cancel safe.
    pub(crate) async fn aborted(&self) {
        self.abort.cancelled().await;
    }

    /// What comes of `beginning`, unless nothing new is to be begun.
    pub(crate) async fn unless_draining<T>(&self, beginning: impl Future<Output = T>) -> Result<T, Draining> {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(Draining),
            begun = beginning => Ok(begun),
        }
    }
}
