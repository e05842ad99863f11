//! Laying small files end to end into bundles.

use std::time::Instant;

use filemill_seal::{FILES_MAX_ENCODED_BYTES, FileEntry, Layout};

use crate::source::Found;

/// Most files of a bundle.
pub(crate) const FILES_PER_BUNDLE: usize = 4096;
/// Most bytes of a bundle; a larger file is an upload of its own.
pub(crate) const BYTES_PER_BUNDLE: u64 = 256 << 20;

/// Collects files until they make a bundle.
#[derive(Default)]
pub(crate) struct Packer {
    files: Vec<Found>,
    bytes: u64,
    encoded_bytes: usize,
    last: Option<Instant>,
}

impl Packer {
    /// Takes a file in, and hands out a bundle if that filled one.
    pub(crate) fn push(&mut self, file: Found) -> Option<Vec<Found>> {
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
        self.last = Some(Instant::now());
        bundle.or_else(|| if self.files.len() == FILES_PER_BUNDLE { self.take() } else { None })
    }

    /// Hands out what there is.
    pub(crate) fn take(&mut self) -> Option<Vec<Found>> {
        self.bytes = 0;
        self.encoded_bytes = 0;
        self.last = None;
        let files = std::mem::take(&mut self.files);
        if files.is_empty() { None } else { Some(files) }
    }

    /// When the last file came; `None` if there is none.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
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
    use crate::source::FileStat;

    fn file(name_bytes: usize, size: u64) -> Found {
        Found {
            path: PathBuf::from("/x"),
            name: vec![b'n'; name_bytes],
            stat: FileStat { size, modified_ns: 0, changed_ns: 0, inode: 0, device: 0 },
            seen_ns: 0,
            attempt: 0,
            replaces: None,
        }
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
        assert!(packer.take().is_none() && packer.last().is_none());
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
