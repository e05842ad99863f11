//! The files that checks read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tree::files_under;

/// The tree's files, each with its text; none where it is not text.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<PathBuf, Option<String>>);

impl Sources {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for path in files_under(root, &[])? {
            let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read `{}`", path.display()))?;
            sources.insert(path, String::from_utf8(bytes).ok());
        }
        Ok(Self(sources))
    }

    /// The text of the file at `path`, if there is one.
    pub(super) fn text(&self, path: &Path) -> Option<&str> {
        self.0.get(path)?.as_deref()
    }

    /// All files that are text and whose name ends with `.extension`.
    pub(super) fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a Path, &'a str)> {
        self.texts().filter(move |(path, _)| path.extension().is_some_and(|found| found == extension))
    }

    /// All files that are text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().filter_map(|(path, text)| Some((path.as_path(), text.as_deref()?)))
    }

    /// Whether `path` is a file, or a folder with files in it.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.contains_key(path) || self.has_folder(path)
    }

    /// The paths of all files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether `path` is a folder with files in it.
    pub(super) fn has_folder(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.0.keys().any(|file| file.starts_with(path))
    }

    /// The line, from 1, on which `path` first has what `find` looks for; 1 when it has not.
    pub(super) fn line_of(&self, path: &Path, find: impl Fn(&str) -> bool) -> usize {
        let text = self.text(path).unwrap_or_default();
        text.lines().position(find).map_or(1, |index| index + 1)
    }
}

#[cfg(test)]
impl Sources {
    /// These files.
    pub(super) fn of(files: Vec<(String, String)>) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.into(), Some(text))).collect())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Sources {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.into(), Some(text.into()))).collect())
    }
}
