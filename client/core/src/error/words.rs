//! Parts of sentences that errors have in common.

pub(super) fn only_of(others: &str) -> String {
    if others.is_empty() { String::new() } else { format!(", only of {others}") }
}

pub(super) fn other_program(process: Option<u32>) -> String {
    process.map_or("another program of this home".to_owned(), |id| format!("process {id} of this home"))
}

/// How far a clock is ahead or behind, in words.
pub(super) fn clock_difference(ahead_s: i64) -> String {
    let seconds = ahead_s.unsigned_abs();
    let (number, unit) = match seconds {
        0..7_200 => ((seconds + 30) / 60, "minutes"),
        7_200..172_800 => ((seconds + 1_800) / 3_600, "hours"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    };
    format!("{number} {unit} {}", if ahead_s < 0 { "behind" } else { "ahead of" })
}
