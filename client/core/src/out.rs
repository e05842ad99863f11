//! Keeping sealed results and what lies in them as files, in the tree that their files have.

mod artifacts;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use filemill_seal::Artifact;

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

/// What was kept beside a sealed result.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Where each artifact is; none where they could not be kept.
    pub(crate) artifacts: Vec<PathBuf>,
    /// Why they could not.
    pub(crate) trouble: Option<Error>,
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

    /// Keeps `sealed` as `NAME.age` below the folder, or as `NAME.2.age` and so on where another result has that name, and
    /// `artifacts`, which lie in it, in `NAME.artifacts` or `NAME.2.artifacts`; says where each of them is. What is there
    /// already with the same content stays. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the result could not be kept. That its artifacts could not is no error: their names are the engine's.
    pub(crate) fn keep(&self, name: &Path, sealed: &[u8], artifacts: &[Artifact]) -> Result<Kept, Error> {
        let target = self.folder.join(inside(name));
        let failed = |error: std::io::Error| Error::file("write", &target, &error);
        let parent = target.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(failed)?;
        // Whole or not at all: a half-written result would open as a damaged one.
        let part = parent.join(format!("{PART_PREFIX}{}{PART_SUFFIX}", filemill_seal::UploadId::random()));
        let written = write_new(&part, sealed).and_then(|()| place(&part, &target, sealed));
        // Gone already where the file system has no links.
        let _ = fs::remove_file(&part);
        let stem = written.map_err(failed)?;
        if artifacts.is_empty() {
            return Ok(Kept::default());
        }
        let folder = with_ending(stem, ".artifacts");
        Ok(match artifacts::keep(&folder, artifacts) {
            Ok(artifacts) => Kept { artifacts, trouble: None },
            Err(error) => Kept { artifacts: Vec::new(), trouble: Some(Error::file("write", &folder, &error)) },
        })
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

/// Puts the part in its place, and says what that is called without `.age`.
fn place(part: &Path, target: &Path, sealed: &[u8]) -> std::io::Result<PathBuf> {
    for number in 1..=NAMES_MAX {
        let stem = match number {
            1 => target.to_owned(),
            _ => with_ending(target.to_owned(), &format!(".{number}")),
        };
        let path = with_ending(stem.clone(), ".age");
        match fs::hard_link(part, &path) {
            Ok(()) => return Ok(stem),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::read(&path).is_ok_and(|kept| kept == sealed) {
                    return Ok(stem);
                }
            }
            // A file system without links.
            Err(_) if !path.try_exists()? => return fs::rename(part, &path).map(|()| stem),
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::new(ErrorKind::AlreadyExists, "too many results have this name"))
}

fn with_ending(path: PathBuf, ending: &str) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(ending);
    PathBuf::from(name)
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
        out.keep(Path::new("a/x.txt"), b"one", &[]).unwrap();
        out.keep(Path::new("a/x.txt"), b"one", &[]).unwrap();
        out.keep(Path::new("a/x.txt"), b"two", &[]).unwrap();
        out.keep(Path::new("../../escape"), b"three", &[]).unwrap();
        out.keep(Path::new("/etc/passwd"), b"four", &[]).unwrap();
        assert_eq!(
            tree(folder.path()),
            ["out/a/x.txt.2.age", "out/a/x.txt.age", "out/escape.age", "out/etc/passwd.age"]
        );
        assert_eq!(fs::read(folder.path().join("out/a/x.txt.2.age")).unwrap(), b"two");
    }

    fn artifact(name: &str, data: &[u8]) -> Artifact {
        Artifact { name: name.to_owned(), media_type: "text/plain".to_owned(), data: data.to_vec() }
    }

    #[test]
    fn artifacts_lie_beside_their_result() {
        let folder = tempfile::tempdir().unwrap();
        let out = Out::new(&folder.path().join("out")).unwrap();
        let name = Path::new("a/x.csv");
        let kept = out.keep(name, b"one", &[artifact("plot.svg", b"1"), artifact("b", b"2")]).unwrap().artifacts;
        let beside = out.folder().join("a/x.csv.artifacts");
        assert_eq!(kept, [beside.join("plot.svg"), beside.join("b")]);
        let again = out.keep(name, b"one", &[artifact("plot.svg", b"1")]).unwrap();
        assert_eq!(again.artifacts, [beside.join("plot.svg")]);
        out.keep(name, b"two", &[artifact("plot.svg", b"3")]).unwrap();
        out.keep(Path::new("none"), b"three", &[]).unwrap();
        assert_eq!(
            tree(folder.path()),
            [
                "out/a/x.csv.2.age",
                "out/a/x.csv.2.artifacts/plot.svg",
                "out/a/x.csv.age",
                "out/a/x.csv.artifacts/b",
                "out/a/x.csv.artifacts/plot.svg",
                "out/none.age"
            ]
        );
        assert_eq!(fs::read(kept[0].clone()).unwrap(), b"1");
    }

    #[cfg(unix)]
    #[test]
    fn no_artifact_is_written_through_a_link_or_under_another_kind_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let out = Out::new(&folder.path().join("out")).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("kept"), "mine").unwrap();
        // The folder is a link.
        std::os::unix::fs::symlink(&elsewhere, out.folder().join("x.artifacts")).unwrap();
        let kept = out.keep(Path::new("x"), b"one", &[artifact("kept", b"theirs")]).expect("the result is kept");
        assert!(kept.trouble.is_some() && kept.artifacts.is_empty());
        // The file is a link: it is replaced, not followed.
        fs::create_dir(out.folder().join("y.artifacts")).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("kept"), out.folder().join("y.artifacts/kept")).unwrap();
        out.keep(Path::new("y"), b"one", &[artifact("kept", b"theirs")]).unwrap();
        assert_eq!(fs::read(out.folder().join("y.artifacts/kept")).unwrap(), b"theirs");
        for name in ["../kept", "/etc/kept", "..", ".hidden", ""] {
            let kept = out.keep(Path::new("z"), b"one", &[artifact(name, b"theirs")]).expect("the result is kept");
            assert!(kept.trouble.is_some(), "{name}");
        }
        assert_eq!(fs::read(elsewhere.join("kept")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    }
}
