//! How far an activity is.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use filemill_seal::UploadId;
use serde::Serialize;

use crate::awaited::Awaited;
use crate::ending::{Ending, Finished};

/// How far the work is. Numbers only grow, except where something is done again, or turns out to be nothing that is to be done.
#[derive(Default)]
pub(crate) struct Progress {
    found_files: AtomicU64,
    found_bytes: AtomicU64,
    done_files: AtomicU64,
    done_bytes: AtomicU64,
    needless_bytes: AtomicU64,
    /// Of files that wait for the result of the same content, sent from another path.
    copied_bytes: AtomicU64,
    reused_files: AtomicU64,
    rejected_files: AtomicU64,
    cancelled_files: AtomicU64,
    failed_files: AtomicU64,
    read_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// Plaintext bytes of the chunks that are stored.
    stored_bytes: AtomicU64,
    all_found: AtomicU64,
    /// Of files that are done, by the hashes of their paths.
    ends: Mutex<Ends>,
    hash: RandomState,
    /// The results that are waited for.
    awaited: Mutex<Weak<Awaited>>,
}

/// What became of a file the last time.
#[derive(Clone, Copy, Debug)]
struct End {
    has_failed: bool,
    is_rejected: bool,
    is_cancelled: bool,
    is_reused: bool,
}

/// How the files that were done last have ended, [`ENDS_MAX`] or up to twice as many: a watcher may go on for months.
#[derive(Debug, Default)]
struct Ends {
    young: HashMap<u64, End>,
    old: HashMap<u64, End>,
}

/// What is kept in mind of how files ended takes some 4 MiB with it.
const ENDS_MAX: usize = 1 << 16;

impl Ends {
    /// Notes how a file has ended, and answers how it had before, if that is kept in mind.
    fn replace(&mut self, path: u64, now: End) -> Option<End> {
        let former = self.young.insert(path, now).or_else(|| self.old.remove(&path));
        if self.young.len() >= ENDS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        former
    }
}

/// How far an activity is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProgressNow {
    /// Files found so far.
    pub found_files: u64,
    /// Their bytes.
    pub found_bytes: u64,
    /// Files that are done, successfully or not.
    pub done_files: u64,
    /// Files among them that their engine rejected: [`Ending::is_rejected`].
    pub rejected_files: u64,
    /// Files among them that were cancelled: [`Ending::is_cancelled`].
    pub cancelled_files: u64,
    /// Files among them that were not analysed otherwise: neither succeeded nor rejected nor cancelled.
    pub failed_files: u64,
    /// Files among them whose content had its result before.
    pub reused_files: u64,
    /// Bytes read from files.
    pub read_bytes: u64,
    /// Bytes that went over the network to storage.
    pub sent_bytes: u64,
    /// Bytes of files that storage has, before compression.
    pub stored_bytes: u64,
    /// Bytes of files that are not to be stored: their content was sent before, or they could not be.
    pub needless_bytes: u64,
    /// Whether no more files will be found.
    pub all_found: bool,
}

impl Progress {
    /// The numbers of this moment.
    pub(crate) fn now(&self) -> ProgressNow {
        ProgressNow {
            found_files: self.found_files.load(Ordering::Relaxed),
            found_bytes: self.found_bytes.load(Ordering::Relaxed),
            done_files: self.done_files.load(Ordering::Relaxed),
            rejected_files: self.rejected_files.load(Ordering::Relaxed),
            cancelled_files: self.cancelled_files.load(Ordering::Relaxed),
            failed_files: self.failed_files.load(Ordering::Relaxed),
            reused_files: self.reused_files.load(Ordering::Relaxed),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
            needless_bytes: self.needless_bytes.load(Ordering::Relaxed) + self.copied_bytes.load(Ordering::Relaxed),
            all_found: self.all_found.load(Ordering::Relaxed) != 0,
        }
    }

