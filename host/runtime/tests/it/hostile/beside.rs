//! Every hostile guest beside a good job: it costs that job nothing but its share of the processor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_guests::Guest;
use filemill_runtime::{Limits, Release, TimeLimit};

use crate::harness::{job, limits, runtime};

/// How much longer a good job may take beside a guest. Far more than it ever does: the machine that runs this does other
/// things too.
const FACTOR: u32 = 3;
/// What is less than this is a busy machine's noise.
const NOISE: Duration = Duration::from_millis(1);
/// How often a guest may look as if it were in the way before it is believed.
const TRIES: u32 = 5;
/// Good jobs of which the median is taken.
const JOBS: usize = 15;

#[test]
fn a_good_job_beside_any_hostile_one_is_as_fast_as_alone() {
    let runtime = runtime();
    let limits = Limits {
        cpu_time: TimeLimit { base: Duration::from_millis(10), per_mib: Duration::from_millis(200) },
        wall_time: TimeLimit { base: Duration::from_millis(20), per_mib: Duration::from_secs(2) },
        ..limits()
    };
    let good = runtime.install(&Guest::Counts.component()).expect("it installs");
    for hostile in Guest::ALL {
        let Ok(release) = runtime.install(&hostile.component()) else {
            continue;
        };
        let mut seen = Vec::new();
        for _ in 0..TRIES {
            let alone = median(&good, &limits);
            let beside = beside(&release, &limits, || median(&good, &limits));
            if beside <= alone * FACTOR + NOISE {
                seen.clear();
                break;
            }
            seen.push((alone, beside));
        }
        assert!(seen.is_empty(), "beside `{}` a good job takes (alone, beside) {seen:?}", hostile.name());
    }
}

/// Does something while a guest runs again and again on another thread.
fn beside<T>(hostile: &Release, limits: &Limits, act: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let run = super::run_as_described(hostile, limits);
                assert!(!run.outcome().retryable(), "{:?}", run.result);
            }
        });
        // Also when it panics: the scope waits for the thread.
        let _ended = Ended(&done);
        act()
    })
}

/// Says that it is over when it is dropped.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long a good job takes over 1 MiB.
fn median(good: &Release, limits: &Limits) -> Duration {
    let file = Bytes::from(vec![b'\n'; 1 << 20]);
    let mut times: Vec<Duration> = (0..JOBS)
        .map(|_| {
            let begun = Instant::now();
            let run = good.run(&job(file.len() as u64), file.clone(), limits, ());
            assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":1048576}"#);
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[JOBS / 2]
}
