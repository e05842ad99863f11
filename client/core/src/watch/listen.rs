//! What the system tells of changes: hints, and whether any were lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::settle::Sign;
use crate::rules::is_rule_file;
use crate::walk::Root;

/// Hints that wait to be looked at; more are answered by looking through everything.
const HINTS_MAX: usize = 16 << 10;

/// EMFILE, the same number on every Unix; on Windows it is another error.
const TOO_MANY_OPEN: i32 = 24;

/// A hint that something happened to a path.
pub(super) struct Hint {
    pub(super) path: PathBuf,
    pub(super) sign: Sign,
    /// It is there, or was: what is gone matters only if it held rules.
    pub(super) is_gone: bool,
}

/// Listens to the system. Without it everything is found all the same, only later.
pub(super) struct Listener {
    hints: Receiver<Hint>,
    lost: Arc<Lost>,
    _watcher: Option<RecommendedWatcher>,
    /// Why the system does not tell of all of a root, by their places.
    deaf: Vec<Option<String>>,
}

#[derive(Default)]
struct Lost {
    /// Some hints that were not taken in time.
    hints: AtomicBool,
    /// Some of what the system had to tell.
    events: AtomicBool,
    /// No more folders can be watched.
    limit: AtomicBool,
}

impl Listener {
    /// Asks the system for hints of what happens below `roots`.
    pub(super) fn start(roots: &[Root]) -> Self {
        let (sender, hints) = sync_channel(HINTS_MAX);
        let lost = Arc::<Lost>::default();
        // Whoever can write to a folder would else have another one watched.
        let config = notify::Config::default().with_follow_symlinks(false);
        let on_event = {
            let lost = Arc::clone(&lost);
            move |event| take(event, &sender, &lost)
        };
        let mut deaf = Vec::with_capacity(roots.len());
        let watcher = match RecommendedWatcher::new(on_event, config) {
            Ok(mut watcher) => {
                for root in roots {
                    deaf.push(watcher.watch(&root.path, RecursiveMode::Recursive).err().map(|error| said(&error)));
                }
                Some(watcher)
            }
            Err(error) => {
                deaf.resize(roots.len(), Some(said(&error)));
                None
            }
        };
        Self { hints, lost, _watcher: watcher, deaf }
    }

    /// Why the system does not tell of everything below the root at `position`, if so.
    pub(super) fn is_deaf(&self, position: usize) -> Option<String> {
        if self.lost.limit.load(Ordering::Relaxed) {
            return Some(said(&notify::Error::new(ErrorKind::MaxFilesWatch)));
        }
        self.deaf.get(position).cloned().flatten()
    }

    /// Whether hints were lost since this was asked last.
    pub(super) fn has_lost_hints(&self) -> bool {
        self.lost.hints.swap(false, Ordering::Relaxed)
    }

    /// Whether the system could not tell of everything since this was asked last: folders that are new since may not be watched.
    pub(super) fn has_lost_events(&self) -> bool {
        self.lost.events.swap(false, Ordering::Relaxed)
    }

    /// The next hint, if one comes within `wait`.
    pub(super) fn next(&self, wait: Duration) -> Option<Hint> {
        match self.hints.recv_timeout(wait) {
            Ok(hint) => Some(hint),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // No watcher: only looking through is left.
                std::thread::park_timeout(wait);
                None
            }
        }
    }

    /// The next hint, if there is one.
    pub(super) fn next_now(&self) -> Option<Hint> {
        self.hints.try_recv().ok()
    }
}

fn take(event: notify::Result<notify::Event>, hints: &SyncSender<Hint>, lost: &Lost) {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            lost.limit.fetch_or(matches!(error.kind, ErrorKind::MaxFilesWatch), Ordering::Relaxed);
            lost.events.store(true, Ordering::Relaxed);
            return;
        }
    };
    if event.need_rescan() {
        lost.events.store(true, Ordering::Relaxed);
    }
    let sign = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_)) => {
            Sign::Closed
        }
        EventKind::Modify(ModifyKind::Data(_)) => Sign::Written,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other | EventKind::Remove(_) => {
            Sign::None
        }
        EventKind::Access(_) => return,
    };
    let is_gone = matches!(event.kind, EventKind::Remove(_));
    for path in event.paths {
        if is_gone && !is_rule_file(&path) {
            continue;
        }
        match hints.try_send(Hint { path, sign, is_gone }) {
            Err(TrySendError::Full(_)) => lost.hints.store(true, Ordering::Relaxed),
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

fn said(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "the system's limit of watched folders is reached (on Linux \
                                     /proc/sys/fs/inotify/max_user_watches)"
            .to_owned(),
        // Another limit than that of folders: of what a user listens with, or of what this program has open.
        ErrorKind::Io(error) if error.raw_os_error() == Some(TOO_MANY_OPEN) => {
            "the system does not tell of changes: too many files are open (`ulimit -n`, or on Linux \
             /proc/sys/fs/inotify/max_user_instances)"
                .to_owned()
        }
        ErrorKind::Io(error) => format!("the system does not tell of changes: {}", crate::error::io_detail(error)),
        ErrorKind::PathNotFound => "a folder vanished while it was looked at".to_owned(),
        _ => "the system does not tell of changes".to_owned(),
    }
}

/// Names the root that a path lies in.
pub(super) fn root_of<'a>(roots: impl Iterator<Item = &'a Root>, path: &Path) -> Option<usize> {
    // The innermost: a root may lie in another.
    let depth = |root: &Root| root.path.components().count();
    let found = roots.enumerate().filter(|(_, root)| path.starts_with(&root.path));
    found.max_by_key(|(_, root)| depth(root)).map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_of_the_system_is_called_by_its_name() {
        let open = notify::Error::io(std::io::Error::from_raw_os_error(TOO_MANY_OPEN));
        assert!(said(&open).contains("max_user_instances"), "{}", said(&open));
        let watched = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(said(&watched).contains("max_user_watches"), "{}", said(&watched));
    }
}
