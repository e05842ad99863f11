//! The books: every file that was dropped, and what came of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Endings that blame a file for what it did not do, in a soak whose files are all in order.
const BLAME: [&str; 3] = ["quarantined", "host_failed", "refused"];

/// How many odd things are kept word by word.
const EXAMPLES: usize = 20;

/// What one person dropped and was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: HashMap<String, Instant>,
    closed: HashSet<String>,
    /// Of results, in the order in which they came: when, and how long after the drop.
    waits: Vec<(Instant, Duration)>,
    pub(crate) counts: Counts,
    pub(crate) examples: Vec<String>,
}

/// What is counted, of one person or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) dropped: u64,
    /// Files whose turn came while too many were open: they were not dropped.
    pub(crate) held_back: u64,
    pub(crate) results: u64,
    /// Results of a file that had one already, or that nobody dropped.
    pub(crate) twice: u64,
    pub(crate) unexpected: u64,
    /// Results that are no success, by status and outcome.
    pub(crate) unsuccessful: BTreeMap<String, u64>,
    /// Of these, those that blame the file.
    pub(crate) blamed: u64,
    /// Lines that a person would read as trouble.
    pub(crate) complaints: u64,
}

/// What a client says of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) name: &'a str,
    pub(crate) status: &'a str,
    pub(crate) outcome: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
}

impl Ledger {
    /// Before the file is where the client sees it, so that no result can be earlier.
    pub(crate) fn dropping(&mut self, name: String, now: Instant) {
        self.counts.dropped += 1;
        self.open.insert(name, now);
    }

    /// A result came.
    pub(crate) fn told(&mut self, told: Told<'_>, now: Instant) {
        let Some(dropped) = self.open.remove(told.name) else {
            let known = self.closed.contains(told.name);
            let count = if known { &mut self.counts.twice } else { &mut self.counts.unexpected };
            *count += 1;
            self.note(format!("`{}`: {}", told.name, if known { "a second result" } else { "never dropped" }));
            return;
        };
        self.closed.insert(told.name.to_owned());
        self.counts.results += 1;
        self.waits.push((now, now.duration_since(dropped)));
        if told.status != "succeeded" {
            let outcome = told.outcome.unwrap_or("none");
            *self.counts.unsuccessful.entry(format!("{}/{outcome}", told.status)).or_default() += 1;
            self.counts.blamed += u64::from(BLAME.contains(&outcome));
            let Told { name, status, message, .. } = told;
            self.note(format!("`{name}`: {status}, {outcome}: {}", message.unwrap_or("no message")));
        }
    }

    /// The client said something else.
    pub(crate) fn complaint(&mut self, line: &str) {
        self.counts.complaints += 1;
        self.note(format!("said: {line}"));
    }

    pub(crate) fn held_back(&mut self) {
        self.counts.held_back += 1;
    }

    /// Files without a result.
    pub(crate) fn open(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(String::as_str)
    }

    /// How many are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// How many are open that were dropped before a time.
    pub(crate) fn open_from_before(&self, time: Instant) -> usize {
        self.open.values().filter(|dropped| **dropped < time).count()
    }

    /// Waits that ended between two times, and the ages so far of files that were open at the second: a file that nobody
    /// answers is the longest wait of all, and must not be left out.
    pub(crate) fn waits_between(&self, from: Instant, until: Instant) -> Vec<Duration> {
        let ended = self.waits.iter().rev().take_while(|(at, _)| *at >= from).filter(|(at, _)| *at < until);
        let open = self.open.values().filter_map(|dropped| until.checked_duration_since(*dropped));
        ended.map(|(_, wait)| *wait).chain(open).collect()
    }

    fn note(&mut self, what: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }
}

impl Counts {
    /// Adds another person's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.dropped += other.dropped;
        self.held_back += other.held_back;
        self.results += other.results;
        self.twice += other.twice;
        self.unexpected += other.unexpected;
        self.blamed += other.blamed;
        self.complaints += other.complaints;
        for (kind, count) in &other.unsuccessful {
            *self.unsuccessful.entry(kind.clone()).or_default() += count;
        }
    }
}

/// The nearest-rank percentile, in seconds to the millisecond; `None` of none.
pub(crate) fn percentile(waits: &mut [Duration], percent: usize) -> Option<f64> {
    waits.sort_unstable();
    let rank = (waits.len() * percent).div_ceil(100);
    let wait = waits.get(rank.checked_sub(1)?)?;
    Some((wait.as_secs_f64() * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(name: &'a str, status: &'a str, outcome: &'a str) -> Told<'a> {
        Told { name, status, outcome: Some(outcome), message: None }
    }

    #[test]
    fn a_second_result_and_one_of_nobodys_file_are_not_results() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        ledger.dropping("a".into(), now);
        for name in ["a", "a", "b"] {
            ledger.told(told(name, "succeeded", "succeeded"), now);
        }
        let Counts { results, twice, unexpected, .. } = ledger.counts;
        assert_eq!((results, twice, unexpected), (1, 1, 1));
    }

    #[test]
    fn blame_is_told_from_other_failures() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        for (name, outcome) in [("a", "quarantined"), ("b", "failed"), ("c", "host_failed"), ("d", "refused")] {
            ledger.dropping(name.into(), now);
            ledger.told(told(name, "failed", outcome), now);
        }
        assert_eq!((ledger.counts.blamed, ledger.counts.unsuccessful.len()), (3, 4));
    }

    #[test]
    fn a_file_that_nobody_answers_is_a_wait_that_grows() {
        let mut ledger = Ledger::default();
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        ledger.dropping("answered".into(), begin);
        ledger.dropping("not".into(), begin);
        ledger.told(told("answered", "succeeded", "succeeded"), begin + second);
        let mut waits = ledger.waits_between(begin, begin + 60 * second);
        assert_eq!(percentile(&mut waits, 50), Some(1.0));
        assert_eq!(percentile(&mut waits, 99), Some(60.0));
        assert_eq!(percentile(&mut [], 99), None);
    }
}
