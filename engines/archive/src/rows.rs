//! The rows of the report: warnings, entries, and what a finding is about.

use schemars::JsonSchema;
use serde::Serialize;

/// How many warnings there are of a kind.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WarningCount {
    /// The kind, such as `path-traversal`.
    #[schemars(title = "Warning")]
    pub(crate) kind: &'static str,
    /// How much it matters: `info`, `low`, `medium`, `high`, `critical`.
    #[schemars(title = "Severity")]
    pub(crate) severity: &'static str,
    /// How many.
    #[schemars(title = "Count", extend("x-format" = "count"))]
    pub(crate) count: u64,
}

/// An entry.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EntryReport {
    /// Its path in its archive.
    #[schemars(title = "Path", extend("x-format" = "text"))]
    pub(crate) path: String,
    /// The paths of the archives that hold its archive, from the outermost on.
    #[schemars(title = "Within")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) within: Vec<String>,
    /// `file`, `folder`, `symbolic link`, `hard link`, `special`.
    #[schemars(title = "Kind")]
    pub(crate) kind: &'static str,
    /// Its length, as announced.
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes"))]
    pub(crate) size: u64,
    /// Its length as stored; absent in a tar.
    #[schemars(title = "Packed", extend("x-unit" = "By", "x-format" = "bytes"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packed: Option<u64>,
    /// How it is stored; absent in a tar.
    #[schemars(title = "Method")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    /// When it was changed, in RFC 3339; zip does not say in which time zone, and is taken for UTC.
    #[schemars(title = "Changed")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modified: Option<String>,
    /// Whether it is encrypted.
    #[schemars(title = "Encrypted")]
    pub(crate) encrypted: bool,
    /// What a link points to.
    #[schemars(title = "Target", extend("x-format" = "text"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

/// What a finding is about.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Place {
    /// The entry's path; empty: the archive itself.
    pub(crate) path: String,
    /// The archives that hold its archive, from the outermost on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) within: Vec<String>,
}

impl EntryReport {
    /// How much text it has, in bytes, names of members included.
    pub(crate) fn text_bytes(&self) -> usize {
        let within: usize = self.within.iter().map(String::len).sum();
        200 + self.path.len() + within + self.target.as_ref().map_or(0, String::len)
    }
}
