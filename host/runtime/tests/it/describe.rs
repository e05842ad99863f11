//! What a release says about itself.

use filemill_runtime::{DescribeError, Outcome};

use crate::harness::{install, limits};
use filemill_guests::guest;

#[test]
fn a_good_description_is_passed_on() {
    let said = install(&guest!(counts)).describe(&limits()).expect("it describes itself");
    assert_eq!(
        (said.name.as_str(), said.version.as_str(), said.summary.as_str()),
        ("guest", "1.0.0", "A guest of the tests.")
    );
    assert_eq!(said.media_types, [""; 0]);
    assert_eq!(said.parameter_schema, "");
}

#[test]
fn a_name_that_breaks_the_rules_is_refused() {
    let error = install(&guest!(describes_a_bad_name)).describe(&limits());
    let error = error.expect_err("it is refused");
    assert!(matches!(error, DescribeError::Invalid { field: "name", .. }), "{error}");
}

#[test]
fn descriptions_end_at_the_same_limits_as_runs() {
    for (guest, outcome) in [
        (guest!(loops_in_describe), Outcome::TimedOut),
        (guest!(loops_in_start), Outcome::TimedOut),
        (guest!(declares_much_memory), Outcome::OverMemory),
        (guest!(describes_at_length), Outcome::OverOutput),
        (guest!(describes_aliased_lists), Outcome::OverOutput),
    ] {
        match install(&guest).describe(&limits()) {
            Err(DescribeError::Ended(failure)) => assert_eq!(failure.outcome(), outcome),
            other => panic!("{outcome}: {other:?}"),
        }
    }
}
