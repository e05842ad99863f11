//! What the system tells of changes: hints, and whether any were lost.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::settle::Sign;
use crate::rules::is_rule_file;
use crate::walk::{Root, root_of};

/// Hints that wait to be looked at, of one root and of all, and those that each has room for however many roots there are; more are
/// answered by looking through all of the root.
const HINTS_MAX: usize = 16 << 10;
const HINTS_MAX_ALL: usize = 4 * HINTS_MAX;
const HINTS_MIN: usize = 1 << 10;
/// Letting go of all watches takes no longer; else it is not waited for.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// EMFILE, the same number on every Unix; on Windows it is another error.
const TOO_MANY_OPEN: i32 = 24;

/// A hint that something happened to a path.
pub(super) struct Hint {
    pub(super) path: PathBuf,
    pub(super) sign: Sign,
    /// It is there, or was: what is gone matters only if it held rules.
    pub(super) is_gone: bool,
    /// It was made just now, and whoever did has yet to close it.
    pub(super) is_new: bool,
}

/// Listens to the system. Without it everything is found all the same, only later.
pub(super) struct Listener {
    /// By the places of roots: what one has many of keeps the others' from nothing.
    hints: Vec<Receiver<Hint>>,
    /// Has something when there may be a hint.
    woken: Receiver<()>,
    lost: Arc<Lost>,
    watcher: Option<RecommendedWatcher>,
    /// Why the system does not tell of all of a root, by their places, and whether this user may not look into it.
    deaf: Vec<Option<(String, bool)>>,
}

#[derive(Default)]
struct Lost {
    /// Some hints that were not taken in time, by the places of roots.
    hints: Vec<AtomicBool>,
    /// Some of what the system had to tell.
    events: AtomicBool,
    /// No more folders can be watched.
    limit: AtomicBool,
}

impl Listener {
    /// Asks the system for hints of what happens below `roots`.
    pub(super) fn start(roots: &[Root]) -> Self {
        let room = (HINTS_MAX_ALL / roots.len().max(1)).clamp(HINTS_MIN, HINTS_MAX);
        let (senders, hints) = roots.iter().map(|_| sync_channel(room)).unzip();
        let (wake, woken) = sync_channel(1);
        let lost = Arc::new(Lost { hints: roots.iter().map(|_| AtomicBool::new(false)).collect(), ..Lost::default() });
        // Whoever can write to a folder would else have another one watched.
        let config = notify::Config::default().with_follow_symlinks(false);
        let on_event = {
            let way = Way { roots: roots.to_vec(), senders, wake, lost: Arc::clone(&lost) };
            move |event| way.take(event)
        };
        let mut deaf = Vec::with_capacity(roots.len());
        let watcher = match RecommendedWatcher::new(on_event, config) {
            Ok(mut watcher) => {
                for root in roots {
                    deaf.push(watch_all(&mut watcher, &root.path).err().map(|error| (said(&error), is_shut(&error))));
                }
                Some(watcher)
            }
            Err(error) => {
                deaf.resize(roots.len(), Some((said(&error), false)));
                None
            }
        };
        Self { hints, woken, lost, watcher, deaf }
    }

    /// Has the folder at `path` watched, and what lies in it, if it is not yet. Does nothing where the system watches what
    /// becomes open by itself.
    pub(super) fn watch_also(&mut self, path: &Path) {
        let Some(watcher) = self.watcher.as_mut().filter(|_| cfg!(target_os = "linux")) else { return };
        match watch_all(watcher, path) {
            // That it can be looked into is told by the folder that it lies in.
            Err(error) if !is_shut(&error) && !is_gone(&error) => note_loss(&error, &self.lost),
            _ => {}
        }
    }

    /// Nothing is watched any more when this returns, or soon after.
    pub(super) fn stop(&mut self) {
        drop(self.watcher.take());
        // Whoever takes events keeps its end until all watches are gone.
        let until = Instant::now() + STOP_WITHIN;
        while self.woken.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
        self.hints.clear();
    }

    /// Why the system does not tell of everything below the root at `position`, if so.
    pub(super) fn is_deaf(&self, position: usize) -> Option<String> {
        if self.lost.limit.load(Ordering::Relaxed) {
            return Some(said(&notify::Error::new(ErrorKind::MaxFilesWatch)));
        }
        Some(self.deaf.get(position)?.as_ref()?.0.clone())
    }

    /// Whether that is because this user may not look into it.
    pub(super) fn is_denied(&self, position: usize) -> bool {
        matches!(self.deaf.get(position), Some(Some((_, true))))
    }

    /// Whether hints of the root at `position` were lost since this was asked last.
    pub(super) fn has_lost_hints(&self, position: usize) -> bool {
        self.lost.hints[position].swap(false, Ordering::Relaxed)
    }

    /// Whether the system could not tell of everything since this was asked last: folders that are new since may not be watched.
    pub(super) fn has_lost_events(&self) -> bool {
        self.lost.events.swap(false, Ordering::Relaxed)
    }

