//! All guests, a thousand times: none leaves anything behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use filemill_guests::Guest;
use filemill_runtime::{Access, Job, Limits, Outcome, Release, Runtime, RuntimeConfig, TimeLimit};

use super::expected::{Ends, ends};
use crate::harness::{Seekable, job, limits, resident_kib};

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
    let releases: Vec<Installed> = Guest::ALL
        .into_iter()
        .filter_map(|guest| {
            let release = runtime.install(&guest.component()).ok()?;
            let access = release.describe(&limits()).map(|said| said.access).unwrap_or_default();
            Some(Installed { guest, release, access })
        })
        .collect();
    assert!(releases.len() > 100, "only {} guests can be installed", releases.len());

    // What the allocator and the runtime's pools keep grows by some 30 MiB at first, and not any more after some hundred rounds.
    rounds(&releases, ROUNDS / 2);
    let before = resident_kib();
    rounds(&releases, ROUNDS);
    let after = resident_kib();
    // About 60 bytes a run: less than anything that a run could forget. (From then on it goes up and down by 2 MiB.)
    let allowed = 8 * 1024;
    assert!(after < before + allowed, "{before} KiB resident before, {after} KiB after");

    // Over a sound file and with limits for it, the good ones are as good as ever.
    for good in releases.iter().filter(|one| matches!(one.guest, Guest::Counts | Guest::CountsAStream)) {
        let run = good.release.run(&job(3), Bytes::from_static(b"abc"), &limits(), ());
        assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":3}"#);
    }
}

struct Installed {
    guest: Guest,
    release: Release,
    access: Access,
}

impl Installed {
    fn run(&self, limits: &Limits) {
        if matches!(ends(self.guest), Ends::Described(..) | Ends::DescribedBadly(_)) {
            self.release.describe(limits).expect_err("it says something wrong, or nothing");
            return;
        }
        let job = Job { access: self.access, ..job(10) };
        let run = self.release.run(&job, Seekable(Bytes::from_static(b"some bytes")), limits, ());
        assert_ne!(run.outcome(), Outcome::HostFailed, "{:?}: {:?}", self.guest, run.result);
    }
}

/// Runs each guest so many times, on as many threads as there are slots.
fn rounds(releases: &[Installed], rounds: usize) {
    let limits = tight();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < rounds {
                    releases.iter().for_each(|one| one.run(&limits));
                }
            });
        }
    });
}
