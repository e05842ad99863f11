//! A folder's descriptor, and paths that are resolved from it without links.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::path::{Listing, link, parts};
use crate::stat::Seen;

/// To be asked what it is, or as a folder to go on from: needs no right to read it.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) const PLACE: OFlags = OFlags::PATH;
/// `O_EXEC` of `sys/fcntl.h`, which makes `O_SEARCH` of `O_DIRECTORY`: a folder on the way may be searched by those who may not read it.
#[cfg(target_vendor = "apple")]
pub(crate) const PLACE: OFlags = OFlags::from_bits_retain(0x4000_0000);
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple")))]
pub(crate) const PLACE: OFlags = OFlags::RDONLY;

/// Attempts where the system asks for another: something was renamed while it looked.
const ATTEMPTS_MAX: u32 = 16;

/// How a path is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the system, in one call.
    #[cfg(target_os = "linux")]
    InOneCall,
    /// From folder to folder, where the system has no such call, or a filter of system calls keeps it from us.
    PartByPart,
}

#[derive(Debug)]
pub(super) struct Folder {
    descriptor: OwnedFd,
    way: Way,
}

/// Opens the folder at the absolute `path`, no part of which may be a link, to go on from.
///
/// # Errors
///
/// What the system says; [`LinkMet`](super::path::LinkMet) for a link.
pub(crate) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(Folder::from_root(path)?.descriptor)
}

impl Folder {
    /// The folder at the absolute `path`, no part of which may be a link.
    pub(super) fn from_root(path: &Path) -> io::Result<Self> {
        Self::from_root_by(Way::of_this_system(), path)
    }

    pub(super) fn from_root_by(way: Way, path: &Path) -> io::Result<Self> {
        let root = openat(CWD, "/", PLACE | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let top = Self { descriptor: root, way };
        let below = path
            .strip_prefix("/")
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "its path is not absolute"))?;
        Ok(Self { descriptor: top.resolve(&parts(below)?, PLACE | OFlags::DIRECTORY)?, way })
    }

    pub(super) fn look(&self, parts: &[&Path]) -> io::Result<Seen> {
        let Some((last, folders)) = parts.split_last() else {
            return Ok(Seen::from(&rustix::fs::fstat(&self.descriptor)?));
        };
        let folder;
        let within = if folders.is_empty() {
            self.descriptor.as_fd()
        } else {
            folder = self.resolve(folders, PLACE | OFlags::DIRECTORY)?;
            folder.as_fd()
        };
        Ok(Seen::from(&statat(within, *last, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    pub(super) fn open(&self, parts: &[&Path]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(File::from(self.resolve(parts, flags)?))
    }

    pub(super) fn list(&self, parts: &[&Path]) -> io::Result<Listing> {
        let folder = self.resolve(parts, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Box::new(Entries { folder: Dir::new(folder)?, failed: false }))
    }

    /// Opens what lies at `parts`, none of which may be a link.
    fn resolve(&self, parts: &[&Path], flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        if parts.is_empty() {
            return Ok(openat(&self.descriptor, ".", flags | OFlags::NOFOLLOW, Mode::empty())?);
        }
        match self.way {
            #[cfg(target_os = "linux")]
            Way::InOneCall => match in_one_call(&self.descriptor, parts.iter().collect(), flags) {
                // Says which part it is, and that it is one.
                Err(Errno::LOOP) => self.part_by_part(parts, flags),
                // The path as a whole is too long for one call.
                Err(Errno::NAMETOOLONG) => self.part_by_part(parts, flags),
                other => Ok(other?),
            },
            Way::PartByPart => self.part_by_part(parts, flags),
        }
    }

    fn part_by_part(&self, parts: &[&Path], flags: OFlags) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            let wanted = if last { flags } else { PLACE | OFlags::DIRECTORY | OFlags::CLOEXEC };
            let within = at.as_ref().unwrap_or(&self.descriptor);
            let opened = openat(within, *part, wanted | OFlags::NOFOLLOW, Mode::empty());
            at = Some(match opened {
                Ok(next) => next,
                // For a link where a folder is wanted the systems say this or that.
                Err(error) => {
                    let seen = statat(within, *part, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Seen::from(&stat));
                    let is_link = seen.is_ok_and(|seen| seen.kind == crate::stat::FileKind::Link);
                    return Err(if is_link { link(index + 1) } else { error.into() });
                }
            });
        }
        at.ok_or_else(|| Errno::NOENT.into())
    }
}

impl Way {
    /// Asked of the system once.
    fn of_this_system() -> Self {
        #[cfg(target_os = "linux")]
        {
            static HAS_THE_CALL: std::sync::OnceLock<bool> = std::sync::OnceLock::new();

            // A kernel without it, or a filter of system calls from before it, answers ENOSYS or EPERM.
            let asks = || in_one_call(CWD, PathBuf::from("."), PLACE | OFlags::CLOEXEC).is_ok();
            if *HAS_THE_CALL.get_or_init(asks) {
                return Self::InOneCall;
            }
        }
        Self::PartByPart
    }
}

#[cfg(target_os = "linux")]
fn in_one_call(folder: impl AsFd, below: PathBuf, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};

    let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
    let mut attempts = 1;
    loop {
        match openat2(folder.as_fd(), &below, flags, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) if attempts < ATTEMPTS_MAX => attempts += 1,
            other => return other,
        }
    }
}

