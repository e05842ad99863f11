//! Which file systems lie below a folder, and whether the system tells of all that changes in them.

use std::path::{Path, PathBuf};

use crate::source::path_from_bytes;

/// File systems whose every change goes through this machine's kernel, and which tell of it. Not among them: those over a
/// network (whoever changes a file there tells its own kernel), those of other programs (FUSE), those of a virtual machine's
/// host, and overlays, whose lower parts change unseen.
const TRUSTED: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "jfs", "reiserfs", "nilfs2", "tmpfs", "ramfs",
    "vfat", "exfat", "msdos", "ntfs3", "hfs", "hfsplus", "udf", "iso9660", "squashfs", "erofs",
];

/// The mounts of this process, as they are now.
pub(super) fn mounts_now() -> Option<String> {
    if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/self/mountinfo").ok() } else { None }
}

/// Those of `mounts` that folders at or below `roots` lie in: a text that is equal as long as they are. Others come and go all the
/// time, with containers and with what is plugged in.
pub(super) fn relevant(mounts: &str, roots: &[&Path]) -> String {
    let touches = |place: &Path| roots.iter().any(|root| root.starts_with(place) || place.starts_with(root));
    let lines = mounts.lines().filter(|line| parse(line).is_some_and(|(place, _)| touches(&place)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Why the system may not tell of every change at or below `folder`, given its mounts; `None` if it does.
pub(super) fn distrust(folder: &Path, mounts: Option<&str>) -> Option<String> {
    let Some(mounts) = mounts else {
        return Some("nobody can tell what kind of file system it is on".to_owned());
    };
    let mut own: Option<(PathBuf, String)> = None;
    let mut below = Vec::new();
    for (place, kind) in mounts.lines().filter_map(parse) {
        if folder.starts_with(&place) {
            // One that was mounted later at the same place is over the former.
            if own.as_ref().is_none_or(|(former, _)| place.starts_with(former)) {
                own = Some((place, kind));
            }
        } else if place.starts_with(folder) {
            below.push((place, kind));
        }
    }
    let Some((_, kind)) = own else {
        return Some("nobody can tell what kind of file system it is on".to_owned());
    };
    if !TRUSTED.contains(&kind.as_str()) {
        return Some(format!("it is on a file system of kind `{}`", kind.escape_debug()));
    }
    let (place, kind) = below.into_iter().find(|(_, kind)| !TRUSTED.contains(&kind.as_str()))?;
    let place = filemill_text::shown_path(&place);
    Some(format!("`{place}` in it is a file system of kind `{}`", kind.escape_debug()))
}

/// Where a line of mountinfo says that something is mounted, and its kind.
fn parse(line: &str) -> Option<(PathBuf, String)> {
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    let place = line.split(' ').nth(4)?;
    let kind = line.split_once(" - ")?.1.split(' ').next()?;
    Some((path_from_bytes(unescaped(place.as_bytes())), kind.to_owned()))
}

/// Spaces, tabs, line feeds and backslashes are written as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &others[3..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:30 / /home/ada/net rw,relatime shared:5 - nfs4 server:/x rw,vers=4.2
31 21 0:31 / /home/ada/my\\040disk rw - fuse.sshfs host: rw
32 21 0:32 / /data rw - tmpfs tmpfs rw
33 32 0:33 / /data rw - overlay overlay rw,lowerdir=/a
";

    #[test]
    fn only_local_file_systems_are_trusted_and_none_with_another_in_it() {
        let why = |folder: &str| distrust(Path::new(folder), Some(MOUNTS));
        assert_eq!(why("/home/ada/docs"), None);
        assert_eq!(why("/home/ada/network"), None);
        assert_eq!(why("/home/ada/net/x").unwrap(), "it is on a file system of kind `nfs4`");
        assert_eq!(why("/home/ada").unwrap(), "`/home/ada/net` in it is a file system of kind `nfs4`");
        assert_eq!(why("/home/ada/my disk").unwrap(), "it is on a file system of kind `fuse.sshfs`");
        assert_eq!(why("/data/in").unwrap(), "it is on a file system of kind `overlay`", "the upper one counts");
        assert!(distrust(Path::new("/a"), None).is_some() && distrust(Path::new("/a"), Some("")).is_some());
    }

    #[test]
    fn only_mounts_that_a_folder_lies_in_or_that_lie_in_it_matter_for_it() {
        let of = |folders: &[&str]| {
            let folders: Vec<&Path> = folders.iter().map(|folder| Path::new(*folder)).collect();
            let lines = relevant(MOUNTS, &folders);
            lines.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(&["/home/ada/docs"]), ["21"]);
        assert_eq!(of(&["/home/ada"]), ["21", "30", "31"]);
        assert_eq!(of(&["/home/ada/my disk/x", "/data"]), ["21", "31", "32", "33"]);
        let all = |folder: &str| distrust(Path::new(folder), Some(MOUNTS));
        for folder in ["/home/ada/docs", "/home/ada/net/x", "/home/ada", "/data/in"] {
            let mounts = relevant(MOUNTS, &[Path::new(folder)]);
            assert_eq!(distrust(Path::new(folder), Some(&mounts)), all(folder));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_mounts_of_this_process_are_read() {
        let mounts = mounts_now().unwrap();
        assert!(mounts.lines().all(|line| parse(line).is_some()), "{mounts}");
        assert!(distrust(Path::new("/proc"), Some(&mounts)).unwrap().contains("`proc`"));
    }
}
