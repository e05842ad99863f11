//! Keeping sealed results and what lies in them as files, in the tree that their files have.

mod artifacts;
mod folder;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use filemill_seal::{Artifact, Digest};

use crate::error::Error;
use crate::source::{path_bytes, path_from_bytes};
pub(crate) use folder::is_part;
use folder::{Folder, NAMES_MAX, Obstacle, Readers, obstacle_of};

/// Longest name before its ending, in bytes: most file systems take 255 for all of it, and `.10000.artifacts` has 16.
const STEM_MAX_BYTES: usize = 255 - 16;

/// Endings of a sealed result and of the folder with its artifacts.
const SEALED_ENDING: &str = ".age";
const ARTIFACTS_ENDING: &str = ".artifacts";

/// A folder for sealed results.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    folder: PathBuf,
}

/// What was kept of a result.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    /// Where each artifact is; none where they could not be kept.
    pub(crate) artifacts: Vec<PathBuf>,
    /// Why they could not, or the sealed result itself.
    pub(crate) trouble: Option<Error>,
    /// Whether that may be otherwise later, without anybody's doing anything to what is in the way.
    pub(crate) is_passing: bool,
}

impl Export {
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
    /// is replaced, no link below the folder is followed, and what is there already with the same content stays as it is. A name
    /// that has no room for its ending is cut. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the result could not be kept, and perhaps can be later. That its artifacts could not is no error: their
    /// names are the engine's; nor is that somebody put something in its way, or that no file can be called so.
    pub(crate) fn keep(&self, name: &Path, sealed: &[u8], artifacts: &[Artifact]) -> Result<Exported, Error> {
        let kept = self.keep_by(name, artifacts, |folder, name| place(folder, name, sealed).map(Some))?;
        Ok(kept.unwrap_or_default())
    }

    /// As [`keep`](Self::keep), in the place of `former`, a sealed result and its artifacts, if that was kept under that name;
    /// `None` if it was not.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    pub(crate) fn keep_in_place_of(
        &self,
        former: (&[u8], &[Artifact]),
        name: &Path,
        sealed: &[u8],
        artifacts: &[Artifact],
    ) -> Result<Option<Exported>, Error> {
        self.keep_by(name, artifacts, |folder, name| take_place(folder, name, sealed, former))
    }

    /// Keeps a result where `place` puts it, which says what that is called without `.age`; `None` if it has no place for it.
    fn keep_by(
        &self,
        name: &Path,
        artifacts: &[Artifact],
        place: impl FnOnce(&Folder, &Path) -> std::io::Result<Option<PathBuf>>,
    ) -> Result<Option<Exported>, Error> {
        let below = short_enough(inside(name));
        let target = self.folder.join(&below);
        let sealed = with_ending(target.clone(), SEALED_ENDING);
        let name = below.file_name().unwrap_or(OsStr::new("result"));
        let placed = self
            .enter(below.parent().unwrap_or(Path::new("")))
            .and_then(|folder| Ok(place(&folder, Path::new(name))?.map(|stem| (folder, stem))));
        let (folder, stem) = match placed {
            Ok(Some(placed)) => placed,
            Ok(None) => return Ok(None),
            Err(error) if !is_passing(&error) || obstacle_of(&error).is_some() => {
                let trouble = Some(Error::file("write", &sealed, &error));
                return Ok(Some(Exported { artifacts: Vec::new(), trouble, is_passing: is_passing(&error) }));
            }
            Err(error) => return Err(Error::file("write", &sealed, &error)),
        };
        if artifacts.is_empty() {
            return Ok(Some(Exported::default()));
        }
        let beside = with_ending(stem, ARTIFACTS_ENDING);
        let path = target.with_file_name(&beside);
        let kept = folder.enter(&beside).and_then(|folder| artifacts::keep(&folder, artifacts));
        Ok(Some(match kept {
            Ok(names) => {
                Exported { artifacts: names.iter().map(|name| path.join(name)).collect(), ..Exported::default() }
            }
            Err(error) => Exported {
                artifacts: Vec::new(),
                trouble: Some(Error::file("write", &path, &error)),
                is_passing: is_passing(&error),
            },
        }))
    }

    /// The folder `below`, and all on the way to it, which are made if they are not there.
    fn enter(&self, below: &Path) -> std::io::Result<Folder> {
        let top = match Folder::open(&self.folder) {
            // Somebody took it away meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder).and_then(|()| Folder::open(&self.folder))
            }
            other => other,
        }?;
        below.components().try_fold(top, |folder, part| folder.enter(Path::new(&part)))
    }
}

