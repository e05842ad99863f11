//! What the column of events says: the code of an outcome, or what else happened.

/// Chunks are missing, which is no outcome.
pub(super) const CHUNKS_MISSING: &str = "chunks_missing";
/// A batch of results, whose outcomes stand apart.
pub(super) const RESULTS: &str = "results";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use filemill_api::{Outcome, OutcomeClass};

    use super::*;

    #[test]
    fn no_outcome_is_written_like_something_else_that_happens() {
        for kind in [CHUNKS_MISSING, RESULTS] {
            assert_eq!(Outcome::from_code(kind), Outcome::Unknown);
        }
    }

    #[test]
    fn every_outcome_has_its_row_in_the_protocol() {
        let protocol = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
        let protocol = std::fs::read_to_string(protocol).expect("the protocol");
        let (_, list) = protocol.split_once("\n## Outcomes\n").expect("its outcomes");
        let (list, _) = list.split_once("\n## ").expect("what comes after them");
        let rows: Vec<_> = list.lines().filter(|line| line.starts_with("| `")).collect();
        for outcome in Outcome::ALL {
            let code = format!("`{}`", outcome.code());
            let row = rows.iter().find(|row| row.split('|').nth(1).is_some_and(|codes| codes.contains(&code)));
            let row = row.unwrap_or_else(|| panic!("{code} has no row"));
            assert_eq!(row.ends_with("| yes |"), outcome.class() == OutcomeClass::Analysed, "{row}");
        }
    }
}
