//! Pauses between leases while this node has a fault of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::net::Backoff;

/// A node that hands everything back at once would lease it again at once: it waits, longer each time, until a job of
/// its own gets through.
pub(crate) struct Cooldown(Mutex<Pause>);

struct Pause {
    backoff: Backoff,
    /// On [`clock::now`].
    until: Duration,
}

impl Cooldown {
    pub(crate) fn new() -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        Self(Mutex::new(Pause { backoff, until: Duration::ZERO }))
    }

    /// A lease was handed back for this node's own fault.
    pub(crate) fn fault(&self) {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        // Leases that fail together count once.
        if now >= pause.until {
            pause.until = now + pause.backoff.delay();
        }
    }

    /// A job got through.
    pub(crate) fn healthy(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).backoff.reset();
    }

    /// How long to wait before the next lease.
    pub(crate) fn pause(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).until.saturating_sub(clock::now())
    }
}
