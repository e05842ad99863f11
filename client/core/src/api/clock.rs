//! How far this machine's clock is from the server's, by the header `Date` of its answers.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap};

/// Clocks that differ by more are not those of machines that are kept in time.
const APART_SECONDS: i64 = 300;
/// A `Date` has whole seconds, and may be one old when it is sent.
const DATE_SECONDS: i64 = 2;
/// If the wall clock went so much further than time did, it was set meanwhile.
const SET_SECONDS: i64 = 2;

/// The difference that the last answer showed.
#[derive(Debug, Default)]
pub(crate) struct ServerClock(AtomicI64);

/// When a request was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    wall: i64,
    at: Instant,
}

impl Asked {
    pub(super) fn now() -> Self {
        Self { wall: wall(), at: Instant::now() }
    }
}

impl ServerClock {
    /// The answer to a request has these headers.
    pub(super) fn learn(&self, asked: Asked, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(filemill_api::unix_seconds_of);
        if let Some(ahead) = date.and_then(|date| difference(asked, wall(), asked.at.elapsed(), date)) {
            self.0.store(ahead, Ordering::Relaxed);
        }
    }

    /// By how many seconds this machine's clock is ahead of the server's, less than 0 where it is behind. `None`: by minutes at
    /// most, or it is not known.
    pub(crate) fn ahead(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ahead| *ahead != 0)
    }
}

/// 0 for clocks that are close; `None` if nothing can be said.
fn difference(asked: Asked, wall: i64, passed: Duration, date: i64) -> Option<i64> {
    let passed = i64::try_from(passed.as_secs()).ok()?;
    if (wall - asked.wall - passed).abs() > SET_SECONDS {
        return None;
    }
    // It was said at some moment between.
    let (ahead, behind) = (asked.wall.saturating_sub(date + DATE_SECONDS), date.saturating_sub(wall));
    Some(match () {
        () if ahead > APART_SECONDS => ahead,
        () if behind > APART_SECONDS => -behind,
        () => 0,
    })
}

fn wall() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn clocks_that_differ_by_more_than_minutes_are_noticed() {
        let asked = |wall| Asked { wall, at: Instant::now() };
        let at_once = |wall| difference(asked(wall), wall, Duration::ZERO, NOW);
        assert_eq!([at_once(NOW), at_once(NOW + 300), at_once(NOW - 300)], [Some(0); 3]);
        assert_eq!(at_once(NOW + 691_200), Some(691_198));
        assert_eq!(at_once(NOW - 691_200), Some(-691_200));
        let slow = difference(asked(NOW - 100), NOW + 300, Duration::from_secs(400), NOW);
        assert_eq!(slow, Some(0), "it may have been said at any moment between");
        assert_eq!(difference(asked(NOW), NOW + 3_600, Duration::ZERO, NOW), None, "the clock was set meanwhile");
    }
}
