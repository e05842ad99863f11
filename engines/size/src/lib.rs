//! `size`: the smallest useful engine, and the yardstick of the engine contract. It counts bytes and lines.
//!
//! The report is one JSON object, `{"bytes": n, "lines": n}`. `bytes` is the number of bytes that were read, `lines` the
//! number of newline bytes (0x0A), plus one if the file is not empty and its last byte is not a newline: a last line without
//! its newline is a line, and an empty file has none.
//!
//! `count` does the counting and says what was counted; this file is the border to the host. `v2` beside it is the same
//! engine for contract 2, and its reports are the same to the byte.

mod count;

use filemill_engine::{Description, Engine, Failure, File, Input, NoParameters, Report};

use count::{Counts, PIECE_BYTES};

/// The engine.
pub struct Size;

impl Engine for Size {
    type Parameters = NoParameters;

    fn describe() -> Description {
        filemill_engine::description!().report::<Counts>()
    }

    fn analyze(_file: &File, input: &mut Input, _parameters: NoParameters) -> Result<Report, Failure> {
        let mut counts = Counts::default();
        loop {
            let piece = input.next(PIECE_BYTES)?;
            if piece.is_empty() {
                return counts.report();
            }
            counts.add(&piece);
        }
    }
}

filemill_engine::export!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_describes_itself_soundly() {
        Size::describe().check().expect("sound");
    }

    #[test]
    fn a_file_is_counted_and_said_in_one_line() {
        let report = filemill_engine::run::<Size>("a.txt", "a\nb", "{}").expect("a report");
        assert_eq!(report.json(), r#"{"bytes":3,"lines":2}"#);
        assert_eq!(report.summary(), "2 lines, 3 bytes");
    }

    #[test]
    fn parameters_are_refused_rather_than_ignored() {
        let failure = filemill_engine::run::<Size>("a.txt", "", r#"{"unit":"KiB"}"#).expect_err("refused");
        assert!(failure.sentence().contains("`unit`"), "{failure:?}");
    }
}
