//! How far the work is: bars on a terminal, a plain line now and then elsewhere. Always on standard error.

mod stuck;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use filemill_client::{Activity, Event, Note, ProgressNow};
use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::lines::{files, tell};
pub(crate) use stuck::Ask;
use stuck::Stuck;

/// Bars are drawn anew this often.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Plain lines come this often.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Whether it is time for one is seen this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The rate is that of the last so many seconds or so.
const RATE_MEMORY_S: f64 = 5.0;

/// Shows how far an activity is.
pub(crate) struct Shown {
    activity: Activity,
    bars: Option<Bars>,
    started: Instant,
    last: (Instant, ProgressNow),
    /// Bytes that are done a second: of files, and over the network.
    rates: (f64, f64),
    /// When a plain line came last, and of what.
    told: (Instant, ProgressNow),
    stuck: Stuck,
    /// It was said already that there is nothing to do, and why.
    nothing_said: bool,
}

struct Bars {
    all: MultiProgress,
    bytes: ProgressBar,
    files: ProgressBar,
}

impl Shown {
    pub(crate) fn new(activity: Activity) -> Self {
        let now = Instant::now();
        let bars = std::io::stderr().is_terminal().then(Bars::new);
        let (last, rates) = ((now, ProgressNow::default()), (0.0, 0.0));
        Self { activity, bars, started: now, last, rates, told: last, stuck: Stuck::new(now), nothing_said: false }
    }

    /// How often to call [`tick`](Self::tick).
    pub(crate) fn interval(&self) -> Duration {
        if self.bars.is_some() { DRAW_EVERY } else { LOOK_EVERY }
    }

    /// Notes what was said of there being nothing to do.
    pub(crate) fn heed(&mut self, told: &[Event]) {
        self.nothing_said |= told.iter().any(|event| matches!(event, Event::Note(Note::NothingFound { .. })));
    }

    /// The reason was said that was asked for.
    pub(crate) fn said_why(&mut self) {
        self.stuck.said();
    }

    /// What is to be asked now of what the results wait for: everything is stored, and nothing has come for a while.
    pub(crate) fn tick(&mut self) -> Option<Ask> {
        let (now, at) = (self.activity.progress(), Instant::now());
        let seconds = at.duration_since(self.last.0).as_secs_f64().max(0.001);
        let weight = (seconds / RATE_MEMORY_S).min(1.0);
        let rate = |old: f64, bytes: u64| old + weight * (bytes as f64 / seconds - old);
        self.rates = (
            rate(self.rates.0, now.stored_bytes.saturating_sub(self.last.1.stored_bytes)),
            rate(self.rates.1, now.sent_bytes.saturating_sub(self.last.1.sent_bytes)),
        );
        let ask = if waits(&now) && now == self.last.1 {
            self.stuck.ask(at)
        } else {
            self.stuck = Stuck::new(at);
            None
        };
        self.last = (at, now);
        match &self.bars {
            Some(bars) => bars.draw(&now, self.rates),
            // Whoever waits before there is anything says so itself.
            None if now.found_files > 0 && at.duration_since(self.told.0) >= TELL_EVERY => {
                if is_news(&now, &self.told.1) {
                    tell(&line(&now, self.rates));
                }
                self.told = (at, now);
            }
            None => {}
        }
        ask
    }

    /// Runs `write` while no bar is in the way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.all.suspend(write),
            None => write(),
        }
    }

    /// Takes the bars away, and sums up what was done; `done`: all that there was.
    pub(crate) fn end(&mut self, done: bool) {
        if let Some(bars) = self.bars.take() {
            let _ = bars.all.clear();
        }
        let now = self.activity.progress();
        if now.found_files > 0 {
            tell(&sum(&now, self.started.elapsed()));
            if now.reused_files > 0 {
                tell(&format!("{} analysed before and not sent (`--again` sends what was)", were(now.reused_files)));
            }
        } else if done && !self.nothing_said {
            tell("there was nothing to do");
        }
    }
}

impl Bars {
    fn new() -> Self {
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .map(|style| style.progress_chars("█▉▊▋▌▍▎▏ "))
                .unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let all = MultiProgress::new();
        let bytes = all.add(ProgressBar::new(0));
        bytes.set_style(style("bytes {wide_bar} {bytes} of {total_bytes}  {msg}"));
        let files = all.add(ProgressBar::new(0));
        files.set_style(style("files {wide_bar} {pos} of {len}  {msg}"));
        Self { all, bytes, files }
    }

    fn draw(&self, now: &ProgressNow, (stored, sent): (f64, f64)) {
        self.bytes.set_length(to_store(now));
        self.bytes.set_position(now.stored_bytes.min(to_store(now)));
        let left = time_left(now, stored).map(|left| format!(", {} left", HumanDuration(left))).unwrap_or_default();
        self.bytes.set_message(format!("{}/s up{left}", HumanBytes(sent as u64)));
        self.files.set_length(now.found_files);
        self.files.set_position(now.done_files);
        self.files.set_message(if now.failed_files > 0 {
            format!("{} failed", now.failed_files)
        } else {
            String::new()
        });
    }
}

