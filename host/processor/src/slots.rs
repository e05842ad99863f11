//! Which job runs next, and on how many threads at once.
//!
//! There are more threads than slots: a run that waits for its input gives its slot to another and takes one again when
//! bytes have come, so that a slow uploader costs memory, not a slot.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The queue of jobs, and the slots they run in.
pub(crate) struct Slots<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    slots: usize,
}

struct State<J> {
    queue: VecDeque<Batch<J>>,
    /// Jobs that run, without those that wait for their input.
    running: usize,
    /// Jobs on a thread.
    occupied: usize,
    /// A job runs that must have nothing beside it.
    alone: bool,
    closed: bool,
}

struct Batch<J> {
    jobs: VecDeque<J>,
    alone: bool,
    ended: Arc<Ended>,
}

/// Dropped with the last job of its batch.
struct Ended(#[expect(dead_code, reason = "its end is the message")] oneshot::Sender<std::convert::Infallible>);

/// Resolves when every job of a batch was run or dropped.
pub(crate) struct BatchEnd(oneshot::Receiver<std::convert::Infallible>);

/// A job with a slot to run in.
pub(crate) struct Turn<'a, J> {
    pub(crate) job: J,
    pub(crate) slot: Slot<'a, J>,
}

/// A slot in use, until it is dropped.
pub(crate) struct Slot<'a, J> {
    slots: &'a Slots<J>,
    alone: bool,
    _ended: Arc<Ended>,
}

/// What can be asked of slots without knowing their jobs.
pub(crate) trait AloneNext: Send + Sync + 'static {
    /// Whether a job waits until everything else has ended.
    fn is_alone_next(&self) -> bool;
}

impl<J: Send + 'static> AloneNext for Slots<J> {
    fn is_alone_next(&self) -> bool {
        let state = self.lock();
        !state.alone && state.queue.front().is_some_and(|batch| batch.alone)
    }
}

impl<J> Slots<J> {
    pub(crate) fn new(slots: usize) -> Self {
        let state = State { queue: VecDeque::new(), running: 0, occupied: 0, alone: false, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), slots }
    }

    /// Queues jobs; with `alone` each of them runs with nothing beside it. After [`close`](Self::close) they are dropped.
    pub(crate) fn push(&self, jobs: impl IntoIterator<Item = J>, alone: bool) -> BatchEnd {
        let (sender, receiver) = oneshot::channel();
        let batch = Batch { jobs: jobs.into_iter().collect(), alone, ended: Arc::new(Ended(sender)) };
        let mut state = self.lock();
        if !state.closed && !batch.jobs.is_empty() {
            state.queue.push_back(batch);
            self.changed.notify_all();
        }
        BatchEnd(receiver)
    }

    /// Waits for a job and a slot; `None` once the queue is closed. Blocks.
    pub(crate) fn next(&self) -> Option<Turn<'_, J>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((job, alone, ended)) = state.pop(self.slots) {
                state.running += 1;
                state.occupied += 1;
                state.alone = alone;
                return Some(Turn { job, slot: Slot { slots: self, alone, _ended: ended } });
            }
            state = self.wait(state);
        }
    }

    /// Runs `wait`, which blocks for input, without a slot.
    pub(crate) fn without_slot<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.lock().running -= 1;
        self.changed.notify_all();
        let value = wait();
        let mut state = self.lock();
        while state.running >= self.slots {
            state = self.wait(state);
        }
        state.running += 1;
        value
    }

    /// Drops the queued jobs and takes no more. Those that run go on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        self.changed.notify_all();
        drop(dropped);
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    fn pop(&mut self, slots: usize) -> Option<(J, bool, Arc<Ended>)> {
        if self.alone || self.running >= slots {
            return None;
        }
        let batch = self.queue.front_mut()?;
        // Whoever must be alone also holds up those behind it, or it would never be.
        if batch.alone && self.occupied > 0 {
            return None;
        }
        let taken = batch.jobs.pop_front().map(|job| (job, batch.alone, Arc::clone(&batch.ended)));
        if batch.jobs.is_empty() {
            self.queue.pop_front();
        }
        taken
    }
}

impl<J> Drop for Slot<'_, J> {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.running -= 1;
        state.occupied -= 1;
        if self.alone {
            state.alone = false;
        }
        drop(state);
        self.slots.changed.notify_all();
    }
}

impl BatchEnd {
    /// Waits for it. Cancel safe.
    pub(crate) async fn wait(self) {
        // Nothing is ever sent: the sender is dropped.
        let _ = self.0.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_must_be_alone_waits_and_holds_up_the_rest() {
        let slots = Slots::new(2);
        let _first = slots.push([1], false);
        let _alone = slots.push([2], true);
        let _last = slots.push([3], false);
        let first = slots.next().expect("a job");
        assert!(slots.is_alone_next());
        assert!(slots.lock().pop(2).is_none());
        drop(first);
        let alone = slots.next().expect("the alone job");
        assert_eq!(alone.job, 2);
        assert!(slots.lock().pop(2).is_none());
        drop(alone);
        assert_eq!(slots.next().expect("the last").job, 3);
    }

    #[test]
    fn waiting_for_input_frees_the_slot() {
        let slots = Slots::new(1);
        let _batch = slots.push([1, 2], false);
        let first = slots.next().expect("a job");
        assert!(slots.lock().pop(1).is_none());
        let second = slots.without_slot(|| {
            let second = slots.next().expect("the slot was free");
            let job = second.job;
            drop(second);
            job
        });
        assert_eq!((first.job, second), (1, 2));
    }

    #[tokio::test]
    async fn a_batch_ends_when_its_jobs_ran_or_were_dropped() {
        let slots = Slots::new(1);
        let (ran, dropped) = (slots.push([1], false), slots.push([2], false));
        drop(slots.next().expect("a job"));
        ran.wait().await;
        slots.close();
        dropped.wait().await;
        slots.push([3], false).wait().await;
        assert!(slots.next().is_none());
    }
}
