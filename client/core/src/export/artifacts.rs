//! Writing what an engine made: its names are hostile, a link is never followed, and nothing is replaced.

use std::collections::HashSet;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use filemill_seal::{Artifact, is_artifact_name};

use super::folder::{Folder, NAMES_MAX, Readers};

/// Names that Windows keeps for devices, with and without an ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The same, with a digit behind them.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Writes artifacts into `folder`; says what each of them is called. One whose name is taken by something else gets a number, as
/// in `plot (2).svg`; one that is there already stays as it is. Blocks.
///
/// # Errors
///
/// A name is not an artifact's; what the system says.
pub(super) fn keep(folder: &Folder, artifacts: &[Artifact]) -> Result<Vec<String>> {
    // Checked when the result was opened; here it becomes a path.
    if let Some(bad) = artifacts.iter().find(|artifact| !is_artifact_name(&artifact.name)) {
        let message = format!("`{}` is no name of an artifact", bad.name.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    // On some file systems two names that differ in case are one. In the order of the report, so that each artifact gets the
    // same name every time.
    let mut given = HashSet::new();
    artifacts.iter().map(|artifact| keep_one(folder, artifact, &mut given)).collect()
}

/// Takes artifacts away that were kept, as far as they are as they were.
pub(super) fn remove(folder: &Folder, artifacts: &[Artifact]) {
    for artifact in artifacts.iter().filter(|artifact| is_artifact_name(&artifact.name)) {
        let wanted = harmless(&artifact.name);
        for number in 1..=NAMES_MAX {
            match folder.remove(Path::new(&numbered(&wanted, number)), &artifact.data) {
                Ok(Some(false)) => {}
                _ => break,
            }
        }
    }
}

/// Says what it is called.
fn keep_one(folder: &Folder, artifact: &Artifact, given: &mut HashSet<String>) -> Result<String> {
    let wanted = harmless(&artifact.name);
    for number in 1..=NAMES_MAX {
        let name = numbered(&wanted, number);
        if given.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        if folder.add(Path::new(&name), &artifact.data, Readers::Owner)? {
            given.insert(name.to_ascii_lowercase());
            return Ok(name);
        }
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("too many files are called `{wanted}`")))
}

/// A name that is a file's everywhere: on Windows some are devices, and dots at the end are dropped.
fn harmless(name: &str) -> String {
    let trimmed = name.trim_end_matches('.');
    let ending = if trimmed.len() < name.len() { "_" } else { "" };
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let with_digit =
        |device: &str| stem.strip_prefix(device).is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']));
    let device = DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.into_iter().any(with_digit);
    format!("{}{trimmed}{ending}", if device { "_" } else { "" })
}

/// `plot.svg`, `plot (2).svg`, …
fn numbered(name: &str, number: u32) -> String {
    match (number, name.rsplit_once('.')) {
        (1, _) => name.to_owned(),
        (_, Some((stem, ending))) => format!("{stem} ({number}).{ending}"),
        (_, None) => format!("{name} ({number})"),
    }
}
