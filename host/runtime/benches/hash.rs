//! BLAKE3 in a guest, by the host, and native: `cargo bench -p filemill-runtime --bench hash -- COMPONENT`, where the component is
//! what `cargo xtask engine build host/runtime/benches/hash` makes.
//!
//! Prints gigabytes a second of CPU time, each as the best and the median of several rounds that take turns.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

#[path = "common/measuring.rs"]
#[expect(dead_code, reason = "shared with other benchmarks")]
mod measuring;

use std::hint::black_box;

use filemill_runtime::{Parameters, Runtime, RuntimeConfig};

use measuring::{ROUNDS, TOTAL, best_and_median, stream, thread_cpu_time};

/// Bytes that a source gives at once.
const PIECE: usize = 256 << 10;

fn main() {
    // Cargo passes `--bench`.
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("skipped: name the component of `host/runtime/benches/hash`");
        return;
    };
    let component = std::fs::read(path).expect("the component can be read");
    let runtime = Runtime::new(RuntimeConfig::default()).expect("the runtime starts");
    let release = runtime.install(&component).expect("it installs");
    let by = |who: &str| Parameters::parse(format!(r#"{{"by":"{who}"}}"#)).expect("an object");
    let (guest, host) = (by("guest"), by("host"));
    let (mut in_guest, mut by_host, mut natively) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        natively.push(native());
        in_guest.push(stream(&release, PIECE, &guest));
        by_host.push(stream(&release, PIECE, &host));
    }
    best_and_median("native, one thread", "GB/s CPU", natively, f64::max);
    best_and_median("in the guest", "GB/s CPU", in_guest, f64::max);
    best_and_median("by the host", "GB/s CPU", by_host, f64::max);
}

fn native() -> f64 {
    let piece = vec![b'\n'; PIECE];
    let mut hasher = blake3::Hasher::new();
    let before = thread_cpu_time();
    for _ in 0..TOTAL / PIECE as u64 {
        hasher.update(black_box(&piece));
    }
    black_box(hasher.finalize());
    TOTAL as f64 / 1e9 / (thread_cpu_time() - before)
}
