//! `text`: reads text files: encoding, language, lines, and secrets that should not be there.
//!
//! One pass, in memory that does not depend on the file: a piece of 128 KiB, its text, and of a line at most 16 KiB.
//!
//! - **Encoding.** A byte order mark decides; UTF-16 without one is known by its zero bytes; what is not UTF-8 is guessed by
//!   `chardetng` from the 64 KiB that follow the first byte beyond ASCII. A file with zero bytes or many control characters
//!   in its first 16 KiB is `unsupported`.
//! - **Lines** end with LF, CRLF or CR; lengths are in characters, without the ending. The artifact `line-lengths.svg` shows
//!   how many lines are how long.
//! - **Language** by trigrams (`whatlang`) of the first 16 KiB of text, told only where there is little doubt.
//! - **Secrets**: private keys, keys and tokens of cloud and payment services, passwords in URLs, and values with much
//!   entropy that are assigned to names such as `token`. `secrets::patterns` lists them all with their sources. Each is told
//!   by kind, line and column, with its first four characters and a short hash, never as it is; 200 at most, all are
//!   counted. A very long line is searched in parts that overlap by 2 KiB; a secret longer than that may be missed there.
//!
//! The parameter `secrets: false` leaves the search out.

mod decode;
mod language;
mod lines;
mod report;
mod secrets;

use filemill_engine::{Description, Engine, Failure, File, Input, Report};
use filemill_plot::{Axis, Bar, Chart, Unit};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::language::Sample;
use crate::lines::{CLASS_WIDTH, Counts, Lines};
use crate::report::Text as TextReport;
use crate::secrets::Search;

/// The engine.
struct Text;

/// What the uploader may set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Whether to look for secrets.
    secrets: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { secrets: true }
    }
}

impl Engine for Text {
    type Parameters = Parameters;

    fn describe() -> Description {
        filemill_engine::description!()
            .media_types(["text/*", "application/json", "application/xml", "application/x-sh"])
            // Text that the usual tables of names call something else, or nothing.
            .extensions([
                "txt",
                "log",
                "sql",
                "eml",
                "mbox",
                "pem",
                "csr",
                "asc",
                "ini",
                "cfg",
                "conf",
                "toml",
                "yaml",
                "yml",
                "properties",
                "env",
                "rst",
                "adoc",
                "tex",
                "bib",
                "srt",
                "diff",
                "patch",
                "rs",
                "go",
                "kt",
                "swift",
                "lua",
                "pl",
                "py",
                "rb",
                "php",
                "sh",
                "bash",
                "zsh",
                "ps1",
                "bat",
                "cmd",
                "tf",
                "proto",
                "graphql",
                "gradle",
                "jsx",
                "tsx",
                "vue",
                "json5",
                "ics",
                "vcf",
                "ldif",
                "reg",
            ])
            .parameters::<Parameters>()
            .report::<TextReport>()
    }

    fn analyze(_file: &File, input: &mut Input, parameters: Parameters) -> Result<Report, Failure> {
        let mut search = match parameters.secrets {
            true => Some(Search::new().map_err(|error| Failure::failed(error.to_string()))?),
            false => None,
        };
        let mut each = |part: lines::Part<'_>| {
            if let Some(search) = &mut search {
                search.look(part);
            }
        };
        let mut lines = Lines::default();
        let mut sample = Sample::default();
        let decoded = decode::decode(input, |text| {
            sample.take(text);
            lines.take(text, &mut each);
        })?;
        let counts = lines.finish(&mut each);

        let mut report = TextReport::of(&decoded, &counts);
        report.language = sample.language();
        if let Some(search) = search {
            let (secrets, total) = search.finish();
            report.truncated = total > secrets.len() as u64;
            report.secrets = secrets;
            report.secrets_found = Some(total);
        }
        let plot = plot(&counts);
        Ok(Report::new(report.summary(), &report)?.with_artifact("line-lengths.svg", "image/svg+xml", plot))
    }
}

filemill_engine::export!(Text);

/// How many lines are how long. The last bar stands for all that are longer.
fn plot(counts: &Counts) -> String {
    let class = |(index, &lines): (usize, &u64)| {
        let from = index as u64 * CLASS_WIDTH;
        Bar { from: from as f64, to: (from + CLASS_WIDTH) as f64, height: lines as f64 }
    };
    let bars: Vec<_> = counts.lengths.iter().enumerate().map(class).collect();
    let x = Axis::new("characters in a line (the last bar: more)", Unit::Number);
    Chart::new("Line lengths", x, Axis::new("lines", Unit::Number)).bars(&bars)
}

#[cfg(test)]
mod tests;
