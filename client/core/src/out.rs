//! Keeping sealed results as files, in the tree that their files have.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use crate::error::Error;

/// Names that are tried for one result before it counts as a failure.
const NAMES_MAX: u32 = 10_000;

/// What a result is called until it is whole.
const PART_PREFIX: &str = ".filemill-";
const PART_SUFFIX: &str = ".part";

/// Whether this is a result that is being written.
pub(crate) fn is_part(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    name.starts_with(PART_PREFIX.as_bytes()) && name.ends_with(PART_SUFFIX.as_bytes())
}

/// A folder for sealed results.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    folder: PathBuf,
}

impl Out {
    /// # Errors
    ///
    /// [`Error::File`] if the folder cannot be made.
    pub(crate) fn new(folder: &Path) -> Result<Self, Error> {
        let made = fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder));
        Ok(Self { folder: made.map_err(|error| Error::file("make the folder", folder, &error))? })
    }

    /// Absolute, without symbolic links.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps `sealed` as `NAME.age` below the folder, or as `NAME.2.age` and so on where another result has that name.
    /// What is there already with the same content stays. Blocks.
    pub(crate) fn keep(&self, name: &Path, sealed: &[u8]) -> Result<(), Error> {
        let target = self.folder.join(inside(name));
        let failed = |error: std::io::Error| Error::file("write", &target, &error);
        let parent = target.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(failed)?;
        // Whole or not at all: a half-written result would open as a damaged one.
        let part = parent.join(format!("{PART_PREFIX}{}{PART_SUFFIX}", filemill_seal::UploadId::random()));
        let written = write_new(&part, sealed).and_then(|()| place(&part, &target, sealed));
        // Gone already where the file system has no links.
        let _ = fs::remove_file(&part);
        written.map_err(failed)
    }
}

/// The parts of a name that lead down: a result never lands outside of its folder.
fn inside(name: &Path) -> PathBuf {
    let parts: PathBuf = name
        .components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part),
            _ => None,
        })
        .collect();
    if parts.as_os_str().is_empty() { PathBuf::from("result") } else { parts }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

fn place(part: &Path, target: &Path, sealed: &[u8]) -> std::io::Result<()> {
    for number in 1..=NAMES_MAX {
        let mut name = target.as_os_str().to_owned();
        if number > 1 {
            name.push(format!(".{number}"));
        }
        name.push(".age");
        let path = PathBuf::from(name);
        match fs::hard_link(part, &path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::read(&path).is_ok_and(|kept| kept == sealed) {
                    return Ok(());
                }
            }
            // A file system without links.
            Err(_) if !path.try_exists()? => return fs::rename(part, &path),
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::new(ErrorKind::AlreadyExists, "too many results have this name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    names.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names
    }

    #[test]
    fn results_keep_their_tree_and_none_overwrites_another() {
        let folder = tempfile::tempdir().unwrap();
        let out = Out::new(&folder.path().join("out")).unwrap();
        out.keep(Path::new("a/x.txt"), b"one").unwrap();
        out.keep(Path::new("a/x.txt"), b"one").unwrap();
        out.keep(Path::new("a/x.txt"), b"two").unwrap();
        out.keep(Path::new("../../escape"), b"three").unwrap();
        out.keep(Path::new("/etc/passwd"), b"four").unwrap();
        assert_eq!(
            tree(folder.path()),
            ["out/a/x.txt.2.age", "out/a/x.txt.age", "out/escape.age", "out/etc/passwd.age"]
        );
        assert_eq!(fs::read(folder.path().join("out/a/x.txt.2.age")).unwrap(), b"two");
    }
}
