//! Pauses between leases while this node and the server disagree about what time it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::net::{Backoff, Comparison};

/// How often the clocks are compared meanwhile.
pub(crate) const COMPARED_EVERY: Duration = Duration::from_secs(5);

/// A job whose time is over by one clock only is handed back. The same node would be given it again, and the server counts how often
/// that happens: the node asks for no work until the clocks agree, or until a pause is over that grows.
pub(crate) struct Disputes(Mutex<Pause>);

struct Pause {
    backoff: Backoff,
    /// On [`clock::now`].
    until: Duration,
}

impl Disputes {
    pub(crate) fn new() -> Self {
        let backoff = Backoff::new(Duration::from_secs(20), Duration::from_secs(3600));
        Self(Mutex::new(Pause { backoff, until: Duration::ZERO }))
    }

    /// A lease was handed back because the clocks disagree.
    pub(crate) fn dispute(&self) {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        // Leases that are handed back together count once.
        if now >= pause.until {
            pause.until = now + pause.backoff.delay();
        }
    }

    /// How long to wait before the next lease, as the clocks compare now.
    pub(crate) fn pause(&self, comparison: Comparison) -> Duration {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if comparison == Comparison::Close {
            pause.until = Duration::ZERO;
            pause.backoff.reset();
        }
        pause.until.saturating_sub(clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_leases_again_as_soon_as_the_clocks_agree() {
        let disputes = Disputes::new();
        assert_eq!(disputes.pause(Comparison::Apart(700_000)), Duration::ZERO, "nothing was disputed");
        disputes.dispute();
        assert!(disputes.pause(Comparison::Apart(700_000)) > COMPARED_EVERY);
        assert_eq!(disputes.pause(Comparison::Close), Duration::ZERO);
        assert_eq!(disputes.pause(Comparison::Apart(700_000)), Duration::ZERO);
    }
}
