//! Slots for compilers: few compile at once, and none that takes long is in the way of the others.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::waiting::Waiting;

/// How long a compiler may keep a slot that others may be waiting for. An engine of some 100 kB takes less.
const SWIFT: Duration = Duration::from_millis(500);

/// The slots. A compiler takes every core and up to some gigabytes, so that there are half as many as cores, and as many
/// places and one more for those that turned out to take long; but no more, two apart, than the machine has memory for.
pub(crate) struct CompileSlots {
    swift: Arc<Semaphore>,
    long: Arc<Semaphore>,
    /// Whoever waits for a swift slot.
    waiting: AtomicUsize,
}

/// One of them, until it is dropped.
pub(crate) struct CompileSlot(
    #[expect(dead_code, reason = "it is given back when it is dropped")] OwnedSemaphorePermit,
);

impl CompileSlots {
    pub(crate) fn new(cores: usize, in_memory: usize) -> Self {
        let swift = (cores / 2).min(in_memory / 2).max(1);
        let long = (swift + 1).min(in_memory.saturating_sub(swift)).max(1);
        Self {
            swift: Arc::new(Semaphore::new(swift)),
            long: Arc::new(Semaphore::new(long)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a slot; with `long`, for one of those that are in nobody's way. Cancel safe.
    pub(crate) async fn take(&self, long: bool) -> CompileSlot {
        if long {
            return take(&self.long).await;
        }
        let _waiting = Waiting::new(&self.waiting);
        take(&self.swift).await
    }

    /// Waits for `work`, which a swift `slot` was taken for. Where that takes long, the slot passes to the next as soon as there
    /// is another place for this one; where there is none and others wait, `call_off` is to make the work end.
    pub(crate) async fn attend<T>(
        &self,
        slot: CompileSlot,
        work: impl Future<Output = T>,
        call_off: impl FnOnce(),
    ) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(SWIFT) => {}
        }
        let mut place = pin!(self.take(true));
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                place = &mut place => {
                    drop(slot);
                    let done = work.await;
                    drop(place);
                    return done;
                }
                () = tokio::time::sleep(SWIFT) => {}
            }
            if self.waiting.load(Ordering::SeqCst) > 0 {
                break;
            }
        }
        call_off();
        // The slot is free when the compiler has ended.
        work.await
    }
}

async fn take(from: &Arc<Semaphore>) -> CompileSlot {
    CompileSlot(Arc::clone(from).acquire_owned().await.expect("the semaphores are never closed"))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn whoever_takes_long_makes_room_for_the_next() {
        let slots = Arc::new(CompileSlots::new(2, 8));
        let (first, second) = (Arc::clone(&slots), Arc::clone(&slots));
        let bombs = [first, second].map(|slots| {
            tokio::spawn(async move {
                let slot = slots.take(false).await;
                slots.attend(slot, pending::<()>(), || {}).await;
            })
        });
        for bomb in 0..2 {
            while slots.long.available_permits() > 1 - bomb {
                tokio::task::yield_now().await;
            }
        }
        timeout(10 * SWIFT, slots.take(false)).await.expect("two that never end are in nobody's way");
        bombs.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn where_there_is_no_room_whoever_takes_long_is_called_off_for_the_next() {
        let slots = Arc::new(CompileSlots::new(2, 8));
        let _long = [slots.take(true).await, slots.take(true).await];
        let bomb = Arc::clone(&slots);
        let bomb = tokio::spawn(async move {
            let (called_off, hear) = tokio::sync::oneshot::channel();
            let slot = bomb.take(false).await;
            bomb.attend(slot, hear, || called_off.send(()).expect("it is waited for")).await
        });
        while slots.swift.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(3 * SWIFT).await;
        assert!(!bomb.is_finished(), "nobody waits");
        timeout(10 * SWIFT, slots.take(false)).await.expect("it was called off");
        bomb.await.expect("no panic").expect("it was called off");
    }

    #[test]
    fn a_small_machine_compiles_one_swift_and_one_long() {
        let machines = [(2, 8, (1, 2)), (64, 8, (4, 4)), (64, 3, (1, 2)), (64, 0, (1, 1)), (1, 8, (1, 2))];
        for (cores, in_memory, expected) in machines {
            let slots = CompileSlots::new(cores, in_memory);
            let slots = (slots.swift.available_permits(), slots.long.available_permits());
            assert_eq!(slots, expected, "{cores} {in_memory}");
        }
    }

    #[tokio::test]
    async fn no_more_than_half_the_cores_and_the_long_ones_compile() {
        let slots = CompileSlots::new(4, 8);
        let (_one, _two) = (slots.take(false).await, slots.take(false).await);
        assert_eq!(slots.swift.available_permits(), 0);
        let _long = [slots.take(true).await, slots.take(true).await, slots.take(true).await];
        assert_eq!(slots.long.available_permits(), 0);
    }
}
