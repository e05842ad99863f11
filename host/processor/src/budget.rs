//! The byte budget: what chunks may hold at once, sealed and opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::waiting::Waiting;

/// Bytes are counted in KiB: a semaphore's permits fit 32 bits.
const UNIT_BYTES: usize = 1 << 10;

/// Bytes to hold. First come, first served, so that a large wish is not starved by small ones.
#[derive(Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total_units: u32,
    waiting: AtomicUsize,
}

/// A part of the budget; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let total_units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        let units = Arc::new(Semaphore::new(total_units as usize));
        Self { units, total_units, waiting: AtomicUsize::new(0) }
    }

    /// The whole budget, in bytes.
    pub(crate) fn total_bytes(&self) -> usize {
        self.total_units as usize * UNIT_BYTES
    }

    /// Whether somebody waits: then nothing is kept only because it may be of use again.
    pub(crate) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Takes `bytes`, waiting for them; `make_room` is called where they are not free, to give up what is idle.
    ///
    /// More than the whole budget counts as the whole: such a chunk is worked on alone. Cancel safe.
    pub(crate) async fn take(&self, bytes: usize, make_room: impl Fn() -> bool) -> Held {
        let units = self.units_for(bytes);
        let waiting = Waiting::new(&self.waiting);
        // Announced before this looks for idle ones: what becomes idle from here on is not kept.
        loop {
            if let Ok(permit) = Arc::clone(&self.units).try_acquire_many_owned(units) {
                return Held(permit);
            }
            if !make_room() {
                break;
            }
        }
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        drop(waiting);
        Held(permit.expect("the budget's semaphore is never closed"))
    }

    fn units_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.total_units)
    }
}

impl Held {
    /// Gives back what is over `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let keep = bytes.div_ceil(UNIT_BYTES).max(1);
        if let Some(over) = self.0.num_permits().checked_sub(keep) {
            drop(self.0.split(over));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_more_than_everything_waits_for_everything() {
        let budget = Budget::new(8 << 10);
        let mut small = budget.take(3000, || false).await;
        let all = budget.take(1 << 30, || false);
        tokio::pin!(all);
        assert!(futures::poll!(&mut all).is_pending());
        assert!(budget.is_short());
        small.shrink_to(1);
        assert!(futures::poll!(&mut all).is_pending());
        drop(small);
        assert!(futures::poll!(&mut all).is_ready());
        assert!(!budget.is_short());
    }

    #[tokio::test]
    async fn room_is_made_before_anybody_waits() {
        let budget = Budget::new(8 << 10);
        let idle = std::cell::RefCell::new(vec![budget.take(4096, || false).await, budget.take(4096, || false).await]);
        let _held = budget.take(4096, || idle.borrow_mut().pop().is_some()).await;
        assert_eq!(idle.borrow().len(), 1);
    }
}
