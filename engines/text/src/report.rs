//! The report: its data, and its line for people.

use schemars::JsonSchema;
use serde::Serialize;

use crate::decode::Decoded;
use crate::lines::{CLASS_WIDTH, CLASSES, Counts};

/// What a text file holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Text {
    /// The encoding's name in the WHATWG Encoding Standard, or `ASCII`.
    #[schemars(title = "Encoding", extend("x-column" = true))]
    encoding: &'static str,
    /// Whether the file begins with a byte order mark.
    #[schemars(title = "Byte order mark")]
    byte_order_mark: bool,
    /// Sequences that stand for no character in that encoding.
    #[schemars(title = "Malformed sequences", extend("x-format" = "count"))]
    malformed: u64,
    /// The file's length.
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes"))]
    bytes: u64,
    /// Characters (Unicode scalar values), line endings included.
    #[schemars(title = "Characters", extend("x-format" = "count"))]
    characters: u64,
    /// Control characters beside tabs and line endings.
    #[schemars(title = "Control characters", extend("x-format" = "count"))]
    control_characters: u64,
    /// Lines; a last line without an ending is one.
    #[schemars(title = "Lines", extend("x-format" = "count", "x-column" = true))]
    lines: u64,
    /// Lines of nothing but white space.
    #[schemars(title = "Blank lines", extend("x-format" = "count"))]
    blank_lines: u64,
    /// How lines end: `LF`, `CRLF`, `CR`, `mixed`, or `none`.
    #[schemars(title = "Line endings", extend("x-column" = true))]
    line_endings: &'static str,
    /// How many lines end in which way.
    #[schemars(title = "Endings by kind")]
    endings: Endings,
    /// Whether the last line has an ending.
    #[schemars(title = "Ends with a line ending")]
    ends_with_newline: bool,
    /// Characters of the longest line.
    #[schemars(title = "Longest line", extend("x-unit" = "{character}", "x-format" = "count"))]
    longest_line: u64,
    /// That line's number, from 1; 0 where there is none.
    #[schemars(title = "Number of the longest line", extend("x-format" = "count"))]
    longest_line_number: u64,
    /// Characters of a line, on average.
    #[schemars(title = "Mean line length", extend("x-unit" = "{character}"))]
    mean_line_length: f64,
    /// How many lines are how long.
    #[schemars(title = "Line lengths", extend("x-format" = "table"))]
    line_lengths: Vec<LengthClass>,
    /// The language of the first 16 KiB, by trigrams, where there is little doubt.
    #[schemars(title = "Language")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<Language>,
    /// How many secrets were found; absent: none were looked for.
    #[schemars(title = "Secrets", extend("x-format" = "count", "x-column" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets_found: Option<u64>,
    /// The first 200 of them.
    #[schemars(title = "Secrets", extend("x-format" = "table"))]
    pub(crate) secrets: Vec<Secret>,
    /// Whether there are more.
    #[schemars(title = "More secrets")]
    pub(crate) truncated: bool,
}

/// Line endings by kind.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Endings {
    /// Line feeds (Unix).
    #[schemars(title = "LF", extend("x-format" = "count"))]
    lf: u64,
    /// Carriage returns with line feeds (Windows).
    #[schemars(title = "CRLF", extend("x-format" = "count"))]
    crlf: u64,
    /// Carriage returns alone.
    #[schemars(title = "CR", extend("x-format" = "count"))]
    cr: u64,
}

/// Lines of about the same length.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LengthClass {
    /// The shortest in this class.
    #[schemars(title = "From", extend("x-unit" = "{character}"))]
    from: u64,
    /// The longest; absent: there is no limit.
    #[schemars(title = "To", extend("x-unit" = "{character}"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    /// How many lines.
    #[schemars(title = "Lines", extend("x-format" = "count"))]
    lines: u64,
}