fn sum(now: &ProgressNow, took: Duration) -> String {
    let succeeded = now.done_files.saturating_sub(now.failed_files + now.rejected_files + now.cancelled_files);
    let some = |count: u64, what: &str| if count > 0 { format!(", {count} {what}") } else { String::new() };
    let (rejected, cancelled) = (some(now.rejected_files, "rejected"), some(now.cancelled_files, "cancelled"));
    let waiting = now.found_files.saturating_sub(now.done_files);
    let unfinished = some(waiting, "not finished");
    format!(
        "{}: {succeeded} succeeded{rejected}{cancelled}, {} failed{unfinished}; {} in {} s, {} sent",
        files(now.found_files),
        now.failed_files,
        HumanBytes(now.found_bytes),
        took.as_secs(),
        HumanBytes(now.sent_bytes),
    )
}

fn were(count: u64) -> String {
    format!("{} {}", files(count), if count == 1 { "was" } else { "were" })
}

/// Whether only results are still to come.
fn waits(now: &ProgressNow) -> bool {
    now.done_files < now.found_files && now.stored_bytes >= to_store(now)
}

/// Bytes of files that storage is to have in the end.
fn to_store(now: &ProgressNow) -> u64 {
    now.found_bytes.saturating_sub(now.needless_bytes)
}

/// Whether there is a line to say: not once more that all there is was done, as a watcher that waits for more would.
fn is_news(now: &ProgressNow, told: &ProgressNow) -> bool {
    now != told || now.done_files < now.found_files
}

fn line(now: &ProgressNow, (stored, sent): (f64, f64)) -> String {
    let failed = if now.failed_files > 0 { format!(", {} failed", now.failed_files) } else { String::new() };
    let left = time_left(now, stored).map(|left| format!(", {} left", HumanDuration(left))).unwrap_or_default();
    let (stored, to_store) = (now.stored_bytes.min(to_store(now)), to_store(now));
    let stored = if to_store == 0 && now.needless_bytes > 0 {
        "nothing to store".to_owned()
    } else {
        format!("{} of {} stored", HumanBytes(stored), HumanBytes(to_store))
    };
    format!(
        "{} of {} done{failed}; {stored}, {}/s up{left}",
        now.done_files,
        files(now.found_files),
        HumanBytes(sent as u64),
    )
}

/// How long storing the rest takes at this rate; `None` if that cannot be known.
fn time_left(now: &ProgressNow, stored_per_s: f64) -> Option<Duration> {
    let rest = to_store(now).saturating_sub(now.stored_bytes);
    if !now.all_found || rest == 0 || stored_per_s < 1.0 {
        return None;
    }
    // A day and more is said as such; a rate that is close to nothing says nothing.
    Duration::try_from_secs_f64((rest as f64 / stored_per_s).min(1e7)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_what_is_known() {
        let now = ProgressNow {
            found_files: 10,
            found_bytes: 100 << 20,
            done_files: 3,
            failed_files: 1,
            stored_bytes: 50 << 20,
            all_found: true,
            ..ProgressNow::default()
        };
        insta::assert_snapshot!(
            line(&now, (10_485_760.0, 2_097_152.0)),
            @"3 of 10 files done, 1 failed; 50.00 MiB of 100.00 MiB stored, 2.00 MiB/s up, 5 seconds left"
        );
        insta::assert_snapshot!(
            sum(&now, Duration::from_secs(7)),
            @"10 files: 2 succeeded, 1 failed, 7 not finished; 100.00 MiB in 7 s, 0 B sent"
        );
        insta::assert_snapshot!(
            sum(&ProgressNow { rejected_files: 2, done_files: 5, ..now }, Duration::ZERO),
            @"10 files: 2 succeeded, 2 rejected, 1 failed, 5 not finished; 100.00 MiB in 0 s, 0 B sent"
        );
        insta::assert_snapshot!(
            sum(&ProgressNow { cancelled_files: 2, done_files: 5, ..now }, Duration::ZERO),
            @"10 files: 2 succeeded, 2 cancelled, 1 failed, 5 not finished; 100.00 MiB in 0 s, 0 B sent"
        );
        let one = ProgressNow { found_files: 1, done_files: 1, found_bytes: 3, failed_files: 0, ..now };
        insta::assert_snapshot!(
            sum(&one, Duration::ZERO),
            @"1 file: 1 succeeded, 0 failed; 3 B in 0 s, 0 B sent"
        );
        assert!(!waits(&now) && !waits(&one));
        assert!(waits(&ProgressNow { done_files: 0, ..one }), "it is stored, and has no result");
        assert_eq!(time_left(&ProgressNow { all_found: false, ..now }, 1e6), None);
    }

    #[test]
    fn that_all_is_done_is_said_once() {
        let begun = ProgressNow::default();
        let waiting = ProgressNow { found_files: 7, done_files: 6, ..begun };
        let done = ProgressNow { done_files: 7, ..waiting };
        assert!(is_news(&waiting, &begun) && is_news(&waiting, &waiting) && is_news(&done, &waiting));
        assert!(!is_news(&done, &done));
        assert!(is_news(&ProgressNow { found_files: 8, ..done }, &done));
    }

    #[test]
    fn what_was_analysed_before_is_not_to_be_stored() {
        let now = ProgressNow {
            found_files: 2,
            found_bytes: 5,
            done_files: 1,
            needless_bytes: 2,
            stored_bytes: 3,
            all_found: true,
            ..ProgressNow::default()
        };
        insta::assert_snapshot!(line(&now, (0.0, 0.0)), @"1 of 2 files done; 3 B of 3 B stored, 0 B/s up");
        assert!(waits(&now), "only a result is still to come");
        let now = ProgressNow { found_files: 1, found_bytes: 2, stored_bytes: 0, ..now };
        insta::assert_snapshot!(line(&now, (0.0, 0.0)), @"1 of 1 file done; nothing to store, 0 B/s up");
    }
}
