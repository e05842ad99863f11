//! One file on disk: its name as bytes, what tells two versions of it apart, and how it is opened.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use filemill_seal::{NAME_MAX_BYTES, UploadId};

use crate::content::Content;
use crate::tree::{LINK, Tree};

/// A file's clock may stand still for this long between two changes (the granularity of FAT, the coarsest in use), so that
/// equal times of such an age prove nothing.
const CLOCK_GRAIN_NS: i64 = 2_000_000_000;

/// What tells two versions of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileStat {
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    pub(crate) changed_ns: i64,
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Folder,
    Link,
    Pipe,
    Socket,
    Device,
    Other,
}

/// Something that was looked at, without following it if it is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: FileKind,
    pub(crate) stat: FileStat,
}

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

impl FileStat {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;

            Self {
                size: metadata.size(),
                modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
                inode: metadata.ino(),
                device: metadata.dev(),
            }
        }
        #[cfg(not(unix))]
        {
            let modified_ns = metadata.modified().map_or(0, wall_clock_ns);
            Self { size: metadata.len(), modified_ns, changed_ns: modified_ns, inode: 0, device: 0 }
        }
    }

    /// Whether an equal stat later proves that the file is the same, given that this one was taken at `seen_ns`.
    pub(crate) fn is_settled_at(&self, seen_ns: i64) -> bool {
        self.changed_ns.max(self.modified_ns).saturating_add(CLOCK_GRAIN_NS) <= seen_ns
    }
}

impl Seen {
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == FileKind::Folder
    }
}

impl From<&Metadata> for Seen {
    fn from(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let other = || {
            #[cfg(unix)]
            {
                use std::os::unix::fs::FileTypeExt;

                if kind.is_fifo() {
                    return FileKind::Pipe;
                }
                if kind.is_socket() {
                    return FileKind::Socket;
                }
                if kind.is_block_device() || kind.is_char_device() {
                    return FileKind::Device;
                }
            }
            FileKind::Other
        };
        let kind = match kind {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Folder,
            kind if kind.is_symlink() => FileKind::Link,
            _ => other(),
        };
        Self { kind, stat: FileStat::of(metadata) }
    }
}

#[cfg(unix)]
impl From<&rustix::fs::Stat> for Seen {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "its types differ from system to system")]
    fn from(stat: &rustix::fs::Stat) -> Self {
        use rustix::fs::FileType;

        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Link,
            FileType::Fifo => FileKind::Pipe,
            FileType::Socket => FileKind::Socket,
            FileType::BlockDevice | FileType::CharacterDevice => FileKind::Device,
            FileType::Unknown => FileKind::Other,
        };
        let stat = FileStat {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
        };
        Self { kind, stat }
    }
}

impl Found {
    /// The file at the absolute `path`, named `name`, which was `seen`.
    ///
    /// # Errors
    ///
    /// Says, for people, why it is none that could be analysed.
    pub(crate) fn at(path: PathBuf, name: Vec<u8>, seen: impl Into<Seen>) -> Result<Self, String> {
        let seen = seen.into();
        if let Some(kind) = what_else(seen.kind) {
            return Err(kind.to_owned());
        }
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(format!("its path below the folder has {} bytes, more than {NAME_MAX_BYTES}", name.len()));
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

/// What this is, if it is no regular file.
pub(crate) fn what_else(kind: FileKind) -> Option<&'static str> {
    match kind {
        FileKind::File => None,
        FileKind::Folder => Some("it is a folder"),
        FileKind::Link => Some(LINK),
        FileKind::Pipe => Some("it is a named pipe"),
        FileKind::Socket => Some("it is a socket"),
        FileKind::Device => Some("it is a device"),
        FileKind::Other => Some("it is no regular file"),
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

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// The wall clock, in nanoseconds since 1970-01-01 UTC.
pub(crate) fn now_ns() -> i64 {
    wall_clock_ns(SystemTime::now())
}

/// Device and inode of what lies at `path`; `None` if nothing does, and where there are no such numbers.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// The wall clock, in seconds since 1970-01-01 UTC.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn wall_clock_ns(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

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

    #[test]
    fn a_stat_proves_nothing_while_the_clock_may_stand_still() {
        let stat = FileStat { size: 0, modified_ns: 10_000_000_000, changed_ns: 10_000_000_000, inode: 1, device: 1 };
        assert!(!stat.is_settled_at(11_000_000_000));
        assert!(stat.is_settled_at(12_000_000_000));
    }
}
