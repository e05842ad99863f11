//! Folders that are written into: reached without following a link below the one that the user named, and nothing in them is
//! replaced.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;

#[cfg(not(unix))]
pub(super) use named::Folder;
#[cfg(unix)]
pub(super) use opened::Folder;

/// Names that are tried for one result before it counts as a failure.
pub(super) const NAMES_MAX: u32 = 10_000;
/// Bytes that are compared at once.
pub(super) const COMPARE_BYTES: usize = 64 << 10;

/// What a file is called until it is whole.
const PART_PREFIX: &str = ".filemill-";
const PART_SUFFIX: &str = ".part";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// As the user's other files.
    Usual,
    /// Its owner.
    Owner,
}

/// Something that is in the way of what is to be written: only whoever put it there can take it away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("a link is in its way, which is not followed")]
    Link,
    #[error("something is in its way that is no folder")]
    NoFolder,
    /// The folder that the user named may be back later.
    #[error("a link took the folder's place, which is not followed")]
    InsteadOfAll,
}

/// Whether this is a file that is being written.
pub(crate) fn is_part(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    name.starts_with(PART_PREFIX.as_bytes()) && name.ends_with(PART_SUFFIX.as_bytes())
}

/// The [`Obstacle`] that `error` is, if it is one.
pub(super) fn obstacle_of(error: &Error) -> Option<&Obstacle> {
    error.get_ref()?.downcast_ref()
}

fn obstacle(obstacle: Obstacle) -> Error {
    Error::other(obstacle)
}

/// A name that nothing else has.
fn part() -> String {
    format!("{PART_PREFIX}{}{PART_SUFFIX}", filemill_seal::UploadId::random())
}

/// Whether `file` holds these bytes and nothing else. It may be any file, and very long.
fn holds(mut file: File, bytes: &[u8]) -> Result<bool> {
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

/// An opened folder: what becomes of its name meanwhile does not matter.
#[cfg(unix)]
mod opened {
    use std::os::fd::OwnedFd;

    use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat, renameat, unlinkat};
    use rustix::io::Errno;

    use super::*;
    use crate::tree::{PLACE, link_met, open_folder};

    const FOLDER: OFlags = PLACE.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    pub(crate) struct Folder(OwnedFd);

    impl Folder {
        /// The one that the user named, as an absolute path without links.
        pub(crate) fn open(path: &Path) -> Result<Self> {
            match open_folder(path) {
                Ok(folder) => Ok(Self(folder)),
                Err(error) if link_met(&error).is_some() => Err(obstacle(Obstacle::InsteadOfAll)),
                Err(error) => Err(error),
            }
        }

        /// The one of this name in it, which is made if there is none.
        pub(crate) fn enter(&self, name: &Path) -> Result<Self> {
            match mkdirat(&self.0, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                Ok(()) | Err(Errno::EXIST) => self.open_below(name),
                Err(error) => Err(error.into()),
            }
        }

        fn open_below(&self, name: &Path) -> Result<Self> {
            match openat(&self.0, name, FOLDER, Mode::empty()) {
                Ok(folder) => Ok(Self(folder)),
                // For a link where a folder is wanted the systems say this or that.
                Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                    let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    let is_link = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink();
                    Err(obstacle(if is_link { Obstacle::Link } else { Obstacle::NoFolder }))
                }
                Err(error) => Err(error.into()),
            }
        }

        /// Makes a file of this name, whole or not at all. `false` if there is something else of that name; `true` if there is a
        /// file with these bytes, now or before.
        pub(crate) fn add(&self, name: &Path, data: &[u8], readers: Readers) -> Result<bool> {
            if let Some(same) = self.has(name, data)? {
                return Ok(same);
            }
            let part = part();
            let written = self.create(Path::new(&part), readers).and_then(|mut file| file.write_all(data));
            // Unlike a rename this takes nobody's place.
            let placed = written.map(|()| linkat(&self.0, &part, &self.0, name, AtFlags::empty()));
            let _ = unlinkat(&self.0, &part, AtFlags::empty());
            match placed? {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(self.has(name, data)?.unwrap_or(false)),
                // A file system without links.
                Err(_) => {
                    let mut file = match self.create(name, readers) {
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                        other => other?,
                    };
                    file.write_all(data).inspect_err(|_| {
                        let _ = unlinkat(&self.0, name, AtFlags::empty());
                    })?;
                    Ok(true)
                }
            }
        }

        /// Puts `data` in the place of the file of this name if that holds `former`, all of it or nothing. `None` if there is
        /// nothing of that name, `false` if there is something else.
        pub(crate) fn swap(&self, name: &Path, former: &[u8], data: &[u8]) -> Result<Option<bool>> {
            let is_former = self.has(name, former)?;
            if is_former != Some(true) {
                return Ok(is_former);
            }
            let part = part();
            let written = self.create(Path::new(&part), Readers::Usual).and_then(|mut file| file.write_all(data));
            let placed = written.and_then(|()| Ok(renameat(&self.0, &part, &self.0, name)?));
            placed.inspect_err(|_| {
                let _ = unlinkat(&self.0, &part, AtFlags::empty());
            })?;
            Ok(Some(true))
        }

        /// Removes the file of this name if it holds these bytes. `None` if there is nothing of that name, `false` if there is
        /// something else.
        pub(crate) fn remove(&self, name: &Path, data: &[u8]) -> Result<Option<bool>> {
            let is_it = self.has(name, data)?;
            if is_it == Some(true) {
                unlinkat(&self.0, name, AtFlags::empty())?;
            }
            Ok(is_it)
        }

        /// Whether the file of this name holds these bytes; `None` if there is nothing of that name.
        fn has(&self, name: &Path, data: &[u8]) -> Result<Option<bool>> {
            // A pipe does not wait for a writer.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            match openat(&self.0, name, flags, Mode::empty()) {
                Ok(file) => Ok(Some(holds(File::from(file), data).unwrap_or(false))),
                Err(Errno::NOENT) => Ok(None),
                // A link, a socket, somebody else's: there is something.
                Err(_) => Ok(Some(false)),
            }
        }

        fn create(&self, name: &Path, readers: Readers) -> Result<File> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let others = Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
            let mode = Mode::RUSR | Mode::WUSR | if readers == Readers::Usual { others } else { Mode::empty() };
            Ok(File::from(openat(&self.0, name, flags, mode)?))
        }
    }
}

