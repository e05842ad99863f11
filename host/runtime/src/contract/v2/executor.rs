//! Runs one future on the thread that asks for it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::sandbox::{Patience, Stop};

/// How often a run that waits for nothing looks at its clocks.
const LOOK: Duration = Duration::from_millis(5);

/// Runs `future` to its end, or until `patience` is over while it waits. (While its guest runs, the epoch ends it.)
pub(super) fn block_on<F: Future>(future: F, patience: &Patience) -> Result<F::Output, Stop> {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm { thread: thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        while !alarm.rung.swap(false, Ordering::Acquire) {
            thread::park_timeout(LOOK);
            patience.check()?;
        }
    }
}

/// Says that the future can go on.
struct Alarm {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