struct Entries {
    folder: Dir,
    failed: bool,
}

impl Iterator for Entries {
    type Item = io::Result<(OsString, io::Result<Seen>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            let entry = match self.folder.read()? {
                Ok(entry) => entry,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error.into()));
                }
            };
            let name: &CStr = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = self.folder.fd().and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
            let seen = stat.map(|stat| Seen::from(&stat)).map_err(io::Error::from);
            return Some(Ok((OsStr::from_bytes(name.to_bytes()).to_owned(), seen)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::stat::FileKind;
    use crate::tree::link_met;

    const WAYS: &[Way] = &[
        #[cfg(target_os = "linux")]
        Way::InOneCall,
        Way::PartByPart,
    ];

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(path.join("root/a/b")).unwrap();
        fs::write(path.join("root/a/b/file"), "mine").unwrap();
        fs::create_dir_all(path.join("secret/b")).unwrap();
        fs::write(path.join("secret/b/file"), "theirs").unwrap();
        (folder, path.join("root"))
    }

    fn below(path: &str) -> Vec<&Path> {
        parts(Path::new(path)).unwrap()
    }

    fn read(folder: &Folder, path: &str) -> Result<String, Option<usize>> {
        let mut text = String::new();
        match folder.open(&below(path)) {
            Ok(mut file) => file.read_to_string(&mut text).map(|_| text).map_err(|_| None),
            Err(error) => Err(link_met(&error).map(|link| link.part)),
        }
    }

    #[test]
    fn nothing_behind_a_link_is_reached_whichever_part_it_is_and_each_way_says_which() {
        for &way in WAYS {
            let (_folder, path) = tree();
            let root = Folder::from_root_by(way, &path).unwrap();
            assert_eq!(read(&root, "a/b/file").as_deref(), Ok("mine"), "{way:?}");
            symlink("../secret", path.join("first")).unwrap();
            symlink("../../secret/b", path.join("a/middle")).unwrap();
            symlink("../../../secret/b/file", path.join("a/b/last")).unwrap();
            for (link, part) in [("first/b/file", 1), ("a/middle/file", 2), ("a/b/last", 3)] {
                assert_eq!(read(&root, link), Err(Some(part)), "{way:?} {link}");
            }
            let error = root.list(&below("a/middle")).err().expect("a link is no folder");
            assert_eq!(link_met(&error).map(|link| link.part), Some(2), "{way:?}");
            let error = root.look(&below("a/middle/file")).expect_err("it lies behind a link");
            assert_eq!(link_met(&error).map(|link| link.part), Some(2), "{way:?}");
            assert_eq!(root.look(&below("a/middle")).unwrap().kind, FileKind::Link, "{way:?}");
        }
    }

    #[test]
    fn a_folder_that_is_swapped_for_a_link_after_it_was_opened_still_is_what_it_was() {
        for &way in WAYS {
            let (_folder, path) = tree();
            let root = Folder::from_root_by(way, &path).unwrap();
            fs::rename(&path, path.with_file_name("moved")).unwrap();
            symlink("secret", &path).unwrap();
            assert_eq!(read(&root, "a/b/file").as_deref(), Ok("mine"), "{way:?}");
            let error = Folder::from_root_by(way, &path).expect_err("its name is a link now");
            assert!(link_met(&error).is_some(), "{way:?}");
        }
    }

    #[test]
    fn what_is_missing_or_no_folder_is_no_link() {
        for &way in WAYS {
            let (_folder, path) = tree();
            let root = Folder::from_root_by(way, &path).unwrap();
            for (path, kind) in [
                ("none/file", io::ErrorKind::NotFound),
                ("a/b/none", io::ErrorKind::NotFound),
                ("a/b/file/x", io::ErrorKind::NotADirectory),
            ] {
                assert_eq!(root.open(&below(path)).unwrap_err().kind(), kind, "{way:?} {path}");
            }
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        for &way in WAYS {
            let (_folder, path) = tree();
            let pipe = path.join("a/pipe");
            rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            let root = Folder::from_root_by(way, &path).unwrap();
            assert_eq!(root.look(&below("a/pipe")).unwrap().kind, FileKind::Pipe, "{way:?}");
            root.open(&below("a/pipe")).unwrap();
        }
    }

    #[test]
    fn both_ways_list_a_folder_and_see_the_same() {
        let (_folder, path) = tree();
        symlink("b", path.join("a/link")).unwrap();
        let listed = |way| {
            let root = Folder::from_root_by(way, &path).unwrap();
            let mut entries: Vec<(OsString, Seen)> = root
                .list(&below("a"))
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|(name, seen)| (name, seen.unwrap()))
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries
        };
        let first = listed(WAYS[0]);
        assert!(WAYS.iter().all(|way| listed(*way) == first));
        let kinds: Vec<_> = first.iter().map(|(name, seen)| (name.to_str().unwrap(), seen.kind)).collect();
        assert_eq!(kinds, [("b", FileKind::Folder), ("link", FileKind::Link)]);
        let by_name = Seen::from(&fs::symlink_metadata(path.join("a/link")).unwrap());
        assert_eq!(first[1].1, by_name);
    }
}
