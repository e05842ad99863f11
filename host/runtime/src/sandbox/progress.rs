//! Progress, as often as anyone can watch it.

use std::time::{Duration, Instant};

use crate::backend::Observer;

const INTERVAL: Duration = Duration::from_millis(100);

/// Passes a guest's progress on where it is news.
pub(crate) struct Progress {
    observer: Box<dyn Observer>,
    passed: u16,
    passed_at: Option<Instant>,
}

impl Progress {
    pub(super) fn new(observer: Box<dyn Observer>) -> Self {
        Self { observer, passed: 0, passed_at: None }
    }

    /// The guest says that it is this far; more than 1000 counts as 1000.
    pub(crate) fn set(&mut self, per_mille: u32) {
        let per_mille = u16::try_from(per_mille.min(1000)).unwrap_or(1000);
        if per_mille <= self.passed {
            return;
        }
        let now = Instant::now();
        if self.passed_at.is_some_and(|at| now - at < INTERVAL) {
            return;
        }
        self.passed = per_mille;
        self.passed_at = Some(now);
        self.observer.progress(per_mille);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_flood_of_progress_reaches_the_observer_once() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let mut progress = Progress::new(Box::new(move |per_mille| {
            sink.lock().expect("not poisoned").push(per_mille);
        }));
        progress.set(0);
        progress.set(u32::MAX);
        for _ in 0..1000 {
            progress.set(3);
        }
        assert_eq!(*seen.lock().expect("not poisoned"), [1000]);
    }
}
