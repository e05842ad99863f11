//! What was installed: a text file below the prefix, one line a file or folder.
//!
//! ```text
//! file 9f86d0… bin/filemill
//! folder share/filemill
//! ```
//!
//! A file may stand there twice with two digests: while it is being replaced it is the one or the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::content::{self, Content};

/// Where it is, below the prefix.
const FILE: &str = "share/filemill/installed.txt";

/// What was installed. Paths are below the prefix.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// By path, the digests that the file may have.
    files: BTreeMap<String, BTreeSet<String>>,
    /// Folders that were made for it.
    folders: BTreeSet<String>,
}

impl Manifest {
    /// That of what is installed below `prefix`; an empty one if nothing is.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or holds what no installation writes.
    pub(super) fn read(prefix: &Path) -> Result<Self> {
        let file = prefix.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) => Self::parse(&text).with_context(|| format!("`{}` is damaged", file.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", file.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut manifest = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["file", digest, path] if is_below(path) => manifest.add(path, digest.to_owned()),
                ["folder", ..] if is_below(&line["folder ".len()..]) => {
                    manifest.folders.insert(line["folder ".len()..].to_owned());
                }
                _ => bail!("it has the line `{line}`"),
            }
        }
        Ok(manifest)
    }

    fn text(&self) -> String {
        let mut text = String::from("# What `cargo xtask install` put here; `cargo xtask uninstall` removes it.\n");
        for (path, digests) in &self.files {
            for digest in digests {
                text.push_str(&format!("file {digest} {path}\n"));
            }
        }
        for folder in &self.folders {
            text.push_str(&format!("folder {folder}\n"));
        }
        text
    }

    /// Writes it below `prefix`.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub(super) fn write(&self, prefix: &Path) -> Result<()> {
        content::put(&prefix.join(FILE), &Content::text(self.text()))
    }

    /// Removes it from below `prefix`.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub(super) fn remove(prefix: &Path) -> Result<()> {
        let file = prefix.join(FILE);
        fs::remove_file(&file).with_context(|| format!("cannot remove `{}`", file.display()))
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, digest: String) {
        self.files.entry(path.to_owned()).or_default().insert(digest);
    }

    /// Adds the folders that its files need: those that are not there below `prefix`, and those that `former` was installed with.
    pub(super) fn add_folders(&mut self, prefix: &Path, former: &Self) {
        let files: Vec<PathBuf> = self.files.keys().map(PathBuf::from).chain([FILE.into()]).collect();
        for folder in files.iter().flat_map(|file| file.ancestors().skip(1)) {
            let Some(name) = folder.to_str().filter(|name| !name.is_empty()) else { continue };
            if former.folders.contains(name) || !prefix.join(folder).exists() {
                self.folders.insert(name.to_owned());
            }
        }
    }

    /// Both.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut both = Self { files: self.files.clone(), folders: &self.folders | &other.folders };
        for (path, digests) in &other.files {
            both.files.entry(path.clone()).or_default().extend(digests.iter().cloned());
        }
        both
    }

    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The folders that were made, those inside before those around them.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().rev().map(String::as_str)
    }

    /// Whether `path` was installed with this digest.
    pub(super) fn has(&self, path: &str, digest: &str) -> bool {
        self.files.get(path).is_some_and(|digests| digests.contains(digest))
    }

    /// Whether nothing was installed.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Whether a path leads to something below the folder that it is for: whoever can write a manifest must not have other files removed.
fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut manifest = Manifest::default();
        manifest.add("bin/filemill", "aa".into());
        manifest.add("bin/filemill", "bb".into());
        manifest.folders.extend(["share".to_owned(), "share/filemill".to_owned(), "a b".to_owned()]);
        assert_eq!(Manifest::parse(&manifest.text()).expect("well formed"), manifest);
        assert_eq!(manifest.folders().collect::<Vec<_>>(), ["share/filemill", "share", "a b"]);
        assert!(manifest.has("bin/filemill", "aa") && !manifest.has("bin/filemill", "cc"));
    }

    #[test]
    fn nothing_outside_the_prefix_is_ever_named() {
        for line in ["file aa ../x", "file aa /etc/passwd", "folder ..", "folder ", "file aa", "other"] {
            assert!(Manifest::parse(line).is_err(), "{line}");
        }
    }
}
