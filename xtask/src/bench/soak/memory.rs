//! Resident memory of the parts while they run.

use std::collections::BTreeMap;
use std::fs;

/// The most that each part had resident at any look, in KiB, by its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    most: BTreeMap<String, u64>,
    now: BTreeMap<String, u64>,
}

impl Memory {
    /// Looks at these processes. One that has ended is left out.
    pub(super) fn look(&mut self, processes: &[(String, u32)]) {
        self.now.clear();
        for (name, id) in processes {
            let Some(kib) = resident_kib(*id) else { continue };
            let most = self.most.entry(name.clone()).or_default();
            *most = kib.max(*most);
            self.now.insert(name.clone(), kib);
        }
    }

    /// At the last look, in MiB: the sum of those whose names begin so.
    pub(super) fn now_mib(&self, start: &str) -> u64 {
        self.now.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, kib)| kib).sum::<u64>() >> 10
    }

    /// The most at any look, in MiB, of each.
    pub(super) fn most_mib(&self) -> BTreeMap<&str, u64> {
        self.most.iter().map(|(name, kib)| (name.as_str(), kib >> 10)).collect()
    }
}

fn resident_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_kept_when_a_process_has_ended() {
        let mut memory = Memory::default();
        memory.look(&[("us".into(), std::process::id())]);
        let most = memory.most_mib()["us"];
        memory.look(&[("us".into(), u32::MAX)]);
        assert_eq!((memory.now_mib("us"), memory.most_mib()["us"]), (0, most));
    }
}
