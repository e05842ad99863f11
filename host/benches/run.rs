//! What a run costs: `cargo bench -p filemill-host [--bench run]`.
//!
//! Prints microseconds of CPU for instantiate + analyse + drop of a small file, gigabytes per second through a byte
//! counter, and the time to compile and to load from the cache, each as the best and the median of several rounds. Any
//! component whose report begins with `{"bytes":N` can take the built-in guest's place: give its path as the argument.

use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_host::{CacheConfig, InputEnd, InputSource, Job, Limits, Origin, Release, Runtime, RuntimeConfig};
use rustix::time::{ClockId, clock_gettime};

#[path = "../tests/it/guest.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "shared with the tests")]
mod guest;

const ROUNDS: usize = 9;

fn main() {
    // Cargo passes `--bench`.
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let component = match &path {
        Some(path) => std::fs::read(path).expect("the component can be read"),
        None => guest::component(include_str!("../tests/guests/counts.wat")),
    };
    let home = tempfile::tempdir().expect("a temporary folder");
    let config = RuntimeConfig {
        cache: Some(CacheConfig {
            folder: home.path().join("cache"),
            key_file: home.path().join("key"),
            max_bytes: 1 << 30,
        }),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(config).expect("the runtime starts");

    let (release, compile) = timed(|| runtime.install(&component).expect("it installs"));
    assert_eq!(release.origin(), Origin::Compiled);
    row("compile and link", "ms", compile.as_secs_f64() * 1e3);
    let loads = rounds(|| {
        let (release, load) = timed(|| runtime.install(&component).expect("it installs"));
        assert_eq!(release.origin(), Origin::Cached);
        load.as_secs_f64() * 1e3
    });
    best_and_median("load from the cache", "ms", loads, f64::min);

    for size in [0, 4 << 10, 64 << 10] {
        let file = Bytes::from(vec![b'\n'; size]);
        let costs = rounds(|| small_files(&release, &file));
        best_and_median(&format!("a file of {} KiB", size >> 10), "µs CPU", costs, f64::min);
    }
    for piece in [64 << 10, 256 << 10, 1 << 20, 8 << 20] {
        let rates = rounds(|| stream(&release, piece));
        let what = format!("stream in pieces of {} KiB", piece >> 10);
        best_and_median(&what, "GB/s CPU", rates, f64::max);
    }
}

/// Microseconds of this thread's CPU time a run: on a machine that does other things too, the clock says little.
fn small_files(release: &Release, file: &Bytes) -> f64 {
    const RUNS: u32 = 3_000;
    let job = Job { name: "small.txt".into(), size: file.len() as u64, ..Job::default() };
    let limits = Limits::default();
    let before = thread_cpu_time();
    for _ in 0..RUNS {
        let run = release.run(&job, file.clone(), &limits, ());
        assert!(run.result.is_ok(), "{:?}", run.result);
    }
    (thread_cpu_time() - before) * 1e6 / f64::from(RUNS)
}

/// Gigabytes a second of this thread's CPU time.
fn stream(release: &Release, piece: usize) -> f64 {
    const TOTAL: u64 = 2 << 30;
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
    let source = Repeat { piece: Bytes::from(vec![b'\n'; piece]), left: TOTAL };
    let job = Job { name: "large.txt".into(), size: TOTAL, ..Job::default() };
    let before = thread_cpu_time();
    let run = release.run(&job, source, &Limits::default(), ());
    let elapsed = thread_cpu_time() - before;
    let report = run.result.expect("it succeeds");
    assert!(report.json.starts_with(&format!("{{\"bytes\":{TOTAL}")), "{}", report.json);
    TOTAL as f64 / 1e9 / elapsed
}

/// Seconds.
fn thread_cpu_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let made = work();
    (made, started.elapsed())
}

fn rounds(mut measure: impl FnMut() -> f64) -> Vec<f64> {
    measure();
    (0..ROUNDS).map(|_| measure()).collect()
}

fn best_and_median(what: &str, unit: &str, mut values: Vec<f64>, best: fn(f64, f64) -> f64) {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let best = values.iter().copied().reduce(best).unwrap_or(median);
    row(what, unit, best);
    row(&format!("{what}, median"), unit, median);
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn row(what: &str, unit: &str, value: f64) {
    println!("{what:<36} {value:>10.2} {unit}");
}
