//! What one run may use.

use std::collections::HashMap;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A duration that grows with the length of the input, so that one setting suits 4 KiB and 10 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    /// What any run gets.
    pub base: Duration,
    /// What it gets on top for each MiB of input, or part of one.
    pub per_mib: Duration,
}

impl TimeLimit {
    /// The limit for an input of `size_bytes`; [`Duration::MAX`] where it would overflow.
    pub fn for_size(&self, size_bytes: u64) -> Duration {
        let mib = u32::try_from(size_bytes.div_ceil(MIB as u64)).unwrap_or(u32::MAX);
        self.base.saturating_add(self.per_mib.saturating_mul(mib))
    }

    fn within(self, most: Self) -> Self {
        Self { base: self.base.min(most.base), per_mib: self.per_mib.min(most.per_mib) }
    }
}

/// Bounds of one run. A run that reaches one ends there, with the outcome of that bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memories and tables of all the component's parts together, in bytes.
    pub memory_bytes: usize,
    /// CPU time of the thread that runs it, the host's side of its calls included.
    pub cpu_time: TimeLimit,
    /// Time on the clock, without the time spent waiting for input.
    pub wall_time: TimeLimit,
    /// The report with its summary, and all findings together, in bytes.
    pub output_bytes: usize,
    /// Findings.
    pub findings: usize,
    /// Artifacts.
    pub artifacts: usize,
    /// All artifacts together, in bytes, their names and media types included.
    pub artifact_bytes: usize,
    /// Log lines.
    pub log_lines: usize,
    /// All log lines together, in bytes.
    pub log_bytes: usize,
    /// Calls from the engine to the host, beside one for each 4 KiB of input.
    pub host_calls: u64,
    /// The most that one `read` gives, in bytes; an engine that asks for more gets this.
    pub read_bytes: usize,
}

impl Limits {
    /// Each limit, lowered to that of `maxima` where it is higher.
    pub fn within(&self, maxima: &Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(maxima.memory_bytes),
            cpu_time: self.cpu_time.within(maxima.cpu_time),
            wall_time: self.wall_time.within(maxima.wall_time),
            output_bytes: self.output_bytes.min(maxima.output_bytes),
            findings: self.findings.min(maxima.findings),
            artifacts: self.artifacts.min(maxima.artifacts),
            artifact_bytes: self.artifact_bytes.min(maxima.artifact_bytes),
            log_lines: self.log_lines.min(maxima.log_lines),
            log_bytes: self.log_bytes.min(maxima.log_bytes),
            host_calls: self.host_calls.min(maxima.host_calls),
            read_bytes: self.read_bytes.min(maxima.read_bytes),
        }
    }

    /// What `describe` gets: no input, and as little time as a bad release deserves.
    pub(crate) fn for_describe(&self) -> Self {
        const SECOND: TimeLimit = TimeLimit { base: Duration::from_secs(1), per_mib: Duration::ZERO };
        self.within(&Self {
            cpu_time: SECOND,
            wall_time: TimeLimit { base: Duration::from_secs(10), ..SECOND },
            output_bytes: 128 * KIB,
            artifacts: 0,
            artifact_bytes: 0,
            log_lines: 100,
            log_bytes: 16 * KIB,
            host_calls: 1_000,
            ..self.clone()
        })
    }

    pub(crate) fn host_calls_for(&self, size_bytes: u64) -> u64 {
        self.host_calls.saturating_add(size_bytes / (4 * KIB as u64))
    }
}

impl Default for Limits {
    /// Enough for an engine that reads 20 MB/s and keeps no more than 256 MiB.
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            cpu_time: TimeLimit { base: Duration::from_secs(10), per_mib: Duration::from_millis(50) },
            wall_time: TimeLimit { base: Duration::from_secs(60), per_mib: Duration::from_millis(200) },
            output_bytes: MIB,
            findings: 1_000,
            artifacts: 32,
            artifact_bytes: 8 * MIB,
            log_lines: 1_000,
            log_bytes: 256 * KIB,
            host_calls: 100_000,
            read_bytes: MIB,
        }
    }
}

/// The limits of each release: those of its own where it has some, else the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseLimits {
    /// For every release that has none of its own.
    pub default: Limits,
    /// By digest in hexadecimal, or as `local/NAME` for an engine that was dropped into this processor's folder.
    pub by_release: HashMap<String, Limits>,
}

impl ReleaseLimits {
    /// Those of the release with that digest, which is called `local` if it was dropped in.
    pub fn of(&self, digest: &str, local: Option<&str>) -> &Limits {
        let named = |name: &str| self.by_release.get(&format!("local/{name}"));
        self.by_release.get(digest).or_else(|| local.and_then(named)).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_with_the_input_and_never_overflows() {
        let limit = TimeLimit { base: Duration::from_secs(1), per_mib: Duration::from_millis(50) };
        assert_eq!(limit.for_size(0), Duration::from_secs(1));
        assert_eq!(limit.for_size(1), Duration::from_millis(1050));
        assert_eq!(limit.for_size(20 << 20), Duration::from_secs(2));
        let endless = TimeLimit { base: Duration::MAX, per_mib: Duration::MAX };
        assert_eq!(endless.for_size(u64::MAX), Duration::MAX);
    }

    #[test]
    fn a_release_has_its_own_limits_by_digest_or_by_the_name_it_was_dropped_in_as() {
        let few = |log_lines| Limits { log_lines, ..Limits::default() };
        let by_release = HashMap::from([("d1".to_owned(), few(1)), ("local/size".to_owned(), few(2))]);
        let limits = ReleaseLimits { default: few(3), by_release };
        assert_eq!(limits.of("d1", Some("size")).log_lines, 1);
        assert_eq!(limits.of("d2", Some("size")).log_lines, 2);
        assert_eq!(limits.of("d2", Some("other")).log_lines, 3);
        assert_eq!(limits.of("d2", None).log_lines, 3);
    }

    #[test]
    fn no_limit_exceeds_the_maxima() {
        let maxima = Limits::default();
        let greedy = Limits { memory_bytes: usize::MAX, host_calls: u64::MAX, log_lines: 3, ..Limits::default() };
        let run = greedy.within(&maxima);
        assert_eq!(run, Limits { log_lines: 3, ..maxima });
    }
}
