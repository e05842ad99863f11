//! Guests that misbehave: each ends in its own outcome, within its limit, and with a message that helps.

use std::time::Duration;

use bytes::Bytes;
use filemill_host::{Limits, Outcome};

use crate::guest::guest;
use crate::harness::{failure, install, job, limits, run};

#[test]
fn an_endless_loop_ends_at_its_cpu_time() {
    for guest in [guest!(loops_in_analyze), guest!(loops_in_start)] {
        let run = run(&guest);
        assert_eq!(failure(&run, Outcome::TimedOut), "the engine used up its CPU time of 200ms");
        assert!(run.resources.cpu_time >= Duration::from_millis(200));
        // Late by a tick; by more on a machine that is too busy to tick.
        assert!(run.resources.cpu_time < Duration::from_secs(1), "{:?}", run.resources);
    }
}

#[test]
fn an_endless_loop_ends_at_its_time_on_the_clock() {
    let mut limits = limits();
    limits.wall_time.base = Duration::from_millis(50);
    let run = install(&guest!(loops_in_analyze)).run(&job(0), Bytes::new(), &limits, ());
    assert_eq!(failure(&run, Outcome::TimedOut), "the engine used up its time on the clock of 50ms");
}

#[test]
fn memory_ends_at_its_limit_however_it_is_asked_for() {
    // The tables' elements are fewer than the pool allows, but beside a memory of 2 MiB they are too much.
    for (guest, mib) in [(guest!(grows_memory), 16), (guest!(grows_tables), 3), (guest!(declares_much_memory), 16)] {
        let limits = Limits { memory_bytes: mib << 20, ..limits() };
        let run = install(&guest).run(&job(0), Bytes::new(), &limits, ());
        assert_eq!(
            failure(&run, Outcome::OverMemory),
            format!("the engine wanted more than {} bytes of memory", mib << 20)
        );
        assert!(run.resources.peak_memory_bytes <= limits.memory_bytes as u64);
    }
}

