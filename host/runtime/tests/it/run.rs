//! What a good engine gets, and what its caller is told.

use std::sync::mpsc;

use bytes::Bytes;
use filemill_runtime::{Cancel, Job, Level, Limits, Outcome, Parameters, Rejection, Severity};

use crate::harness::{failure, install, job, limits, run, run_on};
use filemill_guests::guest;

#[test]
fn every_byte_of_the_input_reaches_the_engine() {
    for size in [0, 1, 4096, 1_048_576, 1_048_577, 5_000_000] {
        let run = run_on(&guest!(counts), Bytes::from(vec![7; size]));
        let report = run.result.expect("it succeeds");
        assert_eq!(report.json, format!("{{\"bytes\":{size}}}"));
        assert_eq!(run.resources.bytes_read, size as u64);
        assert!(run.resources.read_to_end);
    }
}

#[test]
fn a_run_says_what_it_used() {
    let run = run_on(&guest!(counts), Bytes::from(vec![7; 3 << 20]));
    // Log, progress, three reads of 1 MiB and the one that finds the end.
    assert_eq!(run.resources.host_calls, 6);
    assert_eq!(run.resources.peak_memory_bytes, 2 << 20);
    assert!(!run.resources.cpu_time.is_zero());
    assert!(!run.resources.wall_time.is_zero());
    let log: Vec<_> = run.log.iter().map(|line| (line.level, line.message.as_str())).collect();
    assert_eq!(log, [(Level::Info, "counting")]);
}

#[test]
fn no_read_gives_more_than_its_limit() {
    let release = install(&guest!(counts));
    let limits = Limits { read_bytes: 1000, ..limits() };
    let run = release.run(&job(4096), Bytes::from(vec![7; 4096]), &limits, ());
    assert_eq!(run.result.expect("it succeeds").json, r#"{"bytes":4096}"#);
    // Log, progress, 4,096 bytes in thousands, the end.
    assert_eq!(run.resources.host_calls, 2 + 5 + 1);
}

#[test]
fn one_release_runs_many_times_and_keeps_nothing() {
    let release = install(&guest!(counts));
    for size in 0..200 {
        let run = release.run(&job(size), Bytes::from(vec![0; size as usize]), &limits(), ());
        assert_eq!(run.result.expect("it succeeds").json, format!("{{\"bytes\":{size}}}"));
    }
}

#[test]
fn an_engine_that_does_not_read_is_told_apart() {
    let run = run(&guest!(never_reads));
    assert_eq!(run.outcome(), Outcome::Succeeded);
    assert_eq!(run.resources.bytes_read, 0);
    assert!(!run.resources.read_to_end);
}

#[test]
fn reading_past_the_end_gives_nothing_for_ever() {
    let run = run(&guest!(reads_past_the_end));
    assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
}

#[test]
fn name_and_parameters_reach_the_engine() {
    let parameters = r#"{"depth": 3, "text": "ä"}"#;
    let job = Job {
        name: "Bücher/\u{fffd}.txt".into(),
        parameters: Parameters::parse(parameters).expect("an object"),
        ..Job::default()
    };
    let run = install(&guest!(echoes_its_parameters)).run(&job, Bytes::new(), &limits(), ());
    assert_eq!(run.result.expect("it succeeds").json, parameters);
    assert_eq!(run.log[0].message, job.name);
}

#[test]
fn parameters_that_are_no_object_never_reach_an_engine() {
    for bad in ["1", "[]", "{", "{}{}"] {
        Parameters::parse(bad).expect_err(bad);
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(Parameters::MAX_BYTES));
    Parameters::parse(long).expect_err("too long");
    assert_eq!(Parameters::parse("").expect("stands for {}").as_str(), "{}");
}

#[test]
fn the_engines_own_reasons_are_kept_apart_and_made_printable() {
    let release = install(&guest!(rejects));
    for (size, rejection) in [(0, Rejection::Unsupported), (1, Rejection::Malformed), (2, Rejection::Failed)] {
        let run = release.run(&job(size), Bytes::new(), &limits(), ());
        assert_eq!(failure(&run, Outcome::Rejected(rejection)), "no luck\u{fffd}[2J");
        assert!(!run.outcome().retryable());
    }
}

#[test]
fn progress_reaches_the_observer() {
    let (seen, all) = mpsc::channel();
    let observer = move |per_mille| seen.send(per_mille).expect("the test listens");
    let run = install(&guest!(counts)).run(&job(0), Bytes::new(), &limits(), observer);
    assert_eq!(run.outcome(), Outcome::Succeeded);
    assert_eq!(all.iter().collect::<Vec<u16>>(), [1000]);
}

#[test]
fn a_busy_engine_is_cancelled() {
    let cancel = Cancel::default();
    let job = Job { cancel: cancel.clone(), ..job(0) };
    let limits = Limits { cpu_time: Limits::default().cpu_time, ..limits() };
    let release = install(&guest!(loops_after_progress));
    let run = release.run(&job, Bytes::new(), &limits, move |_| cancel.cancel());
    failure(&run, Outcome::Cancelled);
    assert!(run.resources.cpu_time < limits.cpu_time.base, "it was not left to time out");
}

#[test]
fn a_cancelled_job_does_not_start() {
    let job = job(0);
    job.cancel.cancel();
    let run = install(&guest!(counts)).run(&job, Bytes::new(), &limits(), ());
    failure(&run, Outcome::Cancelled);
    assert_eq!(run.resources.host_calls, 0);
}

#[test]
fn the_runtimes_maxima_hold_whatever_the_runs_limits_say() {
    let runtime = filemill_runtime::Runtime::new(filemill_runtime::RuntimeConfig {
        slots: 1,
        maxima: limits(),
        ..Default::default()
    })
    .expect("the runtime starts");
    let release = runtime.install(&guest!(grows_memory)).expect("it can be installed");
    let greedy = Limits { memory_bytes: usize::MAX, ..Limits::default() };
    let run = release.run(&job(0), Bytes::new(), &greedy, ());
    failure(&run, Outcome::OverMemory);
    assert!(run.resources.peak_memory_bytes <= 16 << 20);
}

#[test]
fn every_byte_of_a_stream_reaches_the_engine() {
    for size in [0, 1, 4096, 1_048_576, 1_048_577, 5_000_000] {
        let run = run_on(&guest!(counts_a_stream), Bytes::from(vec![7; size]));
        let report = run.result.expect("it succeeds");
        assert_eq!(report.json, format!("{{\"bytes\":{size}}}"));
        assert_eq!(run.resources.bytes_read, size as u64);
        assert!(run.resources.read_to_end);
    }
}

#[test]
fn findings_and_artifacts_arrive_as_they_were_handed_out() {
    let report = run(&guest!(hands_out_findings_and_an_artifact)).result.expect("it succeeds");
    let found: Vec<_> = report.findings.iter().map(|found| (found.kind.as_str(), found.severity)).collect();
    assert_eq!(found, [("plot.svg", Severity::High), ("plot", Severity::Info)]);
    assert_eq!(report.artifacts.len(), 1);
    let artifact = &report.artifacts[0];
    assert_eq!((artifact.name.as_str(), artifact.media_type.as_str()), ("plot.svg", "image/svg+xml"));
    assert_eq!(artifact.data, "no luckplot");
}
