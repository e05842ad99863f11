//! A folder that only this user can reach, and files in it that are whole or absent.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fstat, futimens,
    mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::CacheError;

const TEMPORARY: &str = ".tmp-";

/// A temporary file older than this was left by a process that died.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Everything goes through the open folder, so that a path that is replaced later leads nowhere.
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder, or makes it and those above it (0700). Refuses a link, and a folder that others can reach.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let io_error = |action, source: io::Error| CacheError::Io { path: path.to_owned(), action, source };
        let refuse = |reason| CacheError::Unsafe { path: path.to_owned(), reason };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| io_error("cannot make the folder", e))?;
        }
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(io_error("cannot make the folder", error.into())),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => refuse("it is a symbolic link or not a folder"),
            error => io_error("cannot open the folder", error.into()),
        })?;
        let about = fstat(&folder).map_err(|e| io_error("cannot look at the folder", e.into()))?;
        if about.st_uid != geteuid().as_raw() {
            return Err(refuse("the folder belongs to another user"));
        }
        if about.st_mode & 0o077 != 0 {
            return Err(refuse("others may enter the folder"));
        }
        Ok(Self(folder))
    }

    /// The file and its length, or `None` where there is none. Marks it as used.
    pub(super) fn find(&self, name: &str, max_bytes: u64) -> io::Result<Option<(File, u64)>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let about = file.metadata()?;
        if !about.is_file() || about.len() > max_bytes {
            return Err(io::Error::other("it is not a plain file of a reasonable size"));
        }
        // Best effort: without it, the file only looks older than it is.
        let _ = futimens(&file, &USED_NOW);
        Ok(Some((file, about.len())))
    }

    /// Writes a file that appears under its name at once and whole.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let temporary = format!("{TEMPORARY}{:016x}", u64::from_le_bytes(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, temporary.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(&self.0, temporary.as_str(), &self.0, name)?));
        if written.is_err() {
            self.remove(&temporary);
        }
        written
    }

    /// Deletes a file, as well as it can.
    pub(super) fn remove(&self, name: &str) {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(name, %error, "cannot delete from the cache"),
        }
    }

    /// Deletes what processes left that died while they wrote.
    pub(super) fn remove_leftovers(&self) {
        let Some(before) = SystemTime::now().checked_sub(LEFTOVER_AGE) else {
            return;
        };
        for (name, about) in self.files() {
            if name.starts_with(TEMPORARY) && modified(&about) < before {
                self.remove(&name);
            }
        }
    }

    /// Deletes what was used longest ago, until no more than `max_bytes` are left.
    pub(super) fn shrink(&self, max_bytes: u64) {
        let mut files = self.files();
        files.retain(|(name, _)| !name.starts_with(TEMPORARY));
        files.sort_by_key(|(_, about)| std::cmp::Reverse(modified(about)));
        let mut kept = 0_u64;
        for (name, about) in files {
            kept = kept.saturating_add(u64::try_from(about.st_size).unwrap_or(0));
            if kept > max_bytes {
                self.remove(&name);
            }
        }
    }

    fn files(&self) -> Vec<(String, Stat)> {
        let listed = Dir::read_from(&self.0).and_then(|dir| dir.collect::<Result<Vec<_>, _>>());
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "cannot list the cache");
                return Vec::new();
            }
        };
        entries.iter().filter_map(|entry| self.file(entry.file_name())).collect()
    }

    fn file(&self, name: &CStr) -> Option<(String, Stat)> {
        let about = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
        is_file.then_some((name.to_str().ok()?.to_owned(), about))
    }
}

const USED_NOW: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
};

fn modified(about: &Stat) -> SystemTime {
    let seconds = u64::try_from(about.st_mtime).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
