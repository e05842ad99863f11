//! What the engine reports.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entropy::Windows;

/// The report.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Said {
    /// How many bytes were read.
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes"))]
    pub(crate) bytes: u64,
    /// In lower-case hexadecimal.
    #[schemars(title = "SHA-256", extend("x-format" = "hash", "x-column" = true))]
    pub(crate) sha256: String,
    /// In lower-case hexadecimal.
    #[schemars(title = "BLAKE3", extend("x-format" = "hash"))]
    pub(crate) blake3: String,
    /// That of zip and gzip, in lower-case hexadecimal.
    #[schemars(title = "CRC-32", extend("x-format" = "hash"))]
    pub(crate) crc32: String,
    /// How much information a byte carries.
    #[schemars(title = "Entropy")]
    pub(crate) entropy: Entropy,
}

/// Shannon's entropy of single bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Entropy {
    /// Of the whole file.
    #[schemars(title = "Entropy", extend("x-unit" = "bit/By", "x-column" = true))]
    pub(crate) overall: f64,
    /// Of the window with the least.
    #[schemars(title = "Lowest", extend("x-unit" = "bit/By"))]
    pub(crate) lowest: f64,
    /// Of the window with the most.
    #[schemars(title = "Highest", extend("x-unit" = "bit/By"))]
    pub(crate) highest: f64,
    /// How many of the 256 values a byte has in this file.
    #[schemars(title = "Byte values", extend("x-format" = "count"))]
    pub(crate) byte_values: usize,
    /// The length of each window but the last, which may be shorter.
    #[schemars(title = "Window", extend("x-unit" = "By", "x-format" = "bytes"))]
    pub(crate) window_bytes: u64,
    /// Of each window, in the order of the file.
    #[schemars(title = "By window", extend("x-unit" = "bit/By"))]
    pub(crate) windows: Vec<f64>,
}

impl Entropy {
    /// What `windows` come to.
    pub(crate) fn of(windows: &Windows) -> Self {
        let total = windows.total();
        let each: Vec<_> = windows.each().map(|window| rounded(window.entropy())).collect();
        Self {
            overall: rounded(total.entropy()),
            lowest: each.iter().copied().reduce(f64::min).unwrap_or(0.0),
            highest: each.iter().copied().fold(0.0, f64::max),
            byte_values: total.values(),
            window_bytes: windows.window_bytes(),
            windows: each,
        }
    }
}

impl Said {
    /// The report in one line.
    pub(crate) fn summary(&self) -> String {
        let hash = self.sha256.get(..16).unwrap_or_default();
        format!("SHA-256 {hash}…, {:.2} bits of entropy per byte", self.entropy.overall)
    }
}

/// In lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// To four digits after the point: further ones tell nothing.
fn rounded(bits: f64) -> f64 {
    (bits * 10_000.0).round() / 10_000.0 + 0.0 // which makes a zero of a negative one
}
