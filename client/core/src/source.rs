//! One file on disk: its name as bytes, and how it is opened.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use filemill_seal::{NAME_MAX_BYTES, UploadId};

use crate::content::Content;
use crate::reason::SkipReason;
use crate::stat::{FileStat, Seen};
use crate::tree::Tree;
use crate::wall_clock::now_ns;

/// A file to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// Its name in the header: the path below what the user named.
    pub(crate) name: Vec<u8>,
    /// As it was when it was found.
    pub(crate) stat: FileStat,
    /// When that was, by the wall clock.
    pub(crate) seen_ns: i64,
    /// How often it was sent before and changed meanwhile.
    pub(crate) attempt: u32,
    /// Where it was sent before.
    pub(crate) replaces: Option<(UploadId, u32)>,
    /// A watcher took it in, whose rules hold for it until it is stored; not what was named by hand, whoever sends it in the end.
    pub(crate) watched: bool,
    /// Where it was sent before it grew.
    pub(crate) former: Option<(UploadId, u32)>,
    /// What a look into it said, if one was taken.
    pub(crate) content: Option<Content>,
}

impl Found {
    /// The file at the absolute `path`, named `name`, which was `seen`.
    ///
    /// # Errors
    ///
    /// Why it cannot be analysed.
    pub(crate) fn at(path: PathBuf, name: Vec<u8>, seen: impl Into<Seen>) -> Result<Self, SkipReason> {
        let seen = seen.into();
        if let Some(reason) = SkipReason::instead_of_a_file(seen.kind) {
            return Err(reason);
        }
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(SkipReason::LongName { bytes: name.len(), bytes_max: NAME_MAX_BYTES });
        }
        Ok(Self::seen(path, name, seen.stat, now_ns()))
    }

    /// One that was seen for the first time, at a time in nanoseconds since 1970-01-01 UTC.
    pub(crate) fn seen(path: PathBuf, name: Vec<u8>, stat: FileStat, seen_ns: i64) -> Self {
        Self { path, name, stat, seen_ns, attempt: 0, replaces: None, watched: false, former: None, content: None }
    }

    /// What lies at its path now; no link is followed below the folder that the user named.
    ///
    /// # Errors
    ///
    /// As [`Tree::look`].
    pub(crate) fn look(&self) -> io::Result<Seen> {
        let (tree, below) = self.place();
        Tree::at(tree)?.look(below)
    }

    /// Opens it as it is now, which may be another file; no link is followed below the folder that the user named.
    ///
    /// # Errors
    ///
    /// As [`Tree::open`].
    pub(crate) fn open(&self) -> io::Result<(File, FileStat)> {
        let (tree, below) = self.place();
        Tree::at(tree)?.open(below)
    }

    /// The folder that the user named, or the one that the file lies in, and the path below it: the name is its end.
    fn place(&self) -> (&Path, &Path) {
        let name = path_from_bytes(self.name.clone());
        let parts = name.components().count();
        let tree = self.path.ancestors().nth(parts).filter(|tree| tree.join(&name) == self.path);
        // A journal that says otherwise: all of the path is below the root.
        let tree = tree.unwrap_or_else(|| self.path.ancestors().last().unwrap_or(&self.path));
        (tree, self.path.strip_prefix(tree).unwrap_or(&self.path))
    }
}

/// A path as the bytes that the system has.
pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// The path of bytes that [`path_bytes`] made.
pub(crate) fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    {
        PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::stat::LINK;

    #[test]
    fn bytes_and_paths_are_the_same() {
        let bytes = b"/a\xff/\nb".to_vec();
        assert_eq!(path_bytes(&path_from_bytes(bytes.clone())), bytes);
    }

    #[test]
    fn a_pipe_or_link_in_the_place_of_a_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(folder.path()).unwrap();
        std::fs::write(path.join("file"), "1").unwrap();
        let found = |path: PathBuf| {
            let name = path_bytes(Path::new(path.file_name().unwrap()));
            let stat = FileStat::of(&std::fs::symlink_metadata(&path).unwrap());
            Found::seen(path, name, stat, 0)
        };
        assert_eq!(found(path.join("file")).open().unwrap().1.size, 1);
        rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(found(path.join("pipe")).open().unwrap_err().to_string(), "it is a named pipe");
        std::os::unix::fs::symlink("file", path.join("link")).unwrap();
        assert_eq!(found(path.join("link")).open().unwrap_err().to_string(), LINK);
    }

    #[test]
    fn a_file_is_looked_for_below_what_the_user_named() {
        let stat = FileStat { size: 0, modified_ns: 0, changed_ns: 0, inode: 0, device: 0 };
        for (path, name, tree, below) in [
            ("/root/a/b", "a/b", "/root", "a/b"),
            ("/root/a", "a", "/root", "a"),
            ("/a", "a", "/", "a"),
            ("/root/a/b", "x/b", "/", "root/a/b"),
            ("/root/a/b", "../b", "/", "root/a/b"),
        ] {
            let (path, name) = (PathBuf::from(path), name.as_bytes().to_vec());
            let found = Found::seen(path, name, stat, 0);
            assert_eq!(found.place(), (Path::new(tree), Path::new(below)));
        }
    }
}
