//! Raw figures: one JSON object a line, under `docs/bench/raw/`, with machine, commit and command.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::program;
use crate::tree::Tree;

/// A file that figures are added to.
pub(crate) struct Record {
    file: PathBuf,
}

impl Record {
    /// Begins anew `docs/bench/raw/NAME.jsonl`, with a line on what was measured where.
    pub(crate) fn begin(tree: &Tree, name: &str, profile: &str) -> Result<Self> {
        let dir = tree.root().join("docs/bench/raw");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        let record = Self { file: dir.join(format!("{name}.jsonl")) };
        fs::write(&record.file, "").with_context(|| format!("cannot write `{}`", record.file.display()))?;
        let commit =
            program::output(Command::new("git").current_dir(tree.root()).args(["rev-parse", "--short", "HEAD"]));
        record.add(&json!({
            "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            "commit": commit.unwrap_or_default().trim(),
            "profile": profile,
            "cpu": cpu(),
            "cores": std::thread::available_parallelism()?.get(),
        }))?;
        Ok(record)
    }

    /// Adds a line, and shows it.
    pub(crate) fn add(&self, line: &Value) -> Result<()> {
        filemill_text::tell!("bench: {line}");
        let mut file = OpenOptions::new()
            .append(true)
            .open(&self.file)
            .with_context(|| format!("cannot write `{}`", self.file.display()))?;
        writeln!(file, "{line}").with_context(|| format!("cannot write `{}`", self.file.display()))
    }
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(':').nth(1)).unwrap_or("unknown").trim().to_owned()
}

/// The middle value; of an even number the lower of the two. None of none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0]), Some(2.0));
    }
}
