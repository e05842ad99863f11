//! Which results an activity waits for. A bit a file: a hundred thousand of them take a few KiB.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use filemill_seal::UploadId;

/// The results that an activity waits for.
#[derive(Default)]
pub(crate) struct Awaited {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    uploads: HashMap<UploadId, Bits>,
    /// Other files with the same content as one that is under way.
    others: HashMap<(UploadId, u32), HashSet<PathBuf>>,
}

#[derive(Default)]
struct Bits {
    words: Vec<u64>,
    set: u32,
}

/// Who waited for a result.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiters {
    /// The file that was sent.
    pub(crate) itself: bool,
    /// Others with the same content.
    pub(crate) others: HashSet<PathBuf>,
}

impl Awaited {
    /// Waits for file `index` of `upload`. `false` if that is so already.
    pub(crate) fn expect(&self, upload: UploadId, index: u32) -> bool {
        self.lock().uploads.entry(upload).or_default().set(index)
    }

    /// Waits for it on behalf of another file with the same content. `false` if that is so already.
    pub(crate) fn expect_for(&self, upload: UploadId, index: u32, path: PathBuf) -> bool {
        self.lock().others.entry((upload, index)).or_default().insert(path)
    }

    /// Whoever calls this says the last of one file: `reused`, the one at `path` that has the content of the one that was
    /// sent, else that one itself. `false` if nobody waits for it, or another has said it.
    pub(crate) fn claim(&self, upload: UploadId, index: u32, path: &Path, reused: bool) -> bool {
        let mut inner = self.lock();
        if !reused {
            return inner.clear(upload, index);
        }
        let Some(others) = inner.others.get_mut(&(upload, index)) else {
            return false;
        };
        let waited = others.remove(path);
        if others.is_empty() {
            inner.others.remove(&(upload, index));
        }
        waited
    }

    /// The result is there, or will never come: nobody waits for it any more.
    pub(crate) fn arrived(&self, upload: UploadId, index: u32) -> Waiters {
        let mut inner = self.lock();
        let itself = inner.clear(upload, index);
        Waiters { itself, others: inner.others.remove(&(upload, index)).unwrap_or_default() }
    }

    /// Whether somebody waits for it.
    pub(crate) fn has(&self, upload: UploadId, index: u32) -> bool {
        let inner = self.lock();
        inner.uploads.get(&upload).is_some_and(|bits| bits.is_set(index)) || inner.others.contains_key(&(upload, index))
    }

    /// The files of `upload` that are waited for, by themselves or by others. Goes through all that others wait for.
    pub(crate) fn of_upload(&self, upload: UploadId) -> Vec<u32> {
        let inner = self.lock();
        let mut indexes = inner.uploads.get(&upload).map(Bits::indexes).unwrap_or_default();
        indexes.extend(inner.others.keys().filter(|(other, _)| *other == upload).map(|(_, index)| *index));
        indexes.sort_unstable();
        indexes.dedup();
        indexes
    }

    /// The uploads that something is waited for of.
    pub(crate) fn uploads(&self) -> Vec<UploadId> {
        let inner = self.lock();
        let mut uploads: Vec<UploadId> =
            inner.uploads.keys().chain(inner.others.keys().map(|(upload, _)| upload)).copied().collect();
        uploads.sort_unstable();
        uploads.dedup();
        uploads
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn clear(&mut self, upload: UploadId, index: u32) -> bool {
        let itself = self.uploads.get_mut(&upload).is_some_and(|bits| bits.clear(index));
        if self.uploads.get(&upload).is_some_and(|bits| bits.set == 0) {
            self.uploads.remove(&upload);
        }
        itself
    }
}

impl Bits {
    fn set(&mut self, index: u32) -> bool {
        let (word, bit) = (index as usize / 64, 1_u64 << (index % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.set += u32::from(new);
        new
    }

    fn is_set(&self, index: u32) -> bool {
        self.words.get(index as usize / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn clear(&mut self, index: u32) -> bool {
        let bit = 1_u64 << (index % 64);
        let Some(word) = self.words.get_mut(index as usize / 64) else {
            return false;
        };
        let was = *word & bit != 0;
        *word &= !bit;
        self.set -= u32::from(was);
        was
    }

    fn indexes(&self) -> Vec<u32> {
        let mut indexes = Vec::with_capacity(self.set as usize);
        for (base, word) in (0..).step_by(64).zip(&self.words) {
            indexes.extend((0..64).filter(|bit| word & (1 << bit) != 0).map(|bit| base + bit));
        }
        indexes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_concludes_once_whoever_waits() {
        let awaited = Awaited::default();
        let upload = UploadId::random();
        for index in [0, 63, 64, 4095] {
            assert!(awaited.expect(upload, index));
        }
        assert!(!awaited.expect(upload, 64));
        let (copy, other) = (PathBuf::from("/copy"), PathBuf::from("/other"));
        for path in [&copy, &other] {
            assert!(awaited.expect_for(upload, 64, path.clone()));
        }
        assert!(!awaited.expect_for(upload, 64, copy.clone()));
        assert_eq!(awaited.of_upload(upload), [0, 63, 64, 4095]);
        assert!(awaited.has(upload, 63) && !awaited.has(upload, 62) && !awaited.has(upload, 9999));
        assert!(awaited.claim(upload, 64, &other, true), "somebody else took it");
        assert!(!awaited.claim(upload, 64, &other, true));
        assert_eq!(awaited.arrived(upload, 64), Waiters { itself: true, others: HashSet::from([copy.clone()]) });
        assert_eq!(awaited.arrived(upload, 64), Waiters::default());
        assert_eq!(awaited.arrived(upload, 9999), Waiters::default());
        assert_eq!(awaited.of_upload(upload), [0, 63, 4095]);
        assert!(awaited.claim(upload, 63, &copy, false) && !awaited.claim(upload, 63, &copy, false));
        assert!(!awaited.has(upload, 7) && awaited.expect_for(upload, 7, copy) && awaited.has(upload, 7));
        assert_eq!(awaited.of_upload(upload), [0, 7, 4095]);
    }
}
