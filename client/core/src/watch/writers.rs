//! Which files somebody has open for writing.

use std::collections::HashSet;

use crate::source::Found;
use crate::stat::FileStat;

/// Device and inode.
pub(super) type FileId = (u64, u64);

/// Who has files open for writing.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// Files that a process has open for writing.
    pub(super) written: HashSet<FileId>,
    /// Files that another may have open so, which this one cannot see.
    pub(super) unknown: HashSet<FileId>,
}

pub(super) fn identity(stat: &FileStat) -> FileId {
    (stat.device, stat.inode)
}

/// Looks who has any of `files` open for writing. Blocks for some milliseconds, more with many processes, where the system does not
/// say it of each file.
#[cfg(target_os = "linux")]
pub(super) fn writers_now(files: &[&Found]) -> Writers {
    let mut found = Writers::default();
    let mut to_search = HashSet::new();
    for file in files {
        let said = file.open().ok().and_then(|(open, stat)| Some((super::lease::is_unwritten(&open)?, stat)));
        match said {
            Some((is_unwritten, stat)) if stat == file.stat => {
                if !is_unwritten {
                    found.written.insert(identity(&file.stat));
                }
            }
            _ => {
                to_search.insert(identity(&file.stat));
            }
        }
    }
    if !to_search.is_empty() {
        search_processes(to_search, &mut found);
    }
    found
}

/// Elsewhere only the time without a change tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn writers_now(files: &[&Found]) -> Writers {
    Writers { written: HashSet::new(), unknown: files.iter().map(|file| identity(&file.stat)).collect() }
}

/// Looks through the processes that this one may look into.
#[cfg(target_os = "linux")]
fn search_processes(files: HashSet<FileId>, found: &mut Writers) {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    let mut sees_all = sees_all_processes();
    let Ok(processes) = fs::read_dir("/proc") else {
        found.unknown = files;
        return;
    };
    for process in processes.flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let descriptors = match fs::read_dir(process.path().join("fd")) {
            Ok(descriptors) => descriptors,
            // One that has just ended has nothing open.
            Err(error) => {
                sees_all &= error.kind() != std::io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        for descriptor in descriptors.flatten() {
            let Ok(metadata) = fs::metadata(descriptor.path()) else {
                continue;
            };
            let identity = (metadata.dev(), metadata.ino());
            if !files.contains(&identity) || found.written.contains(&identity) {
                continue;
            }
            let info = process.path().join("fdinfo").join(descriptor.file_name());
            if fs::read_to_string(info).is_ok_and(|info| may_write(&info)) {
                found.written.insert(identity);
            }
        }
        // What is mapped may be written to though it was closed.
        if let Ok(maps) = fs::read_to_string(process.path().join("maps")) {
            found.written.extend(maps.lines().filter_map(written_by_map).filter(|mapped| files.contains(mapped)));
        }
    }
    if !sees_all {
        found.unknown = files;
    }
}

/// Whether /proc lists every process of the machine: not within a container, nor where it hides those of others.
#[cfg(target_os = "linux")]
fn sees_all_processes() -> bool {
    /// The inode of the first namespace of processes, `PROC_PID_INIT_INO` of the kernel.
    const FIRST: &str = "pid:[4026531836]";

    let namespace = std::fs::read_link("/proc/self/ns/pid");
    namespace.is_ok_and(|namespace| namespace.as_os_str() == FIRST) && std::fs::exists("/proc/1").unwrap_or(false)
}

/// Whether the `flags` of /proc/PID/fdinfo/FD (octal, as for open) allow writing.
#[cfg(target_os = "linux")]
fn may_write(info: &str) -> bool {
    const ACCESS_MODE: u32 = 0o3;

    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
    flags.and_then(|flags| u32::from_str_radix(flags, 8).ok()).is_some_and(|flags| flags & ACCESS_MODE != 0)
}

/// The file of a line of /proc/PID/maps if what is written there is written to it.
#[cfg(target_os = "linux")]
fn written_by_map(line: &str) -> Option<FileId> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let rights = fields.next()?.as_bytes();
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let device = rustix::fs::makedev(u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let inode: u64 = fields.next()?.parse().ok()?;
    (rights.get(1) == Some(&b'w') && rights.get(3) == Some(&b's') && inode != 0).then_some((device, inode))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn the_access_mode_is_read_from_fdinfo() {
        assert!(may_write("pos:\t0\nflags:\t0100001\nmnt_id:\t29\n"));
        assert!(may_write("pos:\t0\nflags:\t0100002\n"));
        assert!(!may_write("pos:\t0\nflags:\t0100000\n"));
        assert!(!may_write(""));
    }

    #[test]
    fn a_shared_map_that_may_be_written_to_is_told_from_others() {
        let line =
            |rights: &str| format!("7f3a000-7f3b000 {rights} 00000000 fe:01 1234                       /data/a b");
        assert_eq!(written_by_map(&line("rw-s")), Some((rustix::fs::makedev(0xfe, 1), 1234)));
        for rights in ["r--s", "rw-p", "r-xp"] {
            assert_eq!(written_by_map(&line(rights)), None, "{rights}");
        }
        assert_eq!(written_by_map("7ffd000-7ffe000 rw-p 00000000 00:00 0 [stack]"), None);
    }
}
