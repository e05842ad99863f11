//! The report: its data, and its line for people.

use filemill_engine::v2::Severity;
use schemars::JsonSchema;
use serde::Serialize;

use crate::contents::{Contents, is_bomb, name};
use crate::rows::{EntryReport, WarningCount};

/// From which length on a bomb is critical: what fills a disk.
const CRITICAL_BYTES: u64 = 100 * 1024 * 1024;

/// What an archive holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ArchiveReport {
    /// What kind of archive: `zip`, `tar`, `tar.gz`, `gzip`.
    #[schemars(title = "Format", extend("x-column" = true))]
    format: &'static str,
    /// Its length.
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes"))]
    size: u64,
    /// How many entries there are, in nested archives too.
    #[schemars(title = "Entries", extend("x-format" = "count", "x-column" = true))]
    entries: u64,
    /// How many of them are files and links.
    #[schemars(title = "Files", extend("x-format" = "count"))]
    files: u64,
    /// How many are folders.
    #[schemars(title = "Folders", extend("x-format" = "count"))]
    folders: u64,
    /// How many are encrypted.
    #[schemars(title = "Encrypted", extend("x-format" = "count"))]
    encrypted: u64,
    /// How many are archives themselves.
    #[schemars(title = "Nested archives", extend("x-format" = "count"))]
    nested_archives: u64,
    /// How much all files announce, in nested archives too.
    #[schemars(title = "Unpacked", extend("x-unit" = "By", "x-format" = "bytes", "x-column" = true))]
    unpacked_bytes: u64,
    /// How many times as large as the file that is.
    #[schemars(title = "Ratio")]
    ratio: f64,
    /// How much was unpacked to be looked at.
    #[schemars(title = "Looked at", extend("x-unit" = "By", "x-format" = "bytes"))]
    read_bytes: u64,
    /// Entries that were not unpacked to their end: encrypted, of an unknown method, too large, or broken.
    #[schemars(title = "Not looked at", extend("x-format" = "count"))]
    unread_entries: u64,
    /// The highest severity of a warning.
    #[schemars(title = "Severity", extend("x-column" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    /// Warnings by kind, the gravest first. Each is a finding of its own, at most 20 of a kind.
    #[schemars(title = "Warnings", extend("x-format" = "table"))]
    warnings: Vec<WarningCount>,
    /// The first entries, in the archive's order: at most 1,000.
    #[schemars(title = "Contents", extend("x-format" = "table"))]
    contents: Vec<EntryReport>,
    /// Whether there are more entries or warnings than are told.
    #[schemars(title = "More")]
    truncated: bool,
}

impl ArchiveReport {
    /// The report of all that was found in a file of `size` bytes; warns of a bomb, which shows only in the sum.
    pub(crate) fn of(format: &'static str, size: u64, mut contents: Contents<'_>) -> Self {
        let unpacked_bytes = contents.announced_bytes.max(contents.unpacked_bytes);
        contents.within.clear();
        if is_bomb(unpacked_bytes, size) {
            let severity = if unpacked_bytes >= CRITICAL_BYTES { Severity::Critical } else { Severity::High };
            let what =
                format!("is a bomb: {} times as large unpacked, {unpacked_bytes} bytes", unpacked_bytes / size.max(1));
            contents.warn("bomb", severity, "", &what);
        }
        let warnings = contents.warning_counts();
        Self {
            format,
            size,
            entries: contents.entries_total,
            files: contents.files,
            folders: contents.folders,
            encrypted: contents.encrypted,
            nested_archives: contents.nested_archives,
            unpacked_bytes,
            ratio: (unpacked_bytes as f64 * 10.0 / size.max(1) as f64).round() / 10.0,
            read_bytes: contents.unpacked_bytes,
            unread_entries: contents.unread,
            severity: warnings.first().map(|gravest| gravest.severity),
            truncated: contents.is_truncated(),
            warnings,
            contents: contents.entries,
        }
    }

    /// The report in one line, such as `zip, 3 entries, 2.4 times as large unpacked, high: path-traversal (1)`.
    pub(crate) fn summary(&self) -> String {
        let entries = if self.entries == 1 { "entry" } else { "entries" };
        let mut parts = vec![self.format.to_owned(), format!("{} {entries}", self.entries)];
        if self.unpacked_bytes > self.size {
            parts.push(format!("{} times as large unpacked", self.ratio));
        }
        let info = name(Severity::Info);
        let mut last = info;
        for warning in self.warnings.iter().take_while(|warning| warning.severity != info).take(4) {
            let WarningCount { kind, severity, count } = warning;
            let rank = if *severity == last { String::new() } else { format!("{severity}: ") };
            parts.push(format!("{rank}{kind} ({count})"));
            last = severity;
        }
        parts.join(", ")
    }
}
