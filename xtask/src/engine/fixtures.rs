//! The files an engine is tested with, and what it is expected to say of each.
//!
//! In `fixtures/` beside the engine: `FILE`, the file; `FILE.params.json`, the parameters of its run (without: none);
//! `FILE.expected.json`, what came out when somebody looked at it last.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use super::source::{FIXTURES, Source};

/// One file to run an engine over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fixture {
    /// The file.
    pub(super) file: PathBuf,
    /// A JSON object.
    pub(super) parameters: String,
}

const EXPECTED: &str = ".expected.json";
const PARAMETERS: &str = ".params.json";

/// What is compared, in the order in which it is written. Not what it cost: that is another each time.
const COMPARED: [&str; 7] = ["outcome", "summary", "report", "findings", "artifacts", "failure", "log"];

impl Fixture {
    /// The engine's fixtures, by name.
    ///
    /// # Errors
    ///
    /// When there are none, when one is no plain file, and when an expectation or parameters have no file.
    pub(super) fn of(source: &Source) -> Result<Vec<Self>> {
        let folder = source.folder.join(FIXTURES);
        let mut names = BTreeSet::new();
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') {
                    continue;
                }
                if !entry.path().is_file() {
                    bail!("`{}` is no plain file\nhint: fixtures lie side by side", entry.path().display());
                }
                names.insert(name);
            }
        }
        let belongs =
            |name: &str| name.strip_suffix(EXPECTED).or_else(|| name.strip_suffix(PARAMETERS)).map(str::to_owned);
        for name in &names {
            if let Some(file) = belongs(name)
                && !names.contains(&file)
            {
                bail!("`{}` belongs to no file\nhint: remove it, or add `{file}`", folder.join(name).display());
            }
        }
        let files: Vec<_> = names.iter().filter(|name| belongs(name).is_none()).collect();
        if files.is_empty() {
            bail!(
                "engine `{}` has nothing to be tested with\nhint: put a file into `{}`, then `cargo xtask engine test --bless {}`",
                source.name,
                folder.display(),
                source.name
            );
        }
        files.into_iter().map(|name| Self::read(folder.join(name))).collect()
    }

    fn read(file: PathBuf) -> Result<Self> {
        let path = beside(&file, PARAMETERS);
        let parameters = match fs::read_to_string(&path) {
            Ok(text) => {
                let object: Map<String, Value> =
                    serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON object", path.display()))?;
                Value::Object(object).to_string()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".into(),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        Ok(Self { file, parameters })
    }

    /// The file's name.
    pub(super) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// How what the host said differs from what is expected, for a person; nothing when it does not.
    ///
    /// # Errors
    ///
    /// When what is expected cannot be read.
    pub(super) fn difference(&self, said: &Map<String, Value>) -> Result<Option<String>> {
        let path = beside(&self.file, EXPECTED);
        let actual = compared(said);
        let expected = match fs::read_to_string(&path) {
            Ok(text) => {
                let expected =
                    serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON object", path.display()))?;
                // Read and written again, so that neither spaces nor order make a difference.
                compared(&expected)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some(format!("nothing is expected yet; hint: look at this, then `--bless`\n{actual}")));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        Ok((expected != actual).then(|| difference(&expected, &actual)))
    }

    /// Makes what the host said what is expected. Returns whether that changed anything.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn bless(&self, said: &Map<String, Value>) -> Result<bool> {
        let path = beside(&self.file, EXPECTED);
        let text = compared(said);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(true)
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// What is compared of what the host said, as text.
fn compared(said: &Map<String, Value>) -> String {
    let mut text = String::from("{\n");
    for (index, field) in COMPARED.iter().enumerate() {
        let mut value = said.get(*field).cloned().unwrap_or_default();
        sort(&mut value);
        let shown = format!("{value:#}").replace('\n', "\n  ");
        let comma = if index + 1 < COMPARED.len() { "," } else { "" };
        text.push_str(&format!("  \"{field}\": {shown}{comma}\n"));
    }
    text + "}\n"
}

/// Puts the members of every object in order. That of `report` is the engine's, and says nothing.
fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort_keys();
            members.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// The lines that differ, with some around them: `-` is expected, `+` is what came.
fn difference(expected: &str, actual: &str) -> String {
    let diff = TextDiff::from_lines(expected, actual);
    let mut text = String::from("-expected +actual\n");
    for (index, group) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            text.push_str(" …\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            text.push(sign);
            text.push_str(change.value());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::source::Language;

    fn engine(folder: &Path, files: &[(&str, &str)]) -> Source {
        for (name, text) in files {
            let path = folder.join(FIXTURES).join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("folder");
            fs::write(path, text).expect("file");
        }
        Source {
            name: "mine".into(),
            version: "0.1.0".into(),
            folder: folder.to_owned(),
            language: Language::Rust { workspace: folder.to_owned() },
        }
    }

    fn said(lines: u64, cost: u64) -> Map<String, Value> {
        let json = json!({
            "outcome": "succeeded", "summary": format!("{lines} lines"), "report": {"lines": lines, "bytes": 12},
            "findings": [], "artifacts": [], "failure": null, "log": [], "resources": {"cpu_us": cost},
        });
        json.as_object().expect("an object").clone()
    }

    #[test]
    fn files_are_found_with_their_parameters() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let files =
            [("b.txt", ""), ("a.csv", ""), ("a.csv.params.json", "{\"sep\": \";\"}"), ("a.csv.expected.json", "")];
        let fixtures = Fixture::of(&engine(dir.path(), &files)).expect("complete");
        let found: Vec<_> = fixtures.iter().map(|fixture| (fixture.name(), fixture.parameters.as_str())).collect();
        assert_eq!(found, [("a.csv".into(), "{\"sep\":\";\"}"), ("b.txt".into(), "{}")]);
    }

    #[test]
    fn an_expectation_without_a_file_and_an_engine_without_any_are_errors() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let error = Fixture::of(&engine(dir.path(), &[])).expect_err("nothing").to_string();
        assert!(error.contains("nothing to be tested with\nhint: put a file into"), "{error}");
        let error = Fixture::of(&engine(dir.path(), &[("a", ""), ("gone.expected.json", "{}")])).expect_err("no file");
        assert!(error.to_string().contains("gone.expected.json` belongs to no file"), "{error}");
    }

    #[test]
    fn what_is_blessed_is_expected_and_a_change_shows_as_a_difference() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let fixtures = Fixture::of(&engine(dir.path(), &[("a", "")])).expect("one");
        let fixture = &fixtures[0];
        let difference = fixture.difference(&said(2, 1)).expect("readable").expect("nothing is expected yet");
        assert!(difference.contains("nothing is expected yet") && difference.contains("\"lines\": 2"), "{difference}");
        assert!(fixture.bless(&said(2, 1)).expect("written"));
        assert!(!fixture.bless(&said(2, 9)).expect("the same"));
        assert_eq!(fixture.difference(&said(2, 7)).expect("readable"), None, "what it cost is not compared");
        let difference = fixture.difference(&said(3, 1)).expect("readable").expect("another report");
        assert!(difference.contains("-    \"lines\": 2\n+    \"lines\": 3\n"), "{difference}");
    }
}
