//! What the benchmarks share.

use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource, Job, Limits, Parameters, Release};
use rustix::time::{ClockId, clock_gettime};

pub(crate) const ROUNDS: usize = 9;
/// Bytes that a source gives at once.
pub(crate) const PIECES: [usize; 4] = [64 << 10, 256 << 10, 1 << 20, 8 << 20];
/// Bytes of a long file.
pub(crate) const TOTAL: u64 = 2 << 30;

/// One piece, over and over: what is measured is the way in, not the memory it comes from.
struct Repeat {
    piece: Bytes,
    left: u64,
}

impl InputSource for Repeat {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let given = self.piece.slice(..max.min(left).min(self.piece.len()));
        self.left -= given.len() as u64;
        Ok(given)
    }
}

/// Gigabytes a second of this thread's CPU time, through an engine that reads its whole input.
pub(crate) fn stream(release: &Release, piece: usize, parameters: &Parameters) -> f64 {
    let source = Repeat { piece: Bytes::from(vec![b'\n'; piece]), left: TOTAL };
    let parameters = parameters.clone();
    let job = Job { name: "large.txt".into(), size: TOTAL, parameters, ..Job::default() };
    let before = thread_cpu_time();
    let run = release.run(&job, source, &Limits::default(), ());
    let elapsed = thread_cpu_time() - before;
    run.result.expect("it succeeds");
    assert_eq!(run.resources.bytes_read, TOTAL, "it reads its whole input");
    TOTAL as f64 / 1e9 / elapsed
}

/// Seconds.
pub(crate) fn thread_cpu_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let made = work();
    (made, started.elapsed())
}

pub(crate) fn rounds(mut measure: impl FnMut() -> f64) -> Vec<f64> {
    measure();
    (0..ROUNDS).map(|_| measure()).collect()
}

pub(crate) fn best_and_median(what: &str, unit: &str, mut values: Vec<f64>, best: fn(f64, f64) -> f64) {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let best = values.iter().copied().reduce(best).unwrap_or(median);
    row(what, unit, best);
    row(&format!("{what}, median"), unit, median);
}

pub(crate) fn row(what: &str, unit: &str, value: f64) {
    println!("{what:<36} {value:>10.2} {unit}");
}
