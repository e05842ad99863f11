//! Something that happens once, and whoever waits for it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    given: bool,
    waiting: Vec<Waker>,
}

impl Signal {
    /// Lets all go on who wait, now and later.
    pub(crate) fn give(&self) {
        let mut state = self.lock();
        state.given = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until it was given.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.given {
                return Poll::Ready(());
            }
            // One for each time that it was polled in vain: as many as there are calls of the guest, which are counted.
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
