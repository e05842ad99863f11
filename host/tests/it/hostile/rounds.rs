//! All guests, a thousand times: none leaves anything behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filemill_guests::Guest;
use filemill_host::{Limits, Outcome, Release, Runtime, RuntimeConfig, TimeLimit};

use crate::guest;
use crate::harness::{job, limits, resident_kib};

const ROUNDS: usize = 1_000;
const THREADS: u32 = 2;

/// So small that a thousand rounds over everything that never ends are done in seconds.
fn tight() -> Limits {
    let time = |micros| TimeLimit { base: Duration::from_micros(micros), per_mib: Duration::ZERO };
    Limits { memory_bytes: 4 << 20, cpu_time: time(300), wall_time: time(1_000), host_calls: 100, ..limits() }
}

#[test]
fn a_thousand_rounds_over_every_guest_leave_no_memory_behind() {
    let runtime =
        Runtime::new(RuntimeConfig { slots: THREADS, tick: Duration::from_micros(200), ..RuntimeConfig::default() })
            .expect("the runtime starts");
    let releases: Vec<(Guest, Release)> = Guest::ALL
        .into_iter()
        .filter(|guest| super::expected::runs_here(*guest))
        .filter_map(|guest| Some((guest, runtime.install(&guest::component(guest.text())).ok()?)))
        .collect();
    assert!(releases.len() > 100, "only {} guests can be installed", releases.len());

    rounds(&releases, ROUNDS / 10);
    let before = resident_kib();
    rounds(&releases, ROUNDS);
    let after = resident_kib();
    // About 70 bytes a run: less than the smallest thing that a run could forget.
    let allowed = 8 * 1024;
    assert!(after < before + allowed, "{before} KiB resident before, {after} KiB after");

    // Over a sound file and with limits for it, the good ones are as good as ever.
    for (_, release) in releases.iter().filter(|(guest, _)| matches!(guest, Guest::Counts | Guest::CountsAStream)) {
        let run = release.run(&job(3), bytes::Bytes::from_static(b"abc"), &limits(), ());
        assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":3}"#);
    }
}

/// Runs each guest so many times, on as many threads as there are slots.
fn rounds(releases: &[(Guest, Release)], rounds: usize) {
    let limits = tight();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < rounds {
                    for (guest, release) in releases {
                        let run = super::run_as_described(release, &limits);
                        assert_ne!(run.outcome(), Outcome::HostFailed, "{guest:?}: {:?}", run.result);
                    }
                }
            });
        }
    });
}
