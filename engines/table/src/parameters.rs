//! What the uploader may set.

use filemill_engine::Failure;
use schemars::JsonSchema;
use serde::Deserialize;

/// What the uploader may set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// What kind of file it is.
    #[schemars(title = "Format")]
    pub format: Format,
    /// What stands between fields, one ASCII character.
    #[schemars(title = "Delimiter", length(min = 1, max = 1))]
    pub delimiter: Option<String>,
    /// Whether the first row names the columns.
    #[schemars(title = "Header")]
    pub header: Header,
    /// How many columns are looked at.
    #[schemars(title = "Columns", range(min = 1, max = 256))]
    pub columns: usize,
    /// How many numeric columns get a histogram.
    #[schemars(title = "Histograms", range(min = 0, max = 64))]
    pub histograms: usize,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As it looks.
    #[default]
    Auto,
    /// CSV, TSV and the like.
    Delimited,
    /// One JSON object a line.
    JsonLines,
}

/// Whether the first row names the columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Header {
    /// As it looks.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It is a row like the others.
    No,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { format: Format::Auto, delimiter: None, header: Header::Auto, columns: 100, histograms: 16 }
    }
}

impl Parameters {
    /// Refuses what is out of range.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (name, value, range) in [("columns", self.columns, 1..=256), ("histograms", self.histograms, 0..=64)] {
            if !range.contains(&value) {
                return Err(Failure::failed(format!(
                    "the engine's parameter `{name}` is {value}, and not {} to {}",
                    range.start(),
                    range.end()
                )));
            }
        }
        self.delimiter().map(|_| ())
    }

    /// The delimiter, if it is set.
    pub(crate) fn delimiter(&self) -> Result<Option<u8>, Failure> {
        match self.delimiter.as_deref().map(str::as_bytes) {
            None => Ok(None),
            Some([delimiter]) if delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\r' | b'\n' | 0) => {
                Ok(Some(*delimiter))
            }
            Some(_) => Err(Failure::failed("the engine's parameter `delimiter` is not one ASCII character")),
        }
    }
}

impl Header {
    pub(crate) fn setting(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Yes => Some(true),
            Self::No => Some(false),
        }
    }
}
