//! How many jobs a node has in hand, which is what it asks for more by.

use std::sync::atomic::{AtomicUsize, Ordering};

use filemill_api::limits;
use tokio::sync::Notify;

/// The most jobs that wait for their release and are not counted as in hand.
pub(super) const ASIDE_MAX: usize = limits::MAX_LEASED_JOBS as usize;

/// How many jobs are leased and not yet run.
#[derive(Default)]
pub(super) struct InHand {
    jobs: AtomicUsize,
    /// Jobs that are leased beside these and wait for their release.
    aside: AtomicUsize,
    wake_below: AtomicUsize,
    fewer: Notify,
}

impl InHand {
    pub(super) fn add(&self, jobs: u32) {
        self.jobs.fetch_add(jobs as usize, Ordering::SeqCst);
    }

    pub(super) fn remove(&self, jobs: u32) {
        let before = self.jobs.fetch_sub(jobs as usize, Ordering::SeqCst);
        if before - (jobs as usize) < self.wake_below.load(Ordering::SeqCst) {
            self.fewer.notify_one();
        }
    }

    pub(super) fn jobs(&self) -> usize {
        self.jobs.load(Ordering::SeqCst)
    }

    /// Waits until fewer than `jobs` are in hand. Cancel safe.
    pub(super) async fn below(&self, jobs: usize) {
        self.wake_below.store(jobs, Ordering::SeqCst);
        while self.jobs() >= jobs {
            self.fewer.notified().await;
        }
        self.wake_below.store(0, Ordering::SeqCst);
    }

    /// Sets `jobs` aside, unless there are too many such; says whether it did.
    pub(super) fn set_aside(&self, jobs: u32) -> bool {
        let room = |aside: usize| Some(aside + jobs as usize).filter(|aside| *aside <= ASIDE_MAX);
        let is_aside = self.aside.try_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if is_aside {
            self.remove(jobs);
        }
        is_aside
    }

    /// Takes `jobs` back that were set aside.
    pub(super) fn take_back(&self, jobs: u32) {
        self.forget_aside(jobs);
        self.add(jobs);
    }

    /// `jobs` that were set aside are in nobody's hand any more.
    pub(super) fn forget_aside(&self, jobs: u32) {
        self.aside.fetch_sub(jobs as usize, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn aside(&self) -> usize {
        self.aside.load(Ordering::Relaxed)
    }
}
