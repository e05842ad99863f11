//! Guests that misbehave: each ends in its own outcome, within its limit, with a message that helps, and costs no other job
//! anything. What every guest has to do is in the folder beside; here is what some do in particular.

mod beside;
mod each;
mod expected;
mod rounds;

use std::time::Duration;

use bytes::Bytes;
use filemill_runtime::{Job, Limits, Outcome, Release, Run};

use crate::harness::{failure, install, job, limits, run};
use filemill_guests::guest;

/// Runs a release over ten bytes, which it may read in the way that its description asks for.
fn run_as_described(release: &Release, limits: &Limits) -> Run {
    let access = release.describe(limits).map(|said| said.access).unwrap_or_default();
    let job = Job { access, ..job(10) };
    release.run(&job, crate::harness::Seekable(Bytes::from_static(b"some bytes")), limits, ())
}

#[test]
fn an_endless_loop_ends_at_its_cpu_time() {
    for guest in [guest!(loops_in_analyze), guest!(loops_in_start)] {
        let run = run(&guest);
        assert_eq!(failure(&run, Outcome::TimedOut), "the engine used up its CPU time of 100ms");
        assert!(run.resources.cpu_time >= Duration::from_millis(100));
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
    assert_eq!(failure(&run, Outcome::OverHostCalls), "the engine called the host more than 5000 times");
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
fn a_slot_too_few_fails_the_host_and_not_the_engine() {
    let runtime = filemill_runtime::Runtime::new(filemill_runtime::RuntimeConfig { slots: 1, ..Default::default() })
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
fn hashing_for_the_engine_is_on_the_engines_clock() {
    let release = install(&guest!(digests_for_ever));
    let job = Job { access: filemill_runtime::Access::Seekable, ..job(16 << 20) };
    let file = crate::harness::Seekable(Bytes::from(vec![7; 16 << 20]));
    let run = release.run(&job, file, &limits(), ());
    assert_eq!(failure(&run, Outcome::TimedOut), "the engine used up its CPU time of 100ms");
    assert!(run.resources.cpu_time < Duration::from_secs(1), "{:?}", run.resources);
}

#[test]
fn an_input_that_is_handed_out_again_is_an_artifact_like_any_other() {
    let release = install(&guest!(hands_out_its_input));
    let run = release.run(&job(10), Bytes::from_static(b"some bytes"), &limits(), ());
    assert_eq!(run.result.expect("it succeeds").artifacts[0].data, "some bytes");
    let file = Bytes::from(vec![7; 32 << 10]);
    let run = release.run(&job(32 << 10), file, &limits(), ());
    assert_eq!(failure(&run, Outcome::OverOutput), "the engine handed out more than 16384 bytes of artifacts");
}

#[test]
fn who_waits_for_nothing_is_cancelled_as_well() {
    let cancel = filemill_runtime::Cancel::default();
    let limits = Limits { wall_time: Limits::default().wall_time, ..limits() };
    let release = install(&guest!(waits_for_an_end_it_holds_up));
    let job = Job { cancel: cancel.clone(), ..job(10) };
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| release.run(&job, Bytes::from_static(b"some bytes"), &limits, ()));
        cancel.cancel();
        run.join().expect("no panic")
    });
    failure(&run, Outcome::Cancelled);
}
