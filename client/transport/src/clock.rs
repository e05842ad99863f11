//! What the server's clock says, compared with this machine's.
//!
//! Neither is trusted alone. A wrong clock here would end jobs as too late that are not, and sign statements that hold next year; a
//! server that lies about time must not make anybody run anything after its time. So the server's word can keep a program from
//! something and never allows it anything: what both clocks allow is done, what both forbid is refused, the rest is left to others.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap};

/// Clocks that differ by more are not those of machines that are kept in time. A pool's statement begins ten minutes before it is
/// signed.
const APART_SECONDS: i64 = 300;
/// A `Date` has whole seconds, and may be one old when it is sent.
const DATE_SECONDS: i64 = 2;
/// If the wall clock went so much further than time did, it was set meanwhile.
const SET_SECONDS: i64 = 2;

/// The server's clock, as far as the header `Date` of its answers shows it.
#[derive(Debug, Default)]
pub struct ServerClock(Mutex<Option<Answer>>);

/// When the server said what time it is.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// Seconds since 1970.
    date: i64,
    /// On [`steady`], before which it cannot have been said.
    asked: Duration,
    /// On [`steady`], after which it cannot have been said.
    answered: Duration,
}

/// This machine's clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    steady: Duration,
    wall: i64,
}

/// How the clocks compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The server has not said what time it is.
    Unknown,
    /// They differ by minutes at most.
    Close,
    /// This machine's is ahead of the server's by so many seconds; behind it, if less than 0.
    Apart(i64),
}

/// Whether the time of something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// By both clocks it is not, or by this machine's, if the server does not say what time it is.
    Lasts,
    /// By both clocks it is, or by the only one.
    Over,
    /// By one clock it is, by the other it is not.
    Disputed {
        /// By how many seconds this machine's clock is ahead.
        ahead: i64,
    },
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { steady: steady(), wall: seconds(wall) }
    }
}

impl ServerClock {
    /// The answer to a request that was sent at `asked` has these headers. Says how the clocks compare by it; `None`, and nothing is learnt,
    /// where it has no date or this machine's clock was set meanwhile.
    pub fn learn(&self, asked: Moment, headers: &HeaderMap) -> Option<Comparison> {
        let now = Moment::now();
        let date = headers.get(DATE)?.to_str().ok().and_then(filemill_api::unix_seconds_of)?;
        if was_set(asked, now) {
            return None;
        }
        let answer = Some(Answer { date, asked: asked.steady, answered: now.steady });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        Some(compare(answer, now))
    }

    /// How the clocks compare now.
    pub fn compare(&self) -> Comparison {
        compare(self.answer(), Moment::now())
    }

    /// Whether something lasts that ends at `not_after`, in seconds since 1970.
    pub fn lifetime(&self, not_after: u64) -> Lifetime {
        judge(self.answer(), Moment::now(), not_after)
    }

