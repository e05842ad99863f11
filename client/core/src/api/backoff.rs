//! How long to wait before the next attempt.

use std::time::Duration;

use filemill_transport::Backoff;

/// The longest pause before the second attempt, and before any.
const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(10);

/// The pauses between attempts, of whatever is asked.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(FIRST, MOST)
}
