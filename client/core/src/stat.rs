//! What lies at a path, and what tells two versions of it apart.

use std::fs::Metadata;
use std::path::Path;

use serde::Serialize;

#[cfg(not(unix))]
use crate::wall_clock::wall_clock_ns;

/// A file's clock may stand still for this long between two changes (the granularity of FAT, the coarsest in use), so that
/// equal times of such an age prove nothing.
const CLOCK_GRAIN_NS: i64 = 2_000_000_000;

/// Why something that lies behind a link, or is one, is left out.
pub(crate) const LINK: &str = "ignored: link, which is not followed";

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, or what a system has of that kind.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// Something else.
    Other,
}

/// Something that was looked at, without following it if it is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: FileKind,
    pub(crate) stat: FileStat,
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

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_proves_nothing_while_the_clock_may_stand_still() {
        let stat = FileStat { size: 0, modified_ns: 10_000_000_000, changed_ns: 10_000_000_000, inode: 1, device: 1 };
        assert!(!stat.is_settled_at(11_000_000_000));
        assert!(stat.is_settled_at(12_000_000_000));
    }
}
