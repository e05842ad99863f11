//! Keeping sealed results and what lies in them as files, in the tree that their files have.

mod artifacts;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use filemill_seal::{Artifact, Digest};

use crate::error::Error;
use crate::source::{path_bytes, path_from_bytes};

/// Names that are tried for one result before it counts as a failure.
const NAMES_MAX: u32 = 10_000;
/// Longest name before its ending, in bytes: most file systems take 255 for all of it, and `.10000.artifacts` has 16.
const STEM_MAX_BYTES: usize = 255 - 16;
/// Bytes that are compared at once.
const COMPARE_BYTES: usize = 64 << 10;

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
    /// `artifacts`, which lie in it, in `NAME.artifacts` or `NAME.2.artifacts`; says where each of them is. Nothing that is there
    /// is replaced, and what is there already with the same content stays as it is. A name that has no room for its ending is
    /// cut. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the result could not be kept. That its artifacts could not is no error: their names are the engine's.
    pub(crate) fn keep(&self, name: &Path, sealed: &[u8], artifacts: &[Artifact]) -> Result<Kept, Error> {
        let target = short_enough(self.folder.join(inside(name)));
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

/// `path` with a file name to which every ending may be put: where it is cut, a hash tells it from others with that beginning.
fn short_enough(path: PathBuf) -> PathBuf {
    let name = path.file_name().map(|name| path_bytes(Path::new(name))).unwrap_or_default();
    if name.len() <= STEM_MAX_BYTES {
        return path;
    }
    let hash: String = Digest::of(&name).to_string().chars().take(16).collect();
    let mut end = STEM_MAX_BYTES - hash.len() - 1;
    // Not within a character of UTF-8.
    while end > 0 && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    let cut = [&name[..end], b"~", hash.as_bytes()].concat();
    path.with_file_name(path_from_bytes(cut))
}

/// Whether `file` holds these bytes and nothing else. It may be any file, and very long.
fn holds(mut file: fs::File, bytes: &[u8]) -> std::io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut part = vec![0; COMPARE_BYTES.min(bytes.len())];
    for expected in bytes.chunks(COMPARE_BYTES) {
        let part = &mut part[..expected.len()];
        match file.read_exact(part) {
            Ok(()) if part == expected => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
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
                // A pipe would wait for a writer.
                let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
                if is_file && fs::File::open(&path).and_then(|file| holds(file, sealed)).is_ok_and(|same| same) {
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

    #[test]
    fn no_artifact_takes_the_place_of_another_file_and_none_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let out = Out::new(folder.path()).unwrap();
        let beside = out.folder().join("x.artifacts");
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("plot.svg"), "mine").unwrap();
        fs::write(beside.join("plot (2).svg"), "mine, too").unwrap();
        let long = vec![b'l'; COMPARE_BYTES + 1];
        let artifacts = [
            artifact("plot.svg", b"theirs"),
            artifact("long", &long),
            // On some file systems these have one name.
            artifact("noending", b"1"),
            artifact("NoEnding", b"2"),
        ];
        let expected = ["plot (3).svg", "long", "noending", "NoEnding (2)"];
        for round in 0..3 {
            let kept = out.keep(Path::new("x"), b"one", &artifacts).unwrap();
            let names: Vec<_> = kept.artifacts.iter().map(|path| path.strip_prefix(&beside).unwrap()).collect();
            assert_eq!(names, expected.map(Path::new), "round {round}");
        }
        assert_eq!(fs::read(beside.join("plot.svg")).unwrap(), b"mine");
        assert_eq!(fs::read(beside.join("plot (3).svg")).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(&beside).unwrap().count(), 6);
        assert_eq!(fs::read_dir(out.folder()).unwrap().count(), 2, "nothing half-written is left");
    }

    #[test]
    fn no_artifact_has_a_name_that_means_something_else_on_windows() {
        let folder = tempfile::tempdir().unwrap();
        let out = Out::new(folder.path()).unwrap();
        for (name, kept_as) in [
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("Com1.tar.gz", "_Com1.tar.gz"),
            ("LPT9", "_LPT9"),
            ("aux.", "_aux_"),
            ("end.", "end_"),
            ("dots...", "dots_"),
            ("console", "console"),
            ("COM10", "COM10"),
        ] {
            let kept = out.keep(Path::new("x"), b"one", &[artifact(name, b"1")]).unwrap();
            assert_eq!(kept.artifacts, [out.folder().join("x.artifacts").join(kept_as)], "{name}");
        }
    }

    #[test]
    fn a_name_that_has_no_room_for_its_ending_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let out = Out::new(folder.path()).unwrap();
        let names: Vec<String> =
            [239, 240, 255].map(|bytes| "n".repeat(bytes)).into_iter().chain(["ä".repeat(127)]).collect();
        for name in &names {
            for sealed in [b"one", b"two", b"one"] {
                let kept = out.keep(Path::new(name), sealed, &[artifact("a", sealed)]).expect("it is kept");
                assert!(kept.trouble.is_none(), "{kept:?}");
                assert_eq!(fs::read(&kept.artifacts[0]).unwrap(), sealed);
            }
        }
        // For each name two results and their folders.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4 * names.len());
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
        // The file is a link: it stays, and is not followed.
        fs::create_dir(out.folder().join("y.artifacts")).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("kept"), out.folder().join("y.artifacts/kept")).unwrap();
        let kept = out.keep(Path::new("y"), b"one", &[artifact("kept", b"theirs")]).unwrap();
        assert_eq!(kept.artifacts, [out.folder().join("y.artifacts/kept (2)")]);
        assert_eq!(fs::read(&kept.artifacts[0]).unwrap(), b"theirs");
        for name in ["../kept", "/etc/kept", "..", ".hidden", ""] {
            let kept = out.keep(Path::new("z"), b"one", &[artifact(name, b"theirs")]).expect("the result is kept");
            assert!(kept.trouble.is_some(), "{name}");
        }
        assert_eq!(fs::read(elsewhere.join("kept")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    }
}
