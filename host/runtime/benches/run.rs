//! What a run costs: `cargo bench -p filemill-runtime --bench run -- [COMPONENT…]`.
//!
//! For each component: microseconds of CPU for instantiate + analyse + drop of a small file, gigabytes per second through it,
//! and the time to compile and to load from the cache, each as the best and the median of several rounds. The built-in guest
//! counts bytes by contract 1; any component that reads its whole input can take its place. At the end the same is done
//! without a sandbox: each piece is copied once, as it is into a guest, and its bytes or its lines are counted.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

#[path = "common/measuring.rs"]
mod measuring;

use std::hint::black_box;

use bytes::Bytes;
use filemill_guests::Guest;
use filemill_runtime::{CacheConfig, CodeOrigin, Job, Limits, Parameters, Release, Runtime, RuntimeConfig};

use measuring::{PIECES, TOTAL, best_and_median, rounds, row, stream, thread_cpu_time, timed};

fn main() {
    // Cargo passes `--bench`.
    let paths: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if paths.is_empty() {
        measure("built-in byte counter", &Guest::Counts.component());
    }
    for path in &paths {
        measure(path, &std::fs::read(path).expect("the component can be read"));
    }
    for (what, counts_lines) in [("native, with the same copy", false), ("native, with the same copy, lines", true)] {
        println!("{what}");
        for piece in PIECES {
            let rates = rounds(|| native(piece, counts_lines));
            best_and_median(&format!("stream in pieces of {} KiB", piece >> 10), "GB/s CPU", rates, f64::max);
        }
    }
}

fn measure(name: &str, component: &[u8]) {
    println!("{name}, {} bytes", component.len());
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

    let (release, compile) = timed(|| runtime.install(component).expect("it installs"));
    assert_eq!(release.origin(), CodeOrigin::Compiled);
    row("compile and link", "ms", compile.as_secs_f64() * 1e3);
    let digest = release.digest();
    let loads = rounds(|| {
        let (release, load) = timed(|| runtime.cached(digest).expect("it is in the cache"));
        assert_eq!(release.origin(), CodeOrigin::Cached);
        load.as_secs_f64() * 1e3
    });
    best_and_median("load from the cache", "ms", loads, f64::min);

    // An interpreter takes milliseconds where a Rust engine takes microseconds.
    let is_slow = small_files(&release, &Bytes::from_static(b"a\n"), 3) > 500.0;
    for size in [0, 4 << 10, 64 << 10] {
        let file = Bytes::from(vec![b'\n'; size]);
        let costs = rounds(|| small_files(&release, &file, if is_slow { 20 } else { 3_000 }));
        best_and_median(&format!("a file of {} KiB", size >> 10), "µs CPU", costs, f64::min);
    }
    if is_slow {
        return;
    }
    for piece in PIECES {
        let rates = rounds(|| stream(&release, piece, &Parameters::default()));
        best_and_median(&format!("stream in pieces of {} KiB", piece >> 10), "GB/s CPU", rates, f64::max);
    }
}

/// Microseconds of this thread's CPU time a run: on a machine that does other things too, the clock says little.
fn small_files(release: &Release, file: &Bytes, runs: u32) -> f64 {
    let job = Job { name: "small.txt".into(), size: file.len() as u64, ..Job::default() };
    let limits = Limits::default();
    let before = thread_cpu_time();
    for _ in 0..runs {
        let run = release.run(&job, file.clone(), &limits, ());
        assert!(run.result.is_ok(), "{:?}", run.result);
    }
    (thread_cpu_time() - before) * 1e6 / f64::from(runs)
}

/// The same work without a sandbox, in gigabytes a second of this thread's CPU time.
fn native(piece: usize, counts_lines: bool) -> f64 {
    let source = vec![b'\n'; piece];
    let mut guest = vec![0; piece];
    let mut lines = 0_u64;
    let before = thread_cpu_time();
    for _ in 0..TOTAL / piece as u64 {
        guest.copy_from_slice(black_box(&source));
        lines += match counts_lines {
            true => memchr::memchr_iter(b'\n', black_box(&guest)).count() as u64,
            false => black_box(&guest).len() as u64,
        };
    }
    let elapsed = thread_cpu_time() - before;
    assert_eq!(lines, TOTAL);
    TOTAL as f64 / 1e9 / elapsed
}
