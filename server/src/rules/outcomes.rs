//! How outcomes are written in the database.

use filemill_api::Outcome;

/// What the column says of missing chunks, which are no outcome.
pub(super) const CHUNKS_MISSING: &str = "chunks_missing";

const CODES: [(Outcome, &str); 14] = [
    (Outcome::Succeeded, "succeeded"),
    (Outcome::Rejected, "rejected"),
    (Outcome::Failed, "failed"),
    (Outcome::Trapped, "trapped"),
    (Outcome::TimedOut, "timed_out"),
    (Outcome::OverMemory, "over_memory"),
    (Outcome::OverOutput, "over_output"),
    (Outcome::OverLog, "over_log"),
    (Outcome::OverHostCalls, "over_host_calls"),
    (Outcome::Void, "void"),
    (Outcome::Refused, "refused"),
    (Outcome::Cancelled, "cancelled"),
    (Outcome::HostFailed, "host_failed"),
    (Outcome::Quarantined, "quarantined"),
];

/// The code of an outcome; none for one that this build does not know.
pub(super) fn code(outcome: Outcome) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == outcome).map(|(_, code)| *code)
}

/// The outcome of a code; a later server may have written one that this build does not know.
pub(super) fn from_code(code: &str) -> Outcome {
    CODES.iter().find(|(_, known)| *known == code).map_or(Outcome::Unknown, |(outcome, _)| *outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_wire() {
        for (outcome, code) in CODES {
            assert_eq!(serde_json::to_value(outcome).ok(), Some(serde_json::Value::from(code)));
            assert_eq!(from_code(code), outcome);
        }
    }
}
