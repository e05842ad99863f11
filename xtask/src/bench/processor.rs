//! Processor time, of one process and of the machine, as Linux counts it (`proc_pid_stat(5)`, `proc_stat(5)`).

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// Ticks of the clock in which the system counts processor time, a second.
const TICKS_PER_S: f64 = 100.0;

/// What a process has used so far, in user and kernel mode, in seconds.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn seconds_of(id: u32) -> Result<f64> {
    let file = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{file}`"))?;
    // The name, in brackets, may hold anything.
    let fields = text.rsplit_once(')').context("`stat` has no name")?.1.split_whitespace();
    let used: Vec<u64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(used.iter().sum::<u64>() as f64 / TICKS_PER_S)
}

/// Where the machine's processor time went, all processors together, in seconds since it started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    busy: f64,
    idle: f64,
    stolen: f64,
    parts: f64,
}

/// Where the machine's processor time went in some while, as shares of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Shares {
    /// To what is measured.
    parts: f64,
    /// To everything else that runs, the measuring among it.
    others: f64,
    /// To other virtual machines on the same hardware, as this one's kernel has it.
    stolen: f64,
}

impl Machine {
    /// As it is now; `parts` are the processes that are measured. Of those that have ended nothing counts.
    ///
    /// # Errors
    ///
    /// When the system does not say so.
    pub(super) fn now(parts: impl Iterator<Item = u32>) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read `/proc/stat`")?;
        let (busy, idle, stolen) = read(&text).context("`/proc/stat` is not as expected")?;
        Ok(Self { busy, idle, stolen, parts: parts.filter_map(|id| seconds_of(id).ok()).sum() })
    }

    /// What it did from `before` until this.
    pub(super) fn since(&self, before: &Self) -> Shares {
        let (busy, stolen) = (self.busy - before.busy, self.stolen - before.stolen);
        let all = (busy + stolen + self.idle - before.idle).max(f64::MIN_POSITIVE);
        let parts = (self.parts - before.parts).clamp(0.0, busy);
        let share = |seconds: f64| (seconds / all * 1000.0).round() / 1000.0;
        Shares { parts: share(parts), others: share(busy - parts), stolen: share(stolen) }
    }
}

/// Busy, idle and stolen seconds of all processors.
fn read(stat: &str) -> Option<(f64, f64, f64)> {
    // cpu  user nice system idle iowait irq softirq steal guest guest_nice; user has what guests used.
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<f64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let [user, nice, system, idle, iowait, irq, softirq, steal] = *ticks.first_chunk()?;
    let seconds = |ticks: f64| ticks / TICKS_PER_S;
    Some((seconds(user + nice + system + irq + softirq), seconds(idle + iowait), seconds(steal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_the_time_that_there_was() {
        let text = "cpu  100 20 30 700 50 5 15 80 10 0\ncpu0 1 2 3\n";
        assert_eq!(read(text), Some((1.7, 7.5, 0.8)), "what guests used is in what users did");
        let at = |busy, idle, stolen, parts| Machine { busy, idle, stolen, parts };
        let shares = at(11.0, 22.0, 4.0, 9.0).since(&at(5.0, 20.0, 2.0, 4.0));
        assert_eq!(shares, Shares { parts: 0.5, others: 0.1, stolen: 0.2 });
        assert_eq!(read("cpu  1 2 3"), None);
    }

    #[test]
    fn a_process_that_works_uses_processor_time() {
        let us = std::process::id();
        let (before, machine) = (seconds_of(us).expect("running"), Machine::now([us].into_iter()).expect("Linux"));
        let mut sum = 0_u64;
        while seconds_of(us).expect("running") < before + 0.05 {
            sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
        }
        let shares = Machine::now([us, u32::MAX].into_iter()).expect("Linux").since(&machine);
        assert!(shares.parts > 0.0 && shares.parts + shares.others + shares.stolen <= 1.001, "{shares:?}");
    }
}