    fn answer(&self) -> Option<Answer> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the wall clock was set between two moments.
fn was_set(asked: Moment, now: Moment) -> bool {
    let passed = seconds(now.steady) - seconds(asked.steady);
    (now.wall - asked.wall - passed).abs() > SET_SECONDS
}

/// The earliest and the latest that the server's clock may show now, if it goes on from what it said.
fn server_time(answer: Answer, now: Moment) -> (i64, i64) {
    let passed = |since: Duration| seconds(now.steady.saturating_sub(since));
    let earliest = answer.date.saturating_add(passed(answer.answered));
    (earliest, answer.date.saturating_add(DATE_SECONDS).saturating_add(passed(answer.asked)))
}

fn compare(answer: Option<Answer>, now: Moment) -> Comparison {
    let Some(answer) = answer else { return Comparison::Unknown };
    let (earliest, latest) = server_time(answer, now);
    let (ahead, behind) = (now.wall.saturating_sub(latest), earliest.saturating_sub(now.wall));
    if ahead > APART_SECONDS {
        Comparison::Apart(ahead)
    } else if behind > APART_SECONDS {
        Comparison::Apart(behind.saturating_neg())
    } else {
        Comparison::Close
    }
}

fn judge(answer: Option<Answer>, now: Moment, not_after: u64) -> Lifetime {
    let not_after = i64::try_from(not_after).unwrap_or(i64::MAX);
    let over_here = now.wall > not_after;
    let (Some(answer), comparison) = (answer, compare(answer, now)) else {
        // This machine's clock is all there is.
        return if over_here { Lifetime::Over } else { Lifetime::Lasts };
    };
    let over_there = match comparison {
        Comparison::Apart(_) => server_time(answer, now).1 > not_after,
        Comparison::Unknown | Comparison::Close => over_here,
    };
    match (over_here, over_there) {
        (false, false) => Lifetime::Lasts,
        (true, true) => Lifetime::Over,
        (true, false) | (false, true) => match comparison {
            Comparison::Apart(ahead) => Lifetime::Disputed { ahead },
            Comparison::Unknown | Comparison::Close => Lifetime::Disputed { ahead: 0 },
        },
    }
}

/// Time since some moment, which goes on while the machine sleeps where the system has such a clock.
#[cfg(unix)]
fn steady() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    // On Apple's systems this one goes on.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time since the first call.
#[cfg(not(unix))]
fn steady() -> Duration {
    static BEGINNING: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGINNING.elapsed()
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_800_000_000;

    fn moment(wall: i64) -> Moment {
        Moment { steady: Duration::from_secs(1_000), wall }
    }

    /// The server said `NOW` just now, after `waited` seconds.
    fn said(waited: u64) -> Option<Answer> {
        let answered = Duration::from_secs(1_000);
        Some(Answer { date: NOW, asked: answered - Duration::from_secs(waited), answered })
    }

    #[test]
    fn some_minutes_and_a_slow_answer_are_no_difference() {
        assert_eq!(compare(said(0), moment(NOW)), Comparison::Close);
        assert_eq!(compare(said(0), moment(NOW + 300)), Comparison::Close);
        assert_eq!(compare(said(0), moment(NOW - 300)), Comparison::Close);
        assert_eq!(compare(said(30), moment(NOW + 330)), Comparison::Close, "it may have been said 30 s ago");
        assert_eq!(compare(said(400), moment(NOW + 300)), Comparison::Close, "or at any moment between");
        assert_eq!(compare(said(0), moment(NOW + 8 * DAY)), Comparison::Apart(8 * DAY - 2));
        assert_eq!(compare(said(0), moment(NOW - 8 * DAY)), Comparison::Apart(-8 * DAY));
        assert_eq!(compare(None, moment(NOW)), Comparison::Unknown);
    }

    #[test]
    fn a_clock_that_is_set_later_is_compared_with_what_the_server_would_say_now() {
        let later = Moment { steady: Duration::from_secs(1_000 + 3_600), wall: NOW + 3_600 };
        assert_eq!(compare(said(0), later), Comparison::Close);
        assert!(
            matches!(compare(said(0), Moment { wall: NOW, ..later }), Comparison::Apart(behind) if behind <= -3_598)
        );
        assert!(was_set(moment(NOW), Moment { wall: NOW, ..later }));
        assert!(was_set(moment(NOW), moment(NOW + 3_600)));
        assert!(!was_set(moment(NOW), later));
    }

    #[test]
    fn a_machine_that_is_ahead_does_not_refuse_what_is_not_over() {
        let not_after = (NOW + 7 * DAY) as u64;
        assert!(
            matches!(judge(said(0), moment(NOW + 8 * DAY), not_after), Lifetime::Disputed { ahead } if ahead > 7 * DAY)
        );
        assert_eq!(judge(said(0), moment(NOW), not_after), Lifetime::Lasts);
        assert_eq!(judge(None, moment(NOW + 8 * DAY), not_after), Lifetime::Over);
    }

    #[test]
    fn what_is_over_by_both_clocks_is_refused() {
        let not_after = (NOW - DAY) as u64;
        assert_eq!(judge(said(0), moment(NOW), not_after), Lifetime::Over);
        assert_eq!(judge(said(0), moment(NOW + 8 * DAY), not_after), Lifetime::Over);
        // Within the minutes in which clocks may differ, this machine's decides.
        assert_eq!(judge(said(0), moment(NOW + 60), (NOW + 30) as u64), Lifetime::Over);
        assert_eq!(judge(said(0), moment(NOW + 60), (NOW + 90) as u64), Lifetime::Lasts);
    }

    #[test]
    fn no_word_of_the_server_lets_anybody_run_what_is_over() {
        let not_after = (NOW + DAY) as u64;
        for here in [NOW + DAY + 1, NOW + 400 * DAY] {
            for there in [None, said(0), Some(Answer { date: 0, ..said(0).expect("an answer") })] {
                assert_ne!(judge(there, moment(here), not_after), Lifetime::Lasts, "{here} {there:?}");
            }
        }
    }

    #[test]
    fn a_machine_that_is_behind_runs_nothing_that_is_over_by_the_servers_clock() {
        let judged = judge(said(0), moment(NOW - 8 * DAY), (NOW - DAY) as u64);
        assert!(matches!(judged, Lifetime::Disputed { ahead } if ahead < 0));
    }

    #[test]
    fn the_last_date_counts_and_an_answer_without_one_changes_nothing() {
        let learn = |clock: &ServerClock, date: &'static str| {
            clock.learn(Moment::now(), &HeaderMap::from_iter([(DATE, HeaderValue::from_static(date))]))
        };
        let clock = ServerClock::default();
        assert_eq!(clock.learn(Moment::now(), &HeaderMap::new()), None);
        assert_eq!((learn(&clock, "yesterday"), clock.compare()), (None, Comparison::Unknown));
        let told = learn(&clock, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(matches!(told, Some(Comparison::Apart(ahead)) if ahead > 365 * DAY), "{told:?}");
        assert_eq!(clock.learn(Moment::now(), &HeaderMap::new()), None);
        assert!(matches!(clock.compare(), Comparison::Apart(_)));
        let told = learn(&clock, "Fri, 01 Jan 2100 00:00:00 GMT");
        assert!(matches!(told, Some(Comparison::Apart(ahead)) if ahead < 0), "{told:?}");
        let meanwhile = Moment { wall: 0, ..Moment::now() };
        let date = HeaderMap::from_iter([(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"))]);
        assert_eq!(clock.learn(meanwhile, &date), None, "this machine's clock was set meanwhile");
        assert!(matches!(clock.compare(), Comparison::Apart(ahead) if ahead < 0));
    }
}
