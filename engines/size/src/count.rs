//! Counting the bytes and lines of a stream of pieces, and saying what was counted.

use filemill_engine::{Failure, Report};
use schemars::JsonSchema;
use serde::Serialize;

/// How much is asked for at once. Larger pieces leave the processor's caches between the host's copy and the count.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Counts {
    /// How many bytes were read.
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes", "x-column" = true))]
    bytes: u64,
    /// How many lines they are; a last one without its newline is one.
    #[schemars(title = "Lines", extend("x-format" = "count", "x-column" = true))]
    lines: u64,
    /// Whether bytes came after the last newline.
    #[serde(skip)]
    open: bool,
}

impl Counts {
    /// Counts the next bytes.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        let newlines = memchr::memchr_iter(b'\n', piece).count() as u64;
        let opens = *last != b'\n';
        self.bytes += piece.len() as u64;
        // The line that was open until here is the one that the first newline closes.
        self.lines += newlines + u64::from(opens) - u64::from(self.open);
        self.open = opens;
    }

    /// What there is to say.
    pub(crate) fn report(&self) -> Result<Report, Failure> {
        let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let summary = format!("{}, {}", counted(self.lines, "line"), counted(self.bytes, "byte"));
        Report::new(summary, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(bytes: &[u8], piece: usize) -> (u64, u64) {
        let mut counts = Counts::default();
        bytes.chunks(piece).for_each(|piece| counts.add(piece));
        (counts.bytes, counts.lines)
    }

    #[test]
    fn a_last_line_without_newline_is_a_line_and_an_empty_file_has_none() {
        for (text, lines) in [("", 0), ("a", 1), ("\n", 1), ("a\n", 1), ("a\nb", 2), ("a\n\n", 2), ("\r\n\r", 2)] {
            for piece in 1..=4 {
                assert_eq!(counted(text.as_bytes(), piece), (text.len() as u64, lines), "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn a_line_across_pieces_is_one_line() {
        assert_eq!(counted(b"abcdefgh", 1), (8, 1));
        assert_eq!(counted(b"ab\ncd\nef", 2), (8, 3));
    }

    #[test]
    fn one_is_not_many() {
        let mut counts = Counts::default();
        counts.add(b"\n");
        assert_eq!(counts.report().expect("a report").summary(), "1 line, 1 byte");
    }
}
