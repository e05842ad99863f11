//! `table`: what is in the columns of a CSV, TSV or JSON lines file.
//!
//! For each column: its type, nulls, an estimate of how many different values there are, and of numbers least, most, mean,
//! standard deviation, quantiles and a histogram. One pass, and memory that depends on the number of columns alone: distinct
//! values are estimated by HyperLogLog, quantiles from a uniform sample of 16,384 numbers a column.
//!
//! - **Kind of file.** A file that begins with `{` is JSON lines; else the delimiter (comma, tab, semicolon, bar) is the one
//!   that cuts the first rows most evenly, and the first row is a header when all of it is text and nothing stands there twice.
//! - **Types.** A column has the type that most of its values have; the others are counted as exceptions. A word for nothing
//!   (`NA`, `null`, …) is null. Numbers with zeros in front, and dates that are not ISO 8601, are text.
//! - **Rows.** Blank lines are skipped. Rows with more or fewer fields than the first are counted as ragged, and what they lack
//!   is null. A line of JSON that is no object is counted as broken.
//! - **Quotes.** `csv-core` reads rows with quotes. Rows without any are cut at delimiters and line ends, by sixteen bytes at
//!   once and where they lie, which means the same and takes a third of the time.
//! - **What ends it**: a file that is no text or UTF-16 (unsupported), a row above 4 MiB or 65,536 fields, JSON lines
//!   without a single object (malformed).
//!
//! | parameter | is | by default |
//! | --- | --- | --- |
//! | `format` | `auto`, `delimited`, `json-lines` | `auto` |
//! | `delimiter` | one ASCII character | as it looks |
//! | `header` | `auto`, `yes`, `no` | `auto` |
//! | `columns` | how many columns are looked at, 1 to 256 | 100 |
//! | `histograms` | how many numeric columns get a histogram, 0 to 64 | 16 |

mod column;
mod delimited;
mod detect;
mod distinct;
mod histogram;
mod json_lines;
mod numbers;
mod parameters;
mod plain;
mod profile;
mod said;
mod short;
mod value;

use filemill_engine::{Description, Engine, Failure, File, Input, Report};

use delimited::Delimited;
use histogram::histogram;
use json_lines::JsonLines;
pub use parameters::{Format, Header, Parameters};
use profile::Profile;
use said::{ColumnSaid, Said};

/// The engine.
pub struct Table;

/// How much is asked for at once.
const PIECE_BYTES: usize = 256 * 1024;

/// What some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Engine for Table {
    type Parameters = Parameters;

    fn describe() -> Description {
        filemill_engine::description!()
            // Not all text, nor all JSON: other engines know more of those.
            .media_types(["text/csv", "text/tab-separated-values", "application/jsonl", "application/x-ndjson"])
            .extensions(["csv", "tsv", "tab", "jsonl", "ndjson"])
            .parameters::<Parameters>()
            .report::<Said>()
    }

    fn analyze(file: &File, input: &mut Input, parameters: Parameters) -> Result<Report, Failure> {
        parameters.check()?;
        let mut head = input.next(PIECE_BYTES)?;
        while head.len() < detect::HEAD_BYTES {
            let piece = input.next(PIECE_BYTES)?;
            if piece.is_empty() {
                break;
            }
            head.extend_from_slice(&piece);
        }
        let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head);
        let sample = &text[..text.len().min(detect::HEAD_BYTES)];
        detect::check_text(sample)?;
        let profile = Profile::new(parameters.columns);
        let said = match parameters.format {
            Format::Auto if detect::is_json_lines(sample) => json_lines(text, input, profile)?,
            Format::JsonLines => json_lines(text, input, profile)?,
            Format::Auto | Format::Delimited => {
                let delimiter = parameters.delimiter()?.unwrap_or_else(|| detect::delimiter(sample, &file.name));
                delimited(text, input, profile, delimiter, parameters.header.setting())?
            }
        };
        reported(said, input.position(), parameters.histograms)
    }
}

filemill_engine::export!(Table);

/// What was read, and how.
struct Read {
    profile: Profile,
    format: &'static str,
    delimiter: Option<char>,
    header: Option<bool>,
}

fn delimited(
    head: &[u8],
    input: &mut Input,
    profile: Profile,
    delimiter: u8,
    header: Option<bool>,
) -> Result<Read, Failure> {
    let mut rows = Delimited::new(delimiter, header, profile);
    rows.feed(head)?;
    loop {
        let piece = input.next(PIECE_BYTES)?;
        if piece.is_empty() {
            break;
        }
        rows.feed(&piece)?;
    }
    let (profile, header) = rows.finish()?;
    Ok(Read { profile, format: "delimited", delimiter: Some(char::from(delimiter)), header: Some(header) })
}

fn json_lines(head: &[u8], input: &mut Input, profile: Profile) -> Result<Read, Failure> {
    let mut lines = JsonLines::new(profile);
    lines.feed(head)?;
    loop {
        let piece = input.next(PIECE_BYTES)?;
        if piece.is_empty() {
            break;
        }
        lines.feed(&piece)?;
    }
    Ok(Read { profile: lines.finish()?, format: "json-lines", delimiter: None, header: None })
}

fn reported(Read { profile, format, delimiter, header }: Read, bytes: u64, most: usize) -> Result<Report, Failure> {
    let mut pictures = Vec::new();
    let mut columns = Vec::with_capacity(profile.columns.len());
    for column in &profile.columns {
        let sorted = column.numbers.as_ref().map(|numbers| numbers.sorted()).unwrap_or_default();
        let mut said = ColumnSaid::of(&profile, column, &sorted);
        if pictures.len() < most {
            let count = column.numbers.as_ref().map_or(0, |numbers| numbers.count());
            if let Some(svg) = histogram(&column.name, &sorted, count) {
                let name = format!("histogram-{:02}.svg", pictures.len() + 1);
                said.histogram = Some(name.clone());
                pictures.push((name, svg));
            }
        }
        columns.push(said);
    }
    let said = Said {
        format,
        delimiter,
        header,
        bytes,
        rows: profile.rows,
        columns: profile.all_columns,
        ragged_rows: profile.ragged_rows,
        broken_rows: profile.broken_rows,
        first_broken_row: profile.first_broken,
        profile: columns,
    };
    let mut report = Report::new(said.summary(), &said)?;
    for (name, svg) in pictures {
        report = report.with_artifact(name, "image/svg+xml", svg);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