/// A language.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Language {
    /// Its code in ISO 639-3.
    #[schemars(title = "Code")]
    pub(crate) code: &'static str,
    /// Its name in English.
    #[schemars(title = "Language", extend("x-column" = true))]
    pub(crate) name: &'static str,
    /// The script it is written in.
    #[schemars(title = "Script")]
    pub(crate) script: String,
    /// From 0 to 1.
    #[schemars(title = "Confidence")]
    pub(crate) confidence: f64,
}

/// Something that should not stand in a file. It is not shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Secret {
    /// What kind, such as `github-token`.
    #[schemars(title = "Kind")]
    pub(crate) kind: &'static str,
    /// The kind in words.
    #[schemars(title = "What")]
    pub(crate) title: &'static str,
    /// `high`: its shape is the issuer's own; `medium`: it looks like one.
    #[schemars(title = "Confidence")]
    pub(crate) confidence: &'static str,
    /// The line's number, from 1.
    #[schemars(title = "Line", extend("x-format" = "count"))]
    pub(crate) line: u64,
    /// Its first character in that line, from 1.
    #[schemars(title = "Column", extend("x-format" = "count"))]
    pub(crate) column: u64,
    /// How many characters it has.
    #[schemars(title = "Length", extend("x-unit" = "{character}"))]
    pub(crate) length: u64,
    /// Its first four characters; of a private key, the line that announces it.
    #[schemars(title = "Excerpt", extend("x-format" = "text"))]
    pub(crate) excerpt: String,
    /// The first 32 bits of its SHA-256, to tell whether two are the same.
    #[schemars(title = "Fingerprint", extend("x-format" = "hash"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
}

impl Text {
    /// What was counted; language and secrets are added later.
    pub(crate) fn of(decoded: &Decoded, counts: &Counts) -> Self {
        let used = counts.lengths.iter().rposition(|&lines| lines > 0).map_or(0, |last| last + 1);
        let class = |(index, &lines): (usize, &u64)| {
            let from = index as u64 * CLASS_WIDTH;
            LengthClass { from, to: (index + 1 < CLASSES).then_some(from + CLASS_WIDTH - 1), lines }
        };
        Self {
            encoding: decoded.encoding,
            byte_order_mark: decoded.byte_order_mark,
            malformed: decoded.malformed,
            bytes: decoded.bytes,
            characters: counts.characters,
            control_characters: counts.controls,
            lines: counts.lines,
            blank_lines: counts.blank,
            line_endings: match (counts.line_feeds, counts.pairs, counts.carriage_returns) {
                (0, 0, 0) => "none",
                (_, 0, 0) => "LF",
                (0, _, 0) => "CRLF",
                (0, 0, _) => "CR",
                _ => "mixed",
            },
            endings: Endings { lf: counts.line_feeds, crlf: counts.pairs, cr: counts.carriage_returns },
            ends_with_newline: counts.ended,
            longest_line: counts.longest.0,
            longest_line_number: counts.longest.1,
            mean_line_length: (counts.in_lines as f64 * 10.0 / counts.lines.max(1) as f64).round() / 10.0,
            line_lengths: counts.lengths[..used].iter().enumerate().map(class).collect(),
            language: None,
            secrets_found: None,
            secrets: Vec::new(),
            truncated: false,
        }
    }

    /// The report in one line, such as `UTF-8, 12 lines, English, 2 secrets`.
    pub(crate) fn summary(&self) -> String {
        let mark = if self.byte_order_mark { " with byte order mark" } else { "" };
        let lines = if self.lines == 1 { "line" } else { "lines" };
        let mut parts = vec![format!("{}{mark}", self.encoding), format!("{} {lines}", self.lines)];
        if self.line_endings != "LF" && self.line_endings != "none" {
            parts.push(format!("{} endings", self.line_endings));
        }
        parts.extend(self.language.as_ref().map(|language| language.name.to_owned()));
        match self.secrets_found {
            Some(1) => parts.push("1 secret found".into()),
            Some(found) if found > 0 => parts.push(format!("{found} secrets found")),
            _ => {}
        }
        if self.malformed > 0 {
            parts.push("malformed in places".into());
        }
        parts.join(", ")
    }
}
