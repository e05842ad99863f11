//! `cargo xtask tidy`: what no compiler checks. Also runs as a test.
//!
//! | check | what it keeps |
//! | --- | --- |
//! | `contract` | the engine contract's frozen versions say what they said |
//! | `direction` | which crate may depend on which |
//! | `order` | each file's first line, imports before items, tests last, size, no `mod.rs` |
//! | `links` | relative links and anchors in Markdown, and the paths that ARCHITECTURE.md names |
//! | `hosts` | no registry is named: where packages come from is each machine's own matter |
//! | `printing` | one crate writes to terminals, which escapes what strangers said |
//! | `build_budget` | how many crates the first command compiles |
//! | `lints` | every crate takes over the workspace's lints; where unsafe code is allowed |

mod build_budget;
mod contract;
mod direction;
mod hosts;
mod links;
mod lints;
mod markdown;
mod order;
mod printing;
mod rust_lines;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::tree::{Metadata, Tree, files_under};

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where, relative to the root.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, hint } = self;
        write!(f, "{}:{line}: {what}; hint: {hint}", path.display())
    }
}

/// Runs the command on this checkout. Findings go to standard error, and make the exit code 1.
///
/// # Errors
///
/// When the tree cannot be read.
pub fn run() -> Result<ExitCode> {
    let findings = check(Tree::locate()?.root())?;
    for finding in &findings {
        filemill_text::tell!("{finding}");
    }
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    filemill_text::tell!("tidy: {} to put right", findings.len());
    Ok(ExitCode::FAILURE)
}

/// Checks the tree at `root`, which has a cargo workspace there and another in `engines/`. Returns the findings in the order of their places.
///
/// # Errors
///
/// When the tree, or cargo's metadata of it, cannot be read.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let sources = Sources::read(root)?;
    let mut findings = Vec::new();
    for manifest in ["Cargo.toml", "engines/Cargo.toml"] {
        let metadata = Metadata::read(&root.join(manifest))?;
        findings.extend(direction::check(root, &metadata, &sources));
        findings.extend(build_budget::check(root, &metadata)?);
        findings.extend(lints::check_manifests(root, Path::new(manifest), &metadata, &sources));
    }
    findings.extend(contract::check(&sources));
    findings.extend(lints::check_allowances(&sources));
    findings.extend(order::check(&sources));
    findings.extend(links::check(&sources));
    findings.extend(printing::check(&sources));
    findings.extend(hosts::check(&sources));
    findings.sort();
    Ok(findings)
}

/// The tree's files, each with its text; none where it is not text.
#[derive(Debug, Default)]
struct Sources(BTreeMap<PathBuf, Option<String>>);

impl Sources {
    fn read(root: &Path) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for path in files_under(root, &[])? {
            let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read `{}`", path.display()))?;
            sources.insert(path, String::from_utf8(bytes).ok());
        }
        Ok(Self(sources))
    }

    /// The text of the file at `path`, if there is one.
    fn text(&self, path: &Path) -> Option<&str> {
        self.0.get(path)?.as_deref()
    }

    /// All files that are text and whose name ends with `.extension`.
    fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a Path, &'a str)> {
        self.texts().filter(move |(path, _)| path.extension().is_some_and(|found| found == extension))
    }

    /// All files that are text.
    fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().filter_map(|(path, text)| Some((path.as_path(), text.as_deref()?)))
    }

    /// Whether `path` is a file, or a folder with files in it.
    fn has(&self, path: &Path) -> bool {
        self.0.contains_key(path) || self.has_folder(path)
    }

    fn has_folder(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.0.keys().any(|file| file.starts_with(path))
    }

    /// The line, from 1, on which `path` first has what `find` looks for; 1 when it has not.
    fn line_of(&self, path: &Path, find: impl Fn(&str) -> bool) -> usize {
        let text = self.text(path).unwrap_or_default();
        text.lines().position(find).map_or(1, |index| index + 1)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Sources {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.into(), Some(text.into()))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_like_a_compilers() {
        let finding = Finding { path: "a/b.rs".into(), line: 7, what: "wrong".into(), hint: "right it".into() };
        assert_eq!(finding.to_string(), "a/b.rs:7: wrong; hint: right it");
    }
}
