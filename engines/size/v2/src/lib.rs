//! `size-v2`: the engine `size` for contract 2. It counts with the same source, and its reports are the same to the byte.

#[path = "../../src/count.rs"]
mod count;

use filemill_engine::v2::{Engine, Input, Output};
use filemill_engine::{Description, Failure, File, NoParameters, Report};

use count::{Counts, PIECE_BYTES};

/// The engine.
pub struct Size;

impl Engine for Size {
    type Parameters = NoParameters;

    fn describe() -> Description {
        filemill_engine::description!().report::<Counts>()
    }

    async fn analyze(
        file: &File,
        input: &mut Input,
        _output: &Output,
        _parameters: NoParameters,
    ) -> Result<Report, Failure> {
        let mut counts = Counts::default();
        // One buffer for all pieces, no larger than a small file needs, and a byte more to see its end.
        let bytes = usize::try_from(file.size).unwrap_or(PIECE_BYTES).saturating_add(1).clamp(64, PIECE_BYTES);
        let mut piece = Vec::with_capacity(bytes);
        while input.read(&mut piece).await? > 0 {
            counts.add(&piece);
        }
        counts.report()
    }
}

filemill_engine::v2::export!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_describes_itself_soundly() {
        Size::describe().check().expect("sound");
    }

    #[test]
    fn a_file_is_counted_and_said_as_by_contract_1() {
        let ran = filemill_engine::v2::run::<Size>("a.txt", "a\nb", "{}");
        let report = ran.report.expect("a report");
        assert_eq!(report.json(), r#"{"bytes":3,"lines":2}"#);
        assert_eq!(report.summary(), "2 lines, 3 bytes");
        assert!(ran.findings.is_empty());
    }
}
