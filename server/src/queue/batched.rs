//! Which jobs a batch of results answers, and how each ended, as a row of events has it: `succeeded:1f failed:20`, outcome codes with
//! masks in hex, bit 0 for the job that the row names.

use std::fmt::Write as _;

use filemill_api::{JobOutcome, Outcome};

use super::masks;

/// What stands in the row. None: nothing, because it is one job alone, whose outcome is the row's kind.
pub(super) fn written(jobs: &[JobOutcome]) -> Option<String> {
    let (first, more) = jobs.split_first()?;
    if more.is_empty() {
        return None;
    }
    let mut text = String::new();
    for outcome in Outcome::ALL {
        let of_outcome = jobs.iter().filter(|one| one.outcome == outcome);
        let mask = of_outcome.filter_map(|one| masks::bit(first.job, one.job)).fold(0, |mask, bit| mask | bit);
        if mask != 0 {
            let blank = if text.is_empty() { "" } else { " " };
            let _infallible = write!(text, "{blank}{}:{mask:x}", outcome.code());
        }
    }
    Some(text)
}

/// The jobs of a row that names this one, ascending. None: the row does not say that in a way that this build knows.
pub(super) fn read(first: u32, kind: &str, text: Option<&str>) -> Option<Vec<JobOutcome>> {
    let Some(text) = text else {
        return Some(vec![JobOutcome { job: first, outcome: Outcome::from_code(kind) }]);
    };
    let mut jobs = Vec::new();
    for part in text.split(' ') {
        let (code, mask) = part.split_once(':')?;
        let (outcome, mask) = (Outcome::from_code(code), u64::from_str_radix(mask, 16).ok()?);
        jobs.extend(masks::indexes(first, mask).map(|job| JobOutcome { job, outcome }));
    }
    jobs.sort_unstable_by_key(|one| one.job);
    Some(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(outcomes: &[(u32, Outcome)]) -> Vec<JobOutcome> {
        outcomes.iter().map(|&(job, outcome)| JobOutcome { job, outcome }).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let batch =
            jobs(&[(70, Outcome::Succeeded), (71, Outcome::Failed), (73, Outcome::Succeeded), (133, Outcome::Void)]);
        let text = written(&batch).expect("several");
        assert_eq!(text, "succeeded:9 failed:2 void:8000000000000000");
        assert_eq!(read(70, "results", Some(&text)), Some(batch));
        let one = jobs(&[(5, Outcome::Trapped)]);
        assert_eq!(written(&one), None);
        assert_eq!(read(5, "trapped", None), Some(one));
        assert_eq!(read(5, "results", Some("succeeded")), None);
    }
}
