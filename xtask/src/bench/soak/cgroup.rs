//! A bound on a process's share of the processor: a control group with a quota.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The quota's period.
const PERIOD_US: u32 = 100_000;

/// How often the removal of a group is tried: its last process may be on its way out.
const REMOVALS: u32 = 50;

/// A group with a quota of processor time. It is removed when this is dropped, once its processes have ended.
#[derive(Debug)]
pub(super) struct Cgroup {
    dir: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A hierarchy of its own for the `cpu` controller.
    One,
    /// One hierarchy for all controllers.
    Two,
}

impl Cgroup {
    /// Makes a group that gets `cores` of a core.
    ///
    /// # Errors
    ///
    /// When this machine has no such controller, or this process may not use it.
    pub(super) fn make(name: &str, cores: f64) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read `/proc/self/mounts`")?;
        let Some((version, mount)) = controller(&mounts) else {
            bail!(
                "this machine has no `cpu` controller mounted\nhint: mount a cgroup file system, or use `--attacker none`"
            );
        };
        let ours = fs::read_to_string("/proc/self/cgroup").context("cannot read `/proc/self/cgroup`")?;
        let parent = mount.join(own_group(&ours, version).unwrap_or(Path::new("")));
        let refused = || {
            format!(
                "cannot make a control group in `{}`\nhint: run this as root, or use `--attacker none`",
                parent.display()
            )
        };
        if version == Version::Two {
            // Has no effect where it is on already; where it cannot be, the quota's file is missing below.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+cpu");
        }
        let group = Self { dir: parent.join(format!("filemill-{name}-{}", std::process::id())), version };
        fs::create_dir(&group.dir).with_context(refused)?;
        let quota_us = (cores * f64::from(PERIOD_US)).round();
        match version {
            Version::One => {
                group.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                group.write("cpu.cfs_quota_us", &quota_us.to_string())?;
            }
            Version::Two => group.write("cpu.max", &format!("{quota_us} {PERIOD_US}"))?,
        }
        Ok(group)
    }

    /// Puts a process into it.
    ///
    /// # Errors
    ///
    /// When it has ended, or the system refuses.
    pub(super) fn add(&self, id: u32) -> Result<()> {
        self.write("cgroup.procs", &id.to_string())
    }

    /// How often the group had used up its quota: that it really was at its bound.
    pub(super) fn throttled_periods(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.dir.join("cpu.stat")).ok()?;
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.trim().parse().ok())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let file = self.dir.join(file);
        fs::write(&file, text).with_context(|| format!("cannot write `{text}` to `{}`", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        filemill_text::tell!(
            "soak: the control group `{}` (version {:?}) stays behind",
            self.dir.display(),
            self.version
        );
    }
}

/// Where the controller of processor time is mounted. A machine with both versions has it in the first, if it is mounted there.
fn controller(mounts: &str) -> Option<(Version, PathBuf)> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut second = None;
    for field in fields {
        match field.get(1..4) {
            Some([dir, "cgroup", options]) if options.split(',').any(|option| option == "cpu") => {
                return Some((Version::One, dir.into()));
            }
            Some([dir, "cgroup2", _]) => second = Some((Version::Two, PathBuf::from(dir))),
            _ => {}
        }
    }
    second
}

/// The group of this process below the mount, as `/proc/self/cgroup` has it.
fn own_group(groups: &str, version: Version) -> Option<&Path> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match version {
            Version::One => controllers.split(',').any(|name| name == "cpu"),
            Version::Two => number == "0" && controllers.is_empty(),
        };
        is_it.then(|| Path::new(path.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
";

    #[test]
    fn the_controller_is_found_in_either_version() {
        assert_eq!(controller(BOTH), Some((Version::One, "/sys/fs/cgroup/cpu,cpuacct".into())));
        let second = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        assert_eq!(controller(second), Some((Version::Two, "/sys/fs/cgroup".into())));
        assert_eq!(controller("tmpfs / tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn a_process_knows_its_group_in_either_version() {
        let groups = "9:name=systemd:/a\n4:memory:/b\n1:cpu,cpuacct:/c/d\n0::/e\n";
        assert_eq!(own_group(groups, Version::One), Some(Path::new("c/d")));
        assert_eq!(own_group(groups, Version::Two), Some(Path::new("e")));
        assert_eq!(own_group("4:memory:/b\n", Version::One), None);
    }
}