/// Whether the last part of `path` is a name under which a sealed result is kept, or the folder with its artifacts.
pub(crate) fn is_result(path: &Path, is_folder: bool) -> bool {
    let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    let ending = if is_folder { ARTIFACTS_ENDING } else { SEALED_ENDING };
    name.len() > ending.len() && name.ends_with(ending.as_bytes())
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

/// Whether it may be otherwise later, by itself or when there is room. Not where it is the name that cannot be had.
fn is_passing(error: &std::io::Error) -> bool {
    let of_the_name = [ErrorKind::InvalidInput, ErrorKind::InvalidFilename, ErrorKind::AlreadyExists];
    match obstacle_of(error) {
        Some(obstacle) => matches!(obstacle, Obstacle::InsteadOfAll),
        None => !of_the_name.contains(&error.kind()),
    }
}

/// Puts the result in the place of a former one, if that is there, and takes the former's artifacts away; says what that is called
/// without `.age`.
fn take_place(
    folder: &Folder,
    name: &Path,
    sealed: &[u8],
    (former, artifacts): (&[u8], &[Artifact]),
) -> std::io::Result<Option<PathBuf>> {
    for number in 1..=NAMES_MAX {
        let stem = numbered(name, number);
        match folder.swap(&with_ending(stem.clone(), SEALED_ENDING), former, sealed)? {
            Some(true) => {
                if !artifacts.is_empty() {
                    let beside = folder.enter(&with_ending(stem.clone(), ARTIFACTS_ENDING))?;
                    artifacts::remove(&beside, artifacts);
                }
                return Ok(Some(stem));
            }
            Some(false) => {}
            None => break,
        }
    }
    Ok(None)
}

/// `name`, `name.2`, …
fn numbered(name: &Path, number: u32) -> PathBuf {
    match number {
        1 => name.to_owned(),
        _ => with_ending(name.to_owned(), &format!(".{number}")),
    }
}

/// Gives the result a place, and says what that is called without `.age`.
fn place(folder: &Folder, name: &Path, sealed: &[u8]) -> std::io::Result<PathBuf> {
    for number in 1..=NAMES_MAX {
        let stem = numbered(name, number);
        if folder.add(&with_ending(stem.clone(), SEALED_ENDING), sealed, Readers::Usual)? {
            return Ok(stem);
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
    use super::folder::COMPARE_BYTES;
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
        let out = Export::new(&folder.path().join("out")).unwrap();
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

    #[test]
    #[cfg(unix)]
    fn a_result_is_kept_later_where_a_link_took_the_folders_place_and_not_where_one_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere, away) =
            (folder.path().join("out"), folder.path().join("else"), folder.path().join("away"));
        fs::create_dir(&elsewhere).unwrap();
        let out = Export::new(&path).unwrap();
        fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let kept = out.keep(Path::new("x"), b"one", &[]).unwrap();
        assert!(kept.trouble.is_some() && kept.is_passing, "it was not to be tried again: {kept:?}");
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.join("link")).unwrap();
        let kept = out.keep(Path::new("link/x"), b"one", &[]).unwrap();
        assert!(kept.trouble.is_some() && !kept.is_passing, "{kept:?}");
        assert!(out.keep(Path::new("x"), b"one", &[]).unwrap().trouble.is_none());
        assert_eq!((tree(&elsewhere), tree(&path)), (vec![], vec!["x.age".to_owned()]));
    }

    fn artifact(name: &str, data: &[u8]) -> Artifact {
        Artifact { name: name.to_owned(), media_type: "text/plain".to_owned(), data: data.to_vec() }
    }

    #[test]
    fn the_newest_result_of_a_file_that_grew_takes_the_place_of_the_former_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let out = Export::new(&folder.path().join("out")).unwrap();
        let name = Path::new("a/x.csv");
        let old = [artifact("plot.svg", b"old"), artifact("old.txt", b"old")];
        out.keep(name, b"another's", &[artifact("plot.svg", b"another's")]).unwrap();
        out.keep(name, b"half", &old).unwrap();
        let new = [artifact("plot.svg", b"new")];
        for round in 0..2 {
            let kept = out.keep_in_place_of((b"half", &old), name, b"whole", &new).unwrap();
            assert_eq!(kept.is_none(), round > 0, "the former was there once: {kept:?}");
            let kept = kept.map_or_else(|| out.keep(name, b"whole", &new), Ok).unwrap();
            assert!(kept.trouble.is_none(), "{kept:?}");
            assert_eq!(
                tree(folder.path()),
                [
                    "out/a/x.csv.2.age",
                    "out/a/x.csv.2.artifacts/plot.svg",
                    "out/a/x.csv.age",
                    "out/a/x.csv.artifacts/plot.svg"
                ]
            );
            let read = |name: &str| fs::read(out.folder().join("a").join(name)).unwrap();
            assert_eq!((read("x.csv.age"), read("x.csv.2.age")), (b"another's".to_vec(), b"whole".to_vec()));
            assert_eq!(read("x.csv.2.artifacts/plot.svg"), b"new");
        }
    }

    #[test]
    fn artifacts_lie_beside_their_result() {
        let folder = tempfile::tempdir().unwrap();
        let out = Export::new(&folder.path().join("out")).unwrap();
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
        let out = Export::new(folder.path()).unwrap();
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
        let out = Export::new(folder.path()).unwrap();
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
        let out = Export::new(folder.path()).unwrap();
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

    #[test]
    fn a_folder_that_cannot_be_called_so_does_not_pass_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let out = Export::new(folder.path()).unwrap();
        let kept = out.keep(&Path::new(&"n".repeat(300)).join("x"), b"one", &[]).expect("the others go on");
        assert!(kept.trouble.is_some() && !kept.is_passing, "{kept:?}");
    }

    #[cfg(unix)]
    #[test]
    fn no_artifact_is_written_through_a_link_or_under_another_kind_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let out = Export::new(&folder.path().join("out")).unwrap();
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

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link_that_somebody_put_below_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("deep")).unwrap();
        // What the user named may be a link.
        fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("out")).unwrap();
        let out = Export::new(&folder.path().join("out")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, out.folder().join("a")).unwrap();
        fs::create_dir(out.folder().join("b")).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("deep"), out.folder().join("b/c")).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("new"), out.folder().join("d.age")).unwrap();
        fs::write(out.folder().join("e"), "no folder").unwrap();
        for (name, reason) in [
            ("a/x", "a link is in its way, which is not followed"),
            ("a/deep/x", "a link is in its way, which is not followed"),
            ("b/c/x", "a link is in its way, which is not followed"),
            ("e/x", "something is in its way that is no folder"),
        ] {
            let kept = out.keep(Path::new(name), b"one", &[artifact("plot", b"1")]).expect("the run goes on");
            let said = kept.trouble.expect("it is said").to_string();
            let expected =
                format!("cannot write `{}`: {reason}", out.folder().join(name).with_extension("age").display());
            assert_eq!((said, kept.artifacts), (expected, Vec::<PathBuf>::new()));
        }
        // A link in the place of the result itself is something else of that name.
        assert!(out.keep(Path::new("d"), b"one", &[]).unwrap().trouble.is_none());
        assert_eq!(fs::read(out.folder().join("d.2.age")).unwrap(), b"one");
        assert_eq!(tree(&elsewhere), [""; 0]);
        // The folder itself becomes a link after it was opened.
        fs::rename(out.folder(), folder.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, out.folder()).unwrap();
        assert!(out.keep(Path::new("f"), b"one", &[]).unwrap().trouble.is_some());
        assert_eq!(tree(&elsewhere), [""; 0]);
    }

    #[test]
    fn a_folder_that_somebody_took_away_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let out = Export::new(&folder.path().join("out")).unwrap();
        fs::remove_dir(out.folder()).unwrap();
        out.keep(Path::new("a/x"), b"one", &[]).unwrap();
        assert_eq!(tree(folder.path()), ["out/a/x.age"]);
    }
}
