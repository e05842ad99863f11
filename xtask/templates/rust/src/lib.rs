//! `{{name}}`: counts how often one byte occurs. Change it into what you need.

use filemill_engine::{Description, Engine, Failure, File, Input, Report, info};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Read this much at a time; the host may give less.
const PIECE_BYTES: usize = 256 * 1024;

/// The engine.
pub struct {{Name}}Engine;

/// What the uploader may set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The byte to count.
    #[schemars(title = "Byte to count")]
    byte: u8,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { byte: b'\n' }
    }
}

/// What is reported, and how to show it.
#[derive(Serialize, JsonSchema)]
struct Counts {
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes"))]
    bytes: u64,
    #[schemars(title = "Matches", extend("x-format" = "count", "x-column" = true))]
    matches: u64,
}

impl Engine for {{Name}}Engine {
    type Parameters = Parameters;

    fn describe() -> Description {
        // Name, version and summary are those of Cargo.toml.
        filemill_engine::description!().parameters::<Parameters>().report::<Counts>()
    }

    fn analyze(_file: &File, input: &mut Input, parameters: Parameters) -> Result<Report, Failure> {
        let byte = parameters.byte;
        info!("counting byte {byte}");
        let mut counts = Counts { bytes: 0, matches: 0 };
        loop {
            let piece = input.next(PIECE_BYTES)?; // empty at the end of the file
            if piece.is_empty() {
                break;
            }
            counts.bytes += piece.len() as u64;
            counts.matches += piece.iter().filter(|other| **other == byte).count() as u64;
        }
        Report::new(format!("{} matches in {} bytes", counts.matches, counts.bytes), &counts)
    }
}

filemill_engine::export!({{Name}}Engine);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_describes_itself_soundly() {
        {{Name}}Engine::describe().check().expect("sound");
    }

    #[test]
    fn bytes_are_counted() {
        let report = filemill_engine::run::<{{Name}}Engine>("a.txt", "a-b-c", r#"{"byte": 45}"#).expect("a report");
        assert_eq!(report.json(), r#"{"bytes":5,"matches":2}"#);
    }
}