    /// Waits until there may be a hint, but for so long at most.
    pub(super) fn wait(&self, wait: Duration) {
        if self.woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            // No watcher: only looking through is left.
            std::thread::park_timeout(wait);
        }
    }

    /// The next hint of the root at `position`, if there is one.
    pub(super) fn next(&self, position: usize) -> Option<Hint> {
        self.hints.get(position)?.try_recv().ok()
    }
}

/// Has everything at and below `folder` watched, but folders that their rights keep shut or that vanish: one of these in it must
/// not keep the system from telling of the others.
///
/// # Errors
///
/// What the system says; of `folder` itself also that it is shut or gone.
fn watch_all(watcher: &mut impl Watcher, folder: &Path) -> notify::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        match watcher.watch(&at, RecursiveMode::Recursive) {
            // It stops at the first, so that each of the folders here is named by itself.
            Err(error) if (is_shut(&error) || is_gone(&error)) && !error.paths.contains(&at) => {
                let entries = std::fs::read_dir(&at).into_iter().flatten().flatten();
                let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
                folders.extend(entries.filter(is_folder).map(|entry| entry.path()));
            }
            Err(error) if at != folder && (is_shut(&error) || is_gone(&error)) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether a folder's rights keep it from being watched.
fn is_shut(error: &notify::Error) -> bool {
    matches!(&error.kind, ErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        _ => false,
    }
}

fn note_loss(error: &notify::Error, lost: &Lost) {
    lost.limit.fetch_or(matches!(error.kind, ErrorKind::MaxFilesWatch), Ordering::Relaxed);
    lost.events.store(true, Ordering::Relaxed);
}

/// The way of hints from the system.
struct Way {
    roots: Vec<Root>,
    senders: Vec<SyncSender<Hint>>,
    wake: SyncSender<()>,
    lost: Arc<Lost>,
}

impl Way {
    fn take(&self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                return note_loss(&error, &self.lost);
            }
        };
        if event.need_rescan() {
            self.lost.events.store(true, Ordering::Relaxed);
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
        // Elsewhere nobody tells when it is closed.
        let is_new = cfg!(target_os = "linux") && matches!(event.kind, EventKind::Create(_));
        for path in event.paths {
            if is_gone && !is_rule_file(&path) {
                continue;
            }
            let Some(position) = root_of(self.roots.iter(), &path) else { continue };
            match self.senders[position].try_send(Hint { path, sign, is_gone, is_new }) {
                Err(TrySendError::Full(_)) => self.lost.hints[position].store(true, Ordering::Relaxed),
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            }
        }
        // Whoever was woken and has not looked yet sees this one, too.
        let _ = self.wake.try_send(());
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::unprivileged::unprivileged;

    #[test]
    fn a_folder_that_is_opened_later_is_watched_and_so_are_all_others_meanwhile() {
        let test = "watch::listen::tests::a_folder_that_is_opened_later_is_watched_and_so_are_all_others_meanwhile";
        unprivileged(test, || {
            let folder = tempfile::tempdir().unwrap();
            let path = fs::canonicalize(folder.path()).unwrap();
            let allow = |mode| fs::set_permissions(path.join("shut"), fs::Permissions::from_mode(mode)).unwrap();
            for name in ["1", "2", "shut/in it", "y", "z/deep"] {
                fs::create_dir_all(path.join(name)).unwrap();
            }
            allow(0);
            let mut listener = Listener::start(&[Root::new(&path).unwrap()]);
            assert_eq!(listener.is_deaf(0), None);
            let until = |listener: &Listener, wanted: &Path| {
                let begun = Instant::now();
                while listener.next(0).is_none_or(|hint| hint.path != wanted) {
                    listener.wait(Duration::from_millis(5));
                    assert!(begun.elapsed() < Duration::from_secs(30), "nobody told of {}", wanted.display());
                }
            };
            for name in ["1/a", "2/a", "y/a", "z/a", "z/deep/a"] {
                fs::write(path.join(name), "").unwrap();
                until(&listener, &path.join(name));
            }
            allow(0o755);
            until(&listener, &path.join("shut"));
            listener.watch_also(&path.join("shut"));
            for name in ["shut/a", "shut/in it/a"] {
                fs::write(path.join(name), "").unwrap();
                until(&listener, &path.join(name));
            }
            assert!(!listener.has_lost_events());
            listener.stop();
            fs::write(path.join("1/b"), "").unwrap();
            assert!(listener.next(0).is_none(), "it was still watched");
        });
    }

    #[test]
    fn each_limit_of_the_system_is_called_by_its_name() {
        let open = notify::Error::io(std::io::Error::from_raw_os_error(TOO_MANY_OPEN));
        assert!(said(&open).contains("max_user_instances"), "{}", said(&open));
        let watched = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(said(&watched).contains("max_user_watches"), "{}", said(&watched));
    }
}
