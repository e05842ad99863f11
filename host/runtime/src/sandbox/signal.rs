//! Something that happens once, and whoever waits for it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    given: bool,
    /// Of those that wait now: a guest may begin to wait and give up as often as it likes.
    waiting: HashMap<u64, Waker>,
    next: u64,
}

impl Signal {
    /// Lets all go on who wait, now and later.
    pub(crate) fn give(&self) {
        let mut state = self.lock();
        state.given = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Waits until it was given. May be dropped at any time, and leaves nothing behind.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait { signal: self, waiting_as: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Signal::wait`].
pub(crate) struct Wait<'a> {
    signal: &'a Signal,
    /// Where its waker is, once it was polled in vain.
    waiting_as: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.signal.lock();
        if state.given {
            return Poll::Ready(());
        }
        let place = self.waiting_as.unwrap_or(state.next);
        state.next = state.next.max(place + 1);
        state.waiting.insert(place, context.waker().clone());
        drop(state);
        self.waiting_as = Some(place);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.waiting_as {
            self.signal.lock().waiting.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn who_gives_up_waiting_is_forgotten_and_who_waits_is_told() {
        let signal = Signal::default();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            let mut wait = pin!(signal.wait());
            assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
            assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
        }
        assert_eq!(signal.lock().waiting.len(), 0);

        let mut wait = pin!(signal.wait());
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
        signal.give();
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(()));
        assert_eq!(pin!(signal.wait()).poll(&mut context), Poll::Ready(()));
    }
}
