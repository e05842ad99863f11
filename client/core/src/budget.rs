//! The byte budget: every large buffer of the pipeline is taken from it, and the same few are used again and again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Permits are counted in units of this many bytes.
const UNIT_BYTES: usize = 1 << 10;

/// From this size on buffers are kept for the next taker: the allocator would scatter them.
const KEPT_FROM_BYTES: usize = 1 << 20;

/// Memory that the pipeline may hold in buffers, in all.
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    total_units: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A buffer out of the budget. It goes back when it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Held for as long as the buffer is.
    _permit: OwnedSemaphorePermit,
    budget: Arc<Budget>,
}

impl Budget {
    pub(crate) fn new(total_bytes: usize) -> Arc<Self> {
        let total_units = total_bytes.div_ceil(UNIT_BYTES).max(1);
        Arc::new(Self { permits: Arc::new(Semaphore::new(total_units)), total_units, spare: Mutex::new(Vec::new()) })
    }

    /// Waits for two empty buffers with room for as many bytes. Both at once: two takers that each hold one and wait for
    /// another would wait for ever. Cancel safe.
    ///
    /// A pair above the whole budget is granted when nothing else is held.
    pub(crate) async fn pair(
        self: &Arc<Self>,
        first_bytes: usize,
        second_bytes: usize,
    ) -> Result<(Buffer, Buffer), Error> {
        let (first_bytes, second_bytes) = (room(first_bytes), room(second_bytes));
        let (first_units, second_units) = (first_bytes.div_ceil(UNIT_BYTES), second_bytes.div_ceil(UNIT_BYTES));
        let wanted = (first_units + second_units).min(self.total_units);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let mut permit = Arc::clone(&self.permits).acquire_many_owned(wanted).await.map_err(|_| Error::Stopped)?;
        let second_permit = permit.split(second_units.min(wanted as usize)).ok_or(Error::Stopped)?;
        Ok((self.buffer(first_bytes, permit), self.buffer(second_bytes, second_permit)))
    }

    fn buffer(self: &Arc<Self>, bytes: usize, permit: OwnedSemaphorePermit) -> Buffer {
        Buffer { bytes: self.take(bytes), _permit: permit, budget: Arc::clone(self) }
    }

    fn take(&self, bytes: usize) -> Vec<u8> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes >= KEPT_FROM_BYTES
            && let Some(position) = spare.iter().position(|buffer| buffer.capacity() >= bytes)
        {
            return spare.swap_remove(position);
        }
        // What is kept counts, too: all that is held may not go over the budget.
        let free = self.permits.available_permits() * UNIT_BYTES;
        let mut kept: usize = spare.iter().map(Vec::capacity).sum();
        while kept > free {
            let Some(buffer) = spare.pop() else { break };
            kept -= buffer.capacity();
        }
        drop(spare);
        Vec::with_capacity(bytes)
    }
}

/// Large buffers come in steps of a MiB, so that one serves the next taker, too.
fn room(bytes: usize) -> usize {
    if bytes < KEPT_FROM_BYTES { bytes } else { bytes.next_multiple_of(KEPT_FROM_BYTES) }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() >= KEPT_FROM_BYTES {
            bytes.clear();
            self.budget.spare.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_pair_waits_until_the_budget_allows_it_and_reuses_the_buffers() {
        let budget = Budget::new(32 << 20);
        let first = budget.pair(8 << 20, 8 << 20).await.unwrap();
        let second = budget.pair(8 << 20, 8 << 20).await.unwrap();
        let third = tokio::time::timeout(Duration::from_millis(20), budget.pair(8 << 20, 8 << 20)).await;
        assert!(third.is_err(), "went over the budget");
        let address = first.0.as_ptr();
        drop(first);
        let third = budget.pair(8 << 20, 8 << 20).await.unwrap();
        assert!(third.0.as_ptr() == address || third.1.as_ptr() == address);
        drop((second, third));
    }

    #[tokio::test]
    async fn a_pair_above_the_budget_is_granted_alone() {
        let budget = Budget::new(1 << 20);
        let pair = budget.pair(8 << 20, 9 << 20).await.unwrap();
        drop(pair);
        budget.pair(10, 10).await.unwrap();
    }

    #[tokio::test]
    async fn kept_buffers_make_room_for_others() {
        let budget = Budget::new(8 << 20);
        drop(budget.pair(4 << 20, 4 << 20).await.unwrap());
        let small: Vec<_> = {
            let mut small = Vec::new();
            for _ in 0..8 {
                small.push(budget.pair(500 << 10, 500 << 10).await.unwrap());
            }
            small
        };
        let kept: usize = budget.spare.lock().unwrap().iter().map(Vec::capacity).sum();
        assert!(kept <= 1 << 20, "{kept}");
        drop(small);
    }
}