    pub(crate) fn found(&self, bytes: u64) {
        self.found_files.fetch_add(1, Ordering::Relaxed);
        self.found_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn all_found(&self) {
        self.all_found.store(1, Ordering::Relaxed);
    }

    /// Takes back a file that was found: it was counted twice, or is left out.
    pub(crate) fn forget(&self, bytes: u64) {
        less(&self.found_files, 1);
        less(&self.found_bytes, bytes);
    }

    /// Takes back all files that are not done: they are found again.
    pub(crate) fn forget_open(&self) {
        self.found_files.store(self.done_files.load(Ordering::Relaxed), Ordering::Relaxed);
        self.found_bytes.store(self.done_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        self.copied_bytes.store(0, Ordering::Relaxed);
    }

    /// A file waits for the result of the same content, sent from another path.
    pub(crate) fn copy_waits(&self, bytes: u64) {
        self.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It does not wait for it any more, whatever comes then.
    pub(crate) fn copy_waits_no_more(&self, bytes: u64) {
        less(&self.copied_bytes, bytes);
    }

    /// From now on these are the results that are waited for.
    pub(crate) fn waits_for(&self, awaited: &Arc<Awaited>) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(awaited);
    }

    /// An upload of which a result is waited for.
    pub(crate) fn awaited_upload(&self) -> Option<UploadId> {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        awaited.uploads().first().copied()
    }

    /// A file is done. One that was done before, and has changed or was mended since, is one file, and counts as it ended now.
    pub(crate) fn done(&self, file: &Finished) {
        let is_rejected = file.ending.is_rejected();
        let is_cancelled = file.ending.is_cancelled();
        let has_failed = !file.ending.succeeded() && !is_rejected && !is_cancelled;
        let now = End { has_failed, is_rejected, is_cancelled, is_reused: file.reused };
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        self.done_bytes.fetch_add(file.size, Ordering::Relaxed);
        if file.reused || matches!(file.ending, Ending::NotSent { .. }) {
            self.needless_bytes.fetch_add(file.size, Ordering::Relaxed);
        }
        if let Some(former) = ends.replace(self.hash.hash_one(&file.path), now) {
            less(&self.found_files, 1);
            less(&self.rejected_files, former.is_rejected.into());
            less(&self.cancelled_files, former.is_cancelled.into());
            less(&self.failed_files, former.has_failed.into());
            less(&self.reused_files, former.is_reused.into());
        } else {
            self.done_files.fetch_add(1, Ordering::Relaxed);
        }
        self.rejected_files.fetch_add(now.is_rejected.into(), Ordering::Relaxed);
        self.cancelled_files.fetch_add(now.is_cancelled.into(), Ordering::Relaxed);
        self.failed_files.fetch_add(now.has_failed.into(), Ordering::Relaxed);
        self.reused_files.fetch_add(now.is_reused.into(), Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, bytes: u64) {
        self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn less(number: &AtomicU64, by: u64) {
    // What was counted with another size than it has now must not make it endless.
    let _ = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| Some(number.saturating_sub(by)));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use filemill_seal::{Outcome, Resources};

    use super::*;
    use crate::ending::NotSent;
    use crate::reported::Report;

    #[test]
    fn a_file_that_is_done_again_is_one_file_and_counts_as_it_ended_the_last_time() {
        let progress = Progress::default();
        let end = |path: &str, ending: Ending, reused: bool| {
            progress.found(2);
            progress.done(&Finished {
                path: PathBuf::from(path),
                size: 2,
                sha256: None,
                engine: String::new(),
                parameters: Vec::new(),
                place: None,
                reused,
                supersedes: false,
                ending,
            });
            let now = progress.now();
            (now.found_files, now.done_files, now.failed_files, now.rejected_files, now.reused_files)
        };
        let succeeded = || {
            let report = Report {
                json: filemill_seal::JsonObject::from_text("{}".to_owned()).unwrap(),
                summary: String::new(),
                findings: Vec::new(),
                artifacts: Vec::new(),
                description: None,
            };
            Ending::Succeeded { report, log: Vec::new(), resources: Resources::default() }
        };
        let unreadable = || Ending::NotSent { code: NotSent::Unreadable, message: String::new(), error: None };
        let ended = |outcome| Ending::Unsuccessful {
            outcome,
            kind: String::new(),
            message: String::new(),
            log: Vec::new(),
            resources: Resources::default(),
        };
        assert_eq!(end("mended", unreadable(), false), (1, 1, 1, 0, 0));
        assert_eq!(end("changed", succeeded(), true), (2, 2, 1, 0, 1));
        assert_eq!(end("mended", succeeded(), false), (2, 2, 0, 0, 1));
        assert_eq!(end("changed", succeeded(), false), (2, 2, 0, 0, 0));
        assert_eq!(end("changed", unreadable(), false), (2, 2, 1, 0, 0));
        assert_eq!(end("changed", ended(Outcome::Rejected), false), (2, 2, 0, 1, 0));
        assert_eq!(end("changed", ended(Outcome::Trapped), false), (2, 2, 1, 0, 0));
        let unvouched = Ending::EndedByServer { outcome: Outcome::Rejected, message: String::new() };
        assert_eq!(end("mended", unvouched, false), (2, 2, 2, 0, 0), "a server's word alone is no answer of an engine");
        let cancelled = Ending::EndedByServer { outcome: Outcome::Cancelled, message: String::new() };
        assert_eq!(end("mended", cancelled, false), (2, 2, 1, 0, 0), "what was cancelled has not failed");
        assert_eq!(progress.now().cancelled_files, 1);
        assert_eq!(end("mended", succeeded(), false), (2, 2, 1, 0, 0));
        assert_eq!(progress.now().cancelled_files, 0);
    }

    #[test]
    fn what_is_kept_in_mind_of_files_that_are_done_is_bounded() {
        let mut ends = Ends::default();
        let end = End { has_failed: true, is_rejected: false, is_cancelled: false, is_reused: false };
        for path in 0..5 * ENDS_MAX as u64 {
            assert!(ends.replace(path, end).is_none());
            assert!(ends.young.len() + ends.old.len() < 2 * ENDS_MAX);
        }
        let [last, one_of_the_last] = [1, ENDS_MAX as u64].map(|back| 5 * ENDS_MAX as u64 - back);
        assert!(ends.replace(last, end).is_some() && ends.replace(one_of_the_last, end).is_some());
        assert!(ends.replace(0, end).is_none(), "it is long ago");
    }
}
