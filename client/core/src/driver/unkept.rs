//! Results that could not be kept as files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use filemill_seal::UploadId;

use crate::event::{Event, Trouble};
use crate::teller::Teller;

/// A result that is to be kept.
#[derive(Clone, Debug)]
pub(super) struct ToKeep {
    /// The file's name in the header.
    pub(super) name: Vec<u8>,
    pub(super) place: Option<(UploadId, u32)>,
    /// Of a file whose writer went on: where it is. Its former results are replaced.
    pub(super) path: Option<PathBuf>,
}

/// Results that could not be kept. The journal has them: only where they are is remembered, for as long as the program runs.
#[derive(Default)]
pub(crate) struct Unkept {
    inner: Mutex<Inner>,
    /// Held by whoever tries again: what is on trial does not wait, and yet is not kept.
    pub(super) trying: tokio::sync::Mutex<()>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) waiting: VecDeque<ToKeep>,
    /// Whether it was said that some wait, and how many there were since.
    pub(super) told: bool,
    pub(super) count: u64,
    /// Something is in the way of one, so that it does not wait: whoever put it there has to take it away.
    pub(super) is_any_blocked: bool,
}

impl Unkept {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some wait.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Whether all were kept.
    pub(super) fn is_none(&self) -> bool {
        let unkept = self.lock();
        unkept.waiting.is_empty() && !unkept.is_any_blocked
    }

    /// Says how many wait, if some do, now that nobody tries any more.
    pub(crate) async fn tell_left(&self, folder: &Path, events: &Teller) {
        let count = self.lock().waiting.len();
        if count > 0 {
            events.tell(Event::Trouble(Trouble::ResultsLeft { folder: folder.to_owned(), count })).await;
        }
    }
}
