//! How many jobs to lease ahead of need: about three quarters of a second of work for each slot.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The work in hand that keeps the slots busy while the next lease is fetched.
const AHEAD_SECONDS: f64 = 0.75;
/// Jobs for each slot before anything was measured.
const FIRST_GUESS: usize = 64;
/// Weight of the newest measurement.
const WEIGHT: f64 = 0.05;

/// How long this node's jobs take, and so how many of them to lease ahead.
pub(crate) struct Prefetch {
    slots: usize,
    /// Seconds of a slot that a job takes, averaged.
    job_seconds: Mutex<Option<f64>>,
}

/// How much to lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appetite {
    /// Lease when fewer jobs than this are in hand.
    pub(crate) below: usize,
    /// Jobs to hold at most at the end of a lease that was asked for with none in hand.
    pub(crate) jobs: usize,
}

impl Prefetch {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, job_seconds: Mutex::new(None) }
    }

    /// A job took so much of a slot.
    pub(crate) fn record(&self, took: Duration) {
        let mut average = self.job_seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let took = took.as_secs_f64();
        *average = Some(average.map_or(took, |average| average + WEIGHT * (took - average)));
    }

    /// How much to lease now, at most `most` at once.
    pub(crate) fn appetite(&self, most: usize) -> Appetite {
        let average = *self.job_seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = match average {
            None => FIRST_GUESS * self.slots,
            // A float beyond the range saturates.
            Some(seconds) => (AHEAD_SECONDS * self.slots as f64 / seconds.max(1e-6)) as usize,
        };
        let jobs = jobs.clamp(self.slots, most.max(self.slots));
        Appetite { below: jobs, jobs }
    }

    /// How many to ask for with `in_hand` jobs in hand: short jobs ahead of time, long ones only for slots that are free.
    pub(crate) fn ask_for(&self, in_hand: usize, most: usize) -> Option<usize> {
        let appetite = self.appetite(most);
        if in_hand >= appetite.below {
            None
        } else if appetite.jobs > self.slots {
            Some(appetite.jobs.min(most))
        } else {
            Some((self.slots - in_hand).min(most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_jobs_are_leased_ahead_and_long_ones_are_not() {
        let prefetch = Prefetch::new(2);
        assert_eq!(prefetch.ask_for(0, 1024), Some(128));
        prefetch.record(Duration::from_micros(200));
        assert_eq!(prefetch.ask_for(1000, 1024), Some(1024));
        assert_eq!(prefetch.ask_for(1024, 1024), None);
        let prefetch = Prefetch::new(2);
        prefetch.record(Duration::from_secs(30));
        assert_eq!(
            (prefetch.ask_for(0, 1024), prefetch.ask_for(1, 1024), prefetch.ask_for(2, 1024)),
            (Some(2), Some(1), None)
        );
    }
}
