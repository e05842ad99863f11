//! Laying small files end to end into bundles.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use filemill_seal::{FILES_MAX_ENCODED_BYTES, FileEntry, Layout};

use crate::source::Found;

/// Most files of a bundle.
pub(crate) const FILES_PER_BUNDLE: usize = 4096;
/// Most bytes of a bundle; a larger file is an upload of its own.
pub(crate) const BYTES_PER_BUNDLE: u64 = 256 << 20;

/// When a bundle is closed though there is room in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Nothing came for so long.
    pub(crate) pause: Duration,
    /// Its first file has waited for so long: files that keep coming, a few at a time, wait no longer for each other.
    pub(crate) wait: Duration,
}

/// Collects files for several targets. All of them together hold no more than one bundle may: what is known of each file is held
/// in memory, and how many targets there are is for others to say.
pub(crate) struct Packers<T> {
    packers: HashMap<T, Packer>,
}

/// Collects files until they make a bundle.
#[derive(Default)]
struct Packer {
    files: Vec<Found>,
    bytes: u64,
    encoded_bytes: usize,
    /// When its first and its last file came.
    came: Option<(Instant, Instant)>,
}

impl<T: Clone + Eq + Hash> Packers<T> {
    pub(crate) fn new() -> Self {
        Self { packers: HashMap::new() }
    }

    /// Takes a file in, and hands out the bundle that it filled; or the fullest, where there are enough files for one in all.
    pub(crate) fn push(&mut self, target: T, file: Found) -> Option<(T, Vec<Found>)> {
        let packer = self.packers.entry(target.clone()).or_default();
        if let Some(bundle) = packer.push(file) {
            return Some((target, bundle));
        }
        if self.packers.values().map(|packer| packer.files.len()).sum::<usize>() < FILES_PER_BUNDLE {
            return None;
        }
        let (target, fullest) = self.packers.iter_mut().max_by_key(|(_, packer)| packer.files.len())?;
        Some((target.clone(), fullest.take()?))
    }

    /// Hands out the bundles that nothing more is to come into: `all` of them, or those for which nobody is to wait any longer.
    pub(crate) fn closed(&mut self, all: bool, patience: Patience) -> Vec<(T, Vec<Found>)> {
        let now = Instant::now();
        let closed = self.packers.extract_if(|_, packer| all || packer.due(patience).is_none_or(|due| due <= now));
        closed.filter_map(|(target, mut packer)| Some((target, packer.take()?))).collect()
    }

    /// When the next bundle is to be closed.
    pub(crate) fn due(&self, patience: Patience) -> Option<Instant> {
        self.packers.values().filter_map(|packer| packer.due(patience)).min()
    }
}

impl Packer {
    /// Takes a file in, and hands out a bundle if that filled one.
    fn push(&mut self, file: Found) -> Option<Vec<Found>> {
        if file.stat.size > BYTES_PER_BUNDLE {
            return Some(vec![file]);
        }
        let encoded = encoded_bytes(&file);
        let full = self.files.len() == FILES_PER_BUNDLE
            || self.bytes + file.stat.size > BYTES_PER_BUNDLE
            || self.encoded_bytes + encoded > FILES_MAX_ENCODED_BYTES;
        let bundle = if full { self.take() } else { None };
        self.bytes += file.stat.size;
        self.encoded_bytes += encoded;
        self.files.push(file);
        let now = Instant::now();
        self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        bundle.or_else(|| if self.files.len() == FILES_PER_BUNDLE { self.take() } else { None })
    }

    fn due(&self, patience: Patience) -> Option<Instant> {
        self.came.map(|(first, last)| (last + patience.pause).min(first + patience.wait))
    }

    /// Hands out what there is.
    fn take(&mut self) -> Option<Vec<Found>> {
        self.bytes = 0;
        self.encoded_bytes = 0;
        self.came = None;
        let files = std::mem::take(&mut self.files);
        if files.is_empty() { None } else { Some(files) }
    }
}

/// Why the file is too long for any upload of such chunks, and what to do, if it is.
pub(crate) fn too_long(file: &Found, chunk_size: u32) -> Option<String> {
    let error = Layout::new(chunk_size, [file.stat.size]).err()?;
    Some(format!("it is too long for one upload: {error}; send it in parts"))
}