#[test]
fn deep_recursion_traps_and_leaves_the_threads_stack_alone() {
    let run = run(&guest!(recurses));
    let message = failure(&run, Outcome::Trapped);
    let expected = "the engine's calls nest too deeply for its stack, in `deeper`, called by `deeper`";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_flood_of_log_lines_keeps_what_fits_and_ends() {
    let run = run(&guest!(floods_log));
    assert_eq!(failure(&run, Outcome::OverLog), "the engine logged more than 100 lines");
    assert_eq!(run.log.len(), 100);
}

#[test]
fn a_log_line_longer_than_the_log_is_not_copied() {
    let run = run(&guest!(logs_a_long_line));
    failure(&run, Outcome::OverLog);
    assert_eq!(run.log, []);
}

#[test]
fn a_flood_of_host_calls_ends_at_its_count() {
    let run = run(&guest!(floods_host_calls));
    assert_eq!(failure(&run, Outcome::OverHostCalls), "the engine called the host more than 10000 times");
}

#[test]
fn a_report_over_the_limit_is_not_kept() {
    failure(&run(&guest!(returns_its_memory)), Outcome::OverOutput);

    let release = install(&guest!(returns_2000_bytes));
    let limit = |output_bytes| Limits { output_bytes, ..limits() };
    let run = release.run(&job(0), Bytes::new(), &limit(2000), ());
    assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
    let run = release.run(&job(0), Bytes::new(), &limit(1999), ());
    assert_eq!(failure(&run, Outcome::OverOutput), "the engine's report has 2000 bytes, at most 1999 are allowed");
}

#[test]
fn a_report_that_is_no_object_is_not_passed_on() {
    assert_eq!(
        failure(&run(&guest!(returns_no_object)), Outcome::BadReport),
        "the engine's report is not a JSON object: it is another kind of value"
    );
}

#[test]
fn a_trap_names_the_engines_functions_and_nothing_of_the_host() {
    let messages = [
        (guest!(traps), "the engine gave up (`unreachable`), in `parse_header`, called by `analyze`"),
        (guest!(divides_by_zero), "the engine broke off: integer divide by zero, in `mean`, called by `analyze`"),
        (guest!(loads_past_the_memory), "the engine broke off: out of bounds memory access, in `analyze`"),
    ];
    for (guest, expected) in messages {
        let release = install(&guest);
        for _ in 0..2 {
            let run = release.run(&job(0), Bytes::new(), &limits(), ());
            assert_eq!(failure(&run, Outcome::Trapped), expected);
        }
    }
}

#[test]
fn values_that_break_the_contracts_encoding_trap() {
    for guest in [
        guest!(forges_a_list),
        guest!(forges_an_allocation),
        guest!(returns_no_text),
        guest!(returns_a_bad_variant),
        guest!(logs_past_the_memory),
        guest!(logs_a_bad_level),
    ] {
        let run = run(&guest);
        let message = failure(&run, Outcome::Trapped);
        assert!(message.starts_with("the engine passed a broken value: "), "{message}");
        assert!(!message.contains("0x"), "{message}");
    }
}

#[test]
fn handles_that_the_engine_does_not_have_trap() {
    for guest in [guest!(drops_the_input_twice), guest!(reads_what_it_dropped)] {
        let run = run(&guest);
        let message = failure(&run, Outcome::Trapped);
        assert!(message.contains("handle"), "{message}");
    }
}

#[test]
fn handles_without_end_are_not_kept_by_the_host() {
    let run = run(&guest!(hoards_handles));
    let message = failure(&run, Outcome::Trapped);
    assert!(message.contains("handle"), "{message}");
}

#[test]
fn a_read_of_nothing_is_not_taken_for_the_end_of_the_file() {
    let run = run(&guest!(reads_nothing));
    assert_eq!(
        failure(&run, Outcome::Trapped),
        "the engine asked `read` for 0 bytes (hint: an empty list is the end of the file)"
    );
}

#[test]
fn a_good_job_beside_hostile_ones_is_as_good_as_alone() {
    let runtime = crate::harness::runtime();
    let [good, loops, bomb] = [guest!(counts), guest!(loops_in_analyze), guest!(grows_memory)]
        .map(|guest| runtime.install(&guest).expect("it can be installed"));
    let limits = limits();
    std::thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            for release in [&loops, &bomb, &bomb, &loops] {
                let run = release.run(&job(0), Bytes::new(), &limits, ());
                assert!(!run.outcome().retryable());
            }
        });
        while !hostile.is_finished() {
            let run = good.run(&job(4096), Bytes::from(vec![1; 4096]), &limits, ());
            assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":4096}"#);
        }
        hostile.join().expect("no panic");
    });
}

#[test]
fn a_slot_too_few_fails_the_host_and_not_the_engine() {
    let runtime = filemill_host::Runtime::new(filemill_host::RuntimeConfig { slots: 1, ..Default::default() })
        .expect("the runtime starts");
    let [outer, inner] = [guest!(loops_after_progress), guest!(counts)]
        .map(|guest| runtime.install(&guest).expect("it can be installed"));
    let (told, hear) = std::sync::mpsc::channel();
    // The outer run holds the one slot when it reports progress.
    let observer = move |_| {
        let run = inner.run(&job(0), Bytes::new(), &limits(), ());
        told.send(run.outcome()).expect("the test listens");
    };
    outer.run(&job(0), Bytes::new(), &limits(), observer);
    assert_eq!(hear.recv().expect("it ran"), Outcome::HostFailed);
}

#[test]
fn a_thousand_hostile_runs_leave_no_memory_behind() {
    let runtime = crate::harness::runtime();
    let guests = [guest!(traps), guest!(grows_memory), guest!(floods_log), guest!(returns_its_memory)]
        .map(|guest| runtime.install(&guest).expect("it can be installed"));
    let round = || {
        for guest in &guests {
            guest.run(&job(0), Bytes::new(), &limits(), ());
        }
    };
    (0..50).for_each(|_| round());
    let before = resident_kib();
    (0..250).for_each(|_| round());
    let after = resident_kib();
    assert!(after < before + 4 * 1024, "{before} KiB resident before, {after} KiB after");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .expect("the kernel says it")
}
