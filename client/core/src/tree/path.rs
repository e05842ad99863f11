//! Paths below a folder: their parts, links that are met on them, and what lies in a folder.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path};

use crate::stat::{LINK, Seen};

/// A path leads over a link, or to one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{LINK}")]
pub(crate) struct LinkMet {
    /// Which of its parts is the link, from 1.
    pub(crate) part: usize,
}

/// What a folder holds, in no order; the same error as often as it is asked ends it.
pub(crate) type Listing = Box<dyn Iterator<Item = io::Result<(OsString, io::Result<Seen>)>> + Send>;

/// The link that `error` speaks of, if it speaks of one.
pub(crate) fn link_met(error: &io::Error) -> Option<LinkMet> {
    error.get_ref()?.downcast_ref::<LinkMet>().copied()
}

/// The parts of a path, none of which leads up.
pub(super) fn parts(below: &Path) -> io::Result<Vec<&Path>> {
    let part = |component| match component {
        Component::Normal(part) => Ok(Path::new(part)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "its path leads out of the folder")),
    };
    below.components().map(part).collect()
}

/// The error for a link that is this part of a path.
pub(super) fn link(part: usize) -> io::Error {
    io::Error::other(LinkMet { part })
}