fn encoded_bytes(file: &Found) -> usize {
    // Only lengths count, which spares a copy of the name.
    let length = FileEntry { name: Vec::new(), length: file.stat.size }.encoded_bytes();
    // At most 2 more bytes say how long a name of up to 4,096 bytes is.
    length + file.name.len() + 2
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::stat::FileStat;

    const FOR_LONG: Patience = Patience { pause: Duration::from_secs(3600), wait: Duration::from_secs(3600) };

    fn file(name_bytes: usize, size: u64) -> Found {
        let stat = FileStat { size, modified_ns: 0, changed_ns: 0, inode: 0, device: 0 };
        Found::seen(PathBuf::from("/x"), vec![b'n'; name_bytes], stat, 0)
    }

    #[test]
    fn bundles_end_at_number_and_bytes_and_a_large_file_goes_alone() {
        let mut packer = Packer::default();
        let mut bundles = Vec::new();
        for _ in 0..FILES_PER_BUNDLE + 1 {
            bundles.extend(packer.push(file(10, 1)));
        }
        assert_eq!(bundles.iter().map(Vec::len).collect::<Vec<_>>(), [FILES_PER_BUNDLE]);
        assert_eq!(packer.push(file(10, BYTES_PER_BUNDLE + 1)).map(|bundle| bundle.len()), Some(1));
        assert_eq!(packer.push(file(10, BYTES_PER_BUNDLE)).map(|bundle| bundle.len()), Some(1));
        assert_eq!(packer.take().map(|bundle| bundle.len()), Some(1));
        assert!(packer.take().is_none() && packer.came.is_none());
    }

    #[test]
    fn however_many_engines_there_are_no_more_files_than_a_bundle_has_wait_in_memory() {
        const ENGINES: usize = 40;

        let mut packers = Packers::new();
        let (mut waiting, mut most, mut handed_out) = (0_usize, 0, 0);
        for number in 0..20 * FILES_PER_BUNDLE {
            waiting += 1;
            if let Some((_, bundle)) = packers.push(number % ENGINES, file(10, 1)) {
                // Not one upload for each file: what is handed out is a good part of a bundle.
                assert!(bundle.len() >= FILES_PER_BUNDLE / ENGINES);
                waiting -= bundle.len();
                handed_out += bundle.len();
            }
            most = most.max(waiting);
        }
        assert!(most < FILES_PER_BUNDLE, "{most} files waited");
        assert!(packers.closed(false, FOR_LONG).is_empty());
        handed_out += packers.closed(true, FOR_LONG).iter().map(|(_, bundle)| bundle.len()).sum::<usize>();
        assert_eq!((handed_out, packers.due(FOR_LONG)), (20 * FILES_PER_BUNDLE, None));
    }

    #[test]
    fn a_bundle_into_which_something_comes_all_the_time_is_closed_when_its_first_file_has_waited() {
        const PATIENCE: Patience = Patience { wait: Duration::from_millis(50), ..FOR_LONG };
        let begun = Instant::now();
        let mut packers = Packers::new();
        let bundle = loop {
            assert!(packers.push((), file(10, 1)).is_none(), "it is full");
            if let Some((_, bundle)) = packers.closed(false, PATIENCE).pop() {
                break bundle;
            }
            let due = packers.due(PATIENCE).unwrap();
            assert!(due <= Instant::now() + PATIENCE.wait);
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(begun.elapsed() >= PATIENCE.wait && !bundle.is_empty());
        assert!(packers.due(PATIENCE).is_none());
    }

    #[test]
    fn long_names_do_not_make_a_header_that_is_too_long() {
        let mut packer = Packer::default();
        let mut largest = 0;
        for _ in 0..5000 {
            if let Some(bundle) = packer.push(file(4096, 1)) {
                let bytes: usize = bundle
                    .iter()
                    .map(|file| FileEntry { name: file.name.clone(), length: file.stat.size }.encoded_bytes())
                    .sum();
                largest = largest.max(bytes);
            }
        }
        assert!(largest > FILES_MAX_ENCODED_BYTES / 2 && largest <= FILES_MAX_ENCODED_BYTES, "{largest}");
    }
}
