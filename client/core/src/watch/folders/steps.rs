//! Looks that go on, a step at a time.

use std::time::{Duration, Instant};

#[cfg(test)]
use crate::walk::Root;
use crate::walk::Walk;
use crate::watch::pace::Pace;

/// A look through all of a root.
pub(super) struct Whole {
    pub(super) walk: Walk,
    pub(super) begun: Instant,
    /// What it took, without what others took meanwhile.
    pub(super) took: Duration,
    /// It is done in small steps.
    pub(super) is_rare: bool,
    pub(super) was_closed: bool,
    pub(super) pace: Pace,
    /// It pauses until then.
    pub(super) goes_on_at: Instant,
}

/// A look through a folder of a root.
pub(super) struct Part {
    pub(super) walk: Walk,
    pub(super) is_closed: bool,
}

#[cfg(test)]
impl Whole {
    /// Whether it pauses after a step.
    pub(super) fn pauses(&self) -> bool {
        self.goes_on_at > self.begun
    }

    /// One that is at its end, and took so long.
    pub(super) fn ended(root: &Root, took: Duration) -> Self {
        let begun = Instant::now();
        let (is_rare, was_closed) = (false, false);
        Self { walk: Walk::new(root), begun, took, is_rare, was_closed, pace: Pace::new(), goes_on_at: begun }
    }
}
