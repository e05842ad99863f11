//! Which files somebody has open for writing.

use std::collections::HashSet;

/// Who has files open for writing.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// Files (device, inode) that a process has open for writing.
    pub(super) written: HashSet<(u64, u64)>,
    /// Whether there may be others, of processes that this one may not look into.
    pub(super) others: bool,
}

/// Looks who has any of `files` (device, inode) open for writing. Blocks for some milliseconds, more with many processes.
#[cfg(target_os = "linux")]
pub(super) fn writers_now(files: &HashSet<(u64, u64)>) -> Writers {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::MetadataExt;

    let mut found = Writers { written: HashSet::new(), others: !sees_all_processes() };
    let Ok(processes) = fs::read_dir("/proc") else {
        return Writers { others: true, ..found };
    };
    for process in processes.flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let descriptors = match fs::read_dir(process.path().join("fd")) {
            Ok(descriptors) => descriptors,
            // One that has just ended has nothing open.
            Err(error) => {
                found.others |= error.kind() == ErrorKind::PermissionDenied;
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
    }
    found
}

/// Elsewhere only the time without a change tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn writers_now(_files: &HashSet<(u64, u64)>) -> Writers {
    Writers { written: HashSet::new(), others: true }
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
}
