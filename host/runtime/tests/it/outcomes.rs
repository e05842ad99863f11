//! Every way in which a run can end, reached on purpose. The match has no arm for what is not in it: an outcome that is added
//! without a run here does not compile.

use std::collections::HashSet;

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource, Outcome, Rejection, Run};

use crate::harness::{install, job, limits, run};
use filemill_guests::guest;

macro_rules! ways_to_end {
    ($([$($outcome:tt)+] => $run:expr,)+) => {
        const ALL: &[Outcome] = &[$($($outcome)+),+];

        fn run_that_ends(outcome: Outcome) -> Run {
            match outcome {
                $($($outcome)+ => $run,)+
            }
        }
    };
}

ways_to_end! {
    [Outcome::Succeeded] => run(&guest!(counts)),
    [Outcome::Rejected(Rejection::Unsupported)] => rejected(0),
    [Outcome::Rejected(Rejection::Malformed)] => rejected(1),
    [Outcome::Rejected(Rejection::Failed)] => rejected(2),
    [Outcome::Trapped] => run(&guest!(divides_by_zero)),
    [Outcome::TimedOut] => run(&guest!(loops_in_analyze)),
    [Outcome::OverMemory] => run(&guest!(grows_memory)),
    [Outcome::OverOutput] => run(&guest!(returns_its_memory)),
    [Outcome::OverLog] => run(&guest!(floods_log)),
    [Outcome::OverHostCalls] => run(&guest!(floods_host_calls)),
    [Outcome::BadReport] => run(&guest!(returns_no_object)),
    [Outcome::Void] => on_an_input_that_ends(InputEnd::Void("it shrank".into())),
    [Outcome::Cancelled] => on_an_input_that_ends(InputEnd::Cancelled),
    [Outcome::HostFailed] => on_an_input_that_ends(InputEnd::Failed("chunk 7 does not verify".into())),
}

#[test]
fn each_outcome_is_reached_and_has_a_word_for_programs_and_one_for_people() {
    let (mut codes, mut words) = (HashSet::new(), HashSet::new());
    for &outcome in ALL {
        let run = run_that_ends(outcome);
        assert_eq!(run.outcome(), outcome, "{:?}", run.result);
        assert_eq!(run.result.is_ok(), outcome == Outcome::Succeeded);
        assert_eq!(outcome.retryable(), outcome == Outcome::HostFailed, "only the host's own fault may pass by itself");
        assert!(codes.insert(outcome.code()), "`{}` stands for two outcomes", outcome.code());
        assert!(words.insert(outcome.to_string()), "`{outcome}` stands for two outcomes");
        assert!(outcome.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", outcome.code());
    }
}

/// The guest goes by the file's announced length.
fn rejected(size: u64) -> Run {
    install(&guest!(rejects)).run(&job(size), Bytes::new(), &limits(), ())
}

fn on_an_input_that_ends(end: InputEnd) -> Run {
    struct Ends(InputEnd);
    impl InputSource for Ends {
        fn read(&mut self, _max: usize) -> Result<Bytes, InputEnd> {
            Err(self.0.clone())
        }
    }
    install(&guest!(counts)).run(&job(10), Ends(end), &limits(), ())
}
