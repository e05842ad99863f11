//! Which files somebody has open for writing.

use std::collections::HashSet;

/// Those of `files` (device, inode) that a process has open for writing, as far as this user may see. Blocks for some
/// milliseconds, more with many processes.
#[cfg(target_os = "linux")]
pub(super) fn written_now(files: &HashSet<(u64, u64)>) -> HashSet<(u64, u64)> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    let mut written = HashSet::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return written;
    };
    for process in processes.flatten() {
        let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        // Processes of others, and those that have just ended.
        let Some(descriptors) = is_process.then(|| fs::read_dir(process.path().join("fd")).ok()).flatten() else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let Ok(metadata) = fs::metadata(descriptor.path()) else {
                continue;
            };
            let identity = (metadata.dev(), metadata.ino());
            if !files.contains(&identity) || written.contains(&identity) {
                continue;
            }
            let info = process.path().join("fdinfo").join(descriptor.file_name());
            if fs::read_to_string(info).is_ok_and(|info| may_write(&info)) {
                written.insert(identity);
            }
        }
    }
    written
}

/// Elsewhere only the time without a change tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn written_now(_files: &HashSet<(u64, u64)>) -> HashSet<(u64, u64)> {
    HashSet::new()
}

/// Whether the `flags` of /proc/PID/fdinfo/FD (octal, as for open) allow writing.
#[cfg(target_os = "linux")]
fn may_write(info: &str) -> bool {
    const ACCESS_MODE: u32 = 0o3;

    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
    flags.and_then(|flags| u32::from_str_radix(flags, 8).ok()).is_some_and(|flags| flags & ACCESS_MODE != 0)
}

#[cfg(all(test, target_os = "linux"))]
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