/// Without a way to hold the folder, as good as it can be done.
#[cfg(not(unix))]
mod named {
    use std::path::PathBuf;

    use super::*;

    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn open(path: &Path) -> Result<Self> {
            Self::open_unless_link(path, Obstacle::InsteadOfAll)
        }

        fn open_unless_link(path: &Path, link: Obstacle) -> Result<Self> {
            let metadata = std::fs::symlink_metadata(path)?;
            match metadata.file_type() {
                kind if kind.is_dir() => Ok(Self(path.to_owned())),
                kind if kind.is_symlink() => Err(obstacle(link)),
                _ => Err(obstacle(Obstacle::NoFolder)),
            }
        }

        pub(crate) fn enter(&self, name: &Path) -> Result<Self> {
            let path = self.0.join(name);
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => Self::open_unless_link(&path, Obstacle::Link),
            }
        }

        pub(crate) fn swap(&self, name: &Path, former: &[u8], data: &[u8]) -> Result<Option<bool>> {
            let is_former = self.has(name, former);
            if is_former == Some(true) {
                let part = self.0.join(part());
                let placed = std::fs::write(&part, data).and_then(|()| std::fs::rename(&part, self.0.join(name)));
                placed.inspect_err(|_| {
                    let _ = std::fs::remove_file(&part);
                })?;
            }
            Ok(is_former)
        }

        pub(crate) fn remove(&self, name: &Path, data: &[u8]) -> Result<Option<bool>> {
            let is_it = self.has(name, data);
            if is_it == Some(true) {
                std::fs::remove_file(self.0.join(name))?;
            }
            Ok(is_it)
        }

        fn has(&self, name: &Path, data: &[u8]) -> Option<bool> {
            let path = self.0.join(name);
            let metadata = std::fs::symlink_metadata(&path).ok()?;
            Some(metadata.is_file() && File::open(&path).and_then(|file| holds(file, data)).unwrap_or(false))
        }

        pub(crate) fn add(&self, name: &Path, data: &[u8], _readers: Readers) -> Result<bool> {
            let path = self.0.join(name);
            if let Ok(metadata) = std::fs::symlink_metadata(&path) {
                return Ok(metadata.is_file() && File::open(&path).and_then(|file| holds(file, data)).unwrap_or(false));
            }
            let part = self.0.join(part());
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&part)
                .and_then(|mut file| file.write_all(data));
            let placed = written.and_then(|()| std::fs::hard_link(&part, &path));
            let _ = std::fs::remove_file(&part);
            match placed {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        }
    }
}
