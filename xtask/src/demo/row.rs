//! One file of the client's report, as the demo shows it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::set::SET;

/// One line of the client's report, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    path: PathBuf,
    #[serde(default)]
    pub(super) size: u64,
    pub(super) engine: String,
    status: String,
    summary: Option<String>,
    outcome: Option<String>,
    message: Option<String>,
    #[serde(default)]
    artifacts: Vec<Artifact>,
    resources: Option<Resources>,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    name: String,
    media_type: String,
    /// Where it was saved.
    path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Resources {
    cpu_us: u64,
}

impl Row {
    /// A line of the client's report.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub(super) fn read(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("the client's line is not as expected: {line}"))
    }

    pub(super) fn name(&self) -> String {
        self.path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
    }

    /// Processor time of the run in microseconds, if there was one.
    pub(super) fn cpu_us(&self) -> Option<u64> {
        self.resources.as_ref().map(|used| used.cpu_us)
    }

    /// What the engine found, or why it found nothing.
    pub(super) fn found(&self) -> String {
        let said = self.summary.as_deref().or(self.message.as_deref()).unwrap_or_default();
        match self.status.as_str() {
            "succeeded" => said.to_owned(),
            status => format!("{}: {said}", self.outcome.as_deref().unwrap_or(status)),
        }
    }

    /// What can be looked at of what its engine made.
    pub(super) fn pictures(&self) -> impl Iterator<Item = (&str, &Path)> {
        let pictures = self.artifacts.iter().filter(|artifact| artifact.media_type.starts_with("image/"));
        pictures.filter_map(|artifact| Some((artifact.name.as_str(), artifact.path.as_deref()?)))
    }
}

/// Puts `rows` into the order of the set.
pub(super) fn in_order(rows: &mut [Row]) {
    let places: BTreeMap<&str, usize> = SET.iter().enumerate().map(|(place, chosen)| (chosen.name, place)).collect();
    rows.sort_by_key(|row| (places.get(row.name().as_str()).copied(), row.name()));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row for each file of the set; what the last one has, `more` says.
    pub(in crate::demo) fn rows(last: &str) -> Vec<Row> {
        let line = |name: &str, more: &str| {
            let head = format!(r#""path":"/t/{name}","size":1234,"engine":"table","status":"succeeded""#);
            Row::read(&format!("{{{head},{more}}}")).expect("a line")
        };
        let mut rows: Vec<Row> =
            SET.iter().rev().map(|chosen| line(chosen.name, r#""summary":"a <b> & \"c\"""#)).collect();
        rows[0] = line(SET[SET.len() - 1].name, last);
        in_order(&mut rows);
        rows
    }

    #[test]
    fn a_file_without_a_report_says_how_it_ended() {
        let line = r#"{"path":"a","size":0,"engine":"e","status":"failed","report":null,"outcome":"rejected","message":"why"}"#;
        assert_eq!(Row::read(line).expect("a line").found(), "rejected: why");
    }
}
