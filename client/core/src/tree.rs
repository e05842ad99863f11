//! Reaching what lies below a folder, without following a link on the way.
//!
//! A folder that the user named may itself be a link: that was resolved before. Below it every part of a path is resolved
//! without links, from a descriptor of the folder: what is swapped for a link while it is walked, packed, packed again or
//! taken up after a restart leads nowhere. Linux does that in one call where it has `openat2`; elsewhere it is done part by
//! part.

#[cfg(not(unix))]
mod named;
#[cfg(unix)]
mod opened;
mod path;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stat::{FileStat, Seen, what_else};
#[cfg(not(unix))]
use named::Folder;
#[cfg(unix)]
use opened::Folder;
#[cfg(unix)]
pub(crate) use opened::{PLACE, open_folder};
use path::parts;
pub(crate) use path::{Listing, link_met};

/// Folders that are kept open at most; one that is used meanwhile stays open beyond that. What is opened again must have been
/// reached without links, too, so that this bounds descriptors and nothing else.
const OPEN_MAX: usize = 64;

/// The folders that were used last, the latest at the end. Descriptors are the process's, not a client's.
static OPEN: Mutex<VecDeque<Arc<Tree>>> = Mutex::new(VecDeque::new());

/// A folder that is held open, whatever becomes of its name.
#[derive(Debug)]
pub(crate) struct Tree {
    path: PathBuf,
    folder: Folder,
}

impl Tree {
    /// The folder at the absolute `path`, no part of which may be a link: as it was opened before, if it still is open.
    ///
    /// # Errors
    ///
    /// What the system says; [`LinkMet`](path::LinkMet) for a link.
    pub(crate) fn at(path: &Path) -> io::Result<Arc<Self>> {
        if let Some(tree) = kept(path) {
            return Ok(tree);
        }
        Self::anew(path)
    }

    /// As [`at`](Self::at), as it is now: another folder may have been given the name since.
    pub(crate) fn anew(path: &Path) -> io::Result<Arc<Self>> {
        let tree = Arc::new(Self { path: path.to_owned(), folder: Folder::from_root(path)? });
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| other.path != path);
        open.push_back(Arc::clone(&tree));
        while open.len() > OPEN_MAX {
            open.pop_front();
        }
        Ok(tree)
    }

    /// What lies at `below`, which may be a link as its last part. The folder itself if that is empty.
    ///
    /// # Errors
    ///
    /// What the system says; [`LinkMet`](path::LinkMet) for a link on the way.
    pub(crate) fn look(&self, below: &Path) -> io::Result<Seen> {
        self.folder.look(&parts(below)?)
    }

    /// Opens the regular file at `below` for reading; never waits for a writer of a pipe that took its place.
    ///
    /// # Errors
    ///
    /// What the system says; [`LinkMet`](path::LinkMet) for a link; [`InvalidInput`](io::ErrorKind::InvalidInput), with words for people, for
    /// what is no regular file.
    pub(crate) fn open(&self, below: &Path) -> io::Result<(File, FileStat)> {
        let file = self.folder.open(&parts(below)?)?;
        let seen = Seen::from(&file.metadata()?);
        match what_else(seen.kind) {
            None => Ok((file, seen.stat)),
            Some(kind) => Err(io::Error::new(io::ErrorKind::InvalidInput, kind)),
        }
    }

    /// Lists the folder at `below`.
    ///
    /// # Errors
    ///
    /// As [`look`](Self::look).
    pub(crate) fn list(&self, below: &Path) -> io::Result<Listing> {
        self.folder.list(&parts(below)?)
    }
}

/// Lets go of all folders that nobody uses: a file system of which one is open cannot be unmounted.
pub(crate) fn close_all() {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Lets go of the folder at `path`, if it is not used just now.
pub(crate) fn close(path: &Path) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|tree| tree.path != path);
}

/// Lets go of the folder at `path` if it has lost that name since it was opened, and says whether it has.
pub(crate) fn close_if_moved(path: &Path) -> bool {
    let id = |seen: &Seen| (seen.stat.device, seen.stat.inode);
    let now = std::fs::symlink_metadata(path).ok().map(|metadata| id(&Seen::from(&metadata)));
    let is_another = kept(path).is_some_and(|tree| tree.look(Path::new("")).ok().map(|seen| id(&seen)) != now);
    if is_another {
        close(path);
    }
    is_another
}

/// Whether `error` says that nothing lies there; a folder on the way to it may be gone, too.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The one that was opened before.
fn kept(path: &Path) -> Option<Arc<Tree>> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let position = open.iter().position(|tree| tree.path == path)?;
    let tree = open.remove(position)?;
    open.push_back(Arc::clone(&tree));
    Some(tree)
}
