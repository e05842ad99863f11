//! Places for files that are streamed, and who waits for one.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::waiting::Waiting;

/// Files streamed at once.
pub(crate) struct Streaming {
    places: Semaphore,
    /// Files that are stored to their end and wait for a place.
    complete_waiting: AtomicUsize,
}

impl Streaming {
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Semaphore::new(places), complete_waiting: AtomicUsize::new(0) }
    }

    /// A place, if there is one.
    pub(crate) fn try_place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Waits for a place. A file that is `complete` makes those that are not give way soon. Cancel safe.
    pub(crate) async fn place(&self, complete: bool) -> SemaphorePermit<'_> {
        let _waiting = complete.then(|| Waiting::new(&self.complete_waiting));
        self.places.acquire().await.expect("the semaphore is never closed")
    }

    /// Whether a file waits that could be streamed without a pause.
    pub(crate) fn complete_waits(&self) -> bool {
        self.complete_waiting.load(Ordering::SeqCst) > 0
    }
}
