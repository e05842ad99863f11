//! One test for each guest, by its name: it ends as `expected.rs` says, and the runtime goes on.

use bytes::Bytes;
use filemill_guests::{Guest, for_each_guest};
use filemill_runtime::{DescribeError, Limits, Outcome, Release, Run, Runtime, RuntimeConfig};

use super::expected::{Ends, ends};
use crate::harness::{job, limits, runtime};

macro_rules! each {
    ($name:ident, $guest:ident) => {
        #[test]
        fn $name() {
            check(Guest::$guest);
        }
    };
}
for_each_guest!(each);

#[track_caller]
fn check(guest: Guest) {
    let runtime = runtime();
    let limits = limits();
    match (ends(guest), runtime.install(&guest.component())) {
        (Ends::Refused(why), Err(error)) => {
            assert!(error.to_string().contains(why), "{error}");
            assert!(!error.hint().is_empty());
        }
        (Ends::Refused(why), Ok(_)) => panic!("it installs, and should be refused: {why}"),
        (_, Err(error)) => panic!("it does not install: {error}"),
        (ends, Ok(release)) => {
            let described = release.describe(&limits);
            match ends {
                Ends::Described(outcome, says) => match described {
                    Err(DescribeError::Ended(failure)) => {
                        assert_eq!(failure.outcome(), outcome, "{}", failure.message());
                        assert!(failure.message().contains(says), "{}", failure.message());
                    }
                    other => panic!("{other:?}"),
                },
                Ends::DescribedBadly(part) => match described {
                    Err(DescribeError::Invalid { field, .. }) => assert_eq!(field, part),
                    other => panic!("{other:?}"),
                },
                _ => {}
            }
            let run = super::run_as_described(&release, &limits);
            check_bounds(&run, &limits);
            match ends {
                Ends::Run(outcome, says) => {
                    assert_eq!(run.outcome(), outcome, "{:?}", run.result);
                    let failure = run.result.as_ref().expect_err("it is no success");
                    assert!(failure.message().contains(says), "{}", failure.message());
                    assert!(!outcome.retryable());
                }
                Ends::Succeeds => assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result),
                _ => {}
            }
        }
    }
    good_jobs_still_run(&runtime);
}

/// Whatever it did, it used no more than it may.
#[track_caller]
fn check_bounds(run: &Run, limits: &Limits) {
    let used = &run.resources;
    assert!(used.peak_memory_bytes <= limits.memory_bytes as u64, "{used:?}");
    assert!(used.host_calls <= limits.host_calls + 1, "{used:?}");
    assert!(run.log.len() <= limits.log_lines);
    if let Ok(report) = &run.result {
        let artifacts: usize = report.artifacts.iter().map(|artifact| artifact.data.len()).sum();
        assert!(artifacts <= limits.artifact_bytes && report.json.len() <= limits.output_bytes);
    }
    // A tick late, or more where the machine is too busy to tick.
    let allowed = limits.cpu_time.base * 5;
    assert!(used.cpu_time < allowed, "{used:?}");
}

#[track_caller]
fn good_jobs_still_run(runtime: &Runtime) {
    for good in [Guest::Counts, Guest::CountsAStream] {
        let release = runtime.install(&good.component()).expect("it installs");
        // More often than there are slots: none is lost.
        for _ in 0..4 {
            let run = release.run(&job(3), Bytes::from_static(b"abc"), &limits(), ());
            assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":3}"#);
        }
    }
}

/// What a run may use at most, the runtime knows too: a release that asks for more at its start is refused at install.
#[test]
fn a_guest_that_declares_too_much_for_any_run_is_refused_where_the_maxima_say_so() {
    let config = RuntimeConfig { maxima: limits(), slots: 1, ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).expect("the runtime starts");
    let install = |guest: Guest| -> Result<Release, _> { runtime.install(&guest.component()) };
    install(Guest::DeclaresMuchMemory).expect_err("128 MiB are too much");
    install(Guest::GrowsMemory).expect("it asks for that later");
}
