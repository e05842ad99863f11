//! What came of everything that several people dropped.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Person;
use super::ledger::{Counts, percentile};

/// What is counted, of everybody.
pub(crate) fn counts(people: &[Person]) -> Counts {
    let mut sum = Counts::default();
    for person in people {
        sum.add(&person.ledger().counts);
    }
    sum
}

/// Files without a result, of everybody; of those that were dropped before `time`, where one is given.
pub(crate) fn open(people: &[Person], time: Option<Instant>) -> usize {
    let of_one = |person: &Person| match time {
        Some(time) => person.ledger().open_from_before(time),
        None => person.ledger().open_count(),
    };
    people.iter().map(of_one).sum()
}

/// Median and 99th percentile of the waits between two times, of everybody together, in seconds.
pub(crate) fn waits(people: &[Person], from: Instant, until: Instant) -> (Option<f64>, Option<f64>) {
    let waits = |person: &Person| person.ledger().waits_between(from, until);
    let mut waits: Vec<Duration> = people.iter().flat_map(waits).collect();
    (percentile(&mut waits, 50), percentile(&mut waits, 99))
}

/// Odd things, word by word: some.
pub(crate) fn examples(people: &[Person]) -> Vec<String> {
    people.iter().flat_map(|person| person.ledger().examples.clone()).take(20).collect()
}

/// Files that are lost (without a result, and not said to wait for one), and results that stand twice in a journal.
pub(crate) fn missing(people: &[Person]) -> Result<(Vec<String>, u64)> {
    let (mut lost, mut twice) = (Vec::new(), 0);
    for person in people {
        let journal = person.in_journal()?;
        twice += journal.values().filter(|times| **times > 1).count() as u64;
        let open: Vec<String> = person.ledger().open().map(str::to_owned).collect();
        if open.is_empty() {
            continue;
        }
        let waiting = person.waiting()?;
        let gone = open.into_iter().filter(|name| !journal.contains_key(name) && !waiting.contains(name));
        lost.extend(gone.map(|name| format!("{}/{name}", person.name())));
    }
    Ok((lost, twice))
}

/// What is not as promised to everybody whose files are all in order, `drain` after the last was dropped. `twice` are the
/// results that stand twice in a journal.
pub(crate) fn faults(counts: &Counts, lost: &[String], twice: u64, drain: Duration) -> Vec<String> {
    let late = counts.dropped.saturating_sub(counts.results).saturating_sub(lost.len() as u64);
    let unsuccessful: u64 = counts.unsuccessful.values().sum();
    let first = lost.first().map_or("", String::as_str);
    let found = [
        (!lost.is_empty(), format!("{} files were lost, such as `{first}`", lost.len())),
        (late > 0, format!("{late} files had no result {} s after the end", drain.as_secs())),
        (counts.held_back > 0, format!("{} files were held back, because too many were open", counts.held_back)),
        (counts.twice + twice > 0, format!("{} results came twice", counts.twice.max(twice))),
        (counts.unexpected > 0, format!("{} results are of files that nobody dropped", counts.unexpected)),
        (unsuccessful > 0, format!("{unsuccessful} files did not succeed, {} of them blamed", counts.blamed)),
    ];
    found.into_iter().filter_map(|(is, what)| is.then_some(what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_all_went_well_there_is_no_fault() {
        let counts = Counts { dropped: 3, results: 3, ..Counts::default() };
        assert_eq!(faults(&counts, &[], 0, Duration::ZERO), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_a_fault_of_its_own() {
        let mut counts =
            Counts { dropped: 9, results: 5, twice: 1, blamed: 1, held_back: 1, unexpected: 1, ..Counts::default() };
        counts.unsuccessful.insert("failed/quarantined".into(), 1);
        let found = faults(&counts, &["ada/1".into()], 0, Duration::from_secs(300));
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found[1].starts_with("3 files had no result"), "one of four is lost: {}", found[1]);
    }
}
