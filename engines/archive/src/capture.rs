//! Archives within archives, kept while they are unpacked.

use crate::format::{self, HEAD_BYTES};

/// The largest archive within another that is looked into, in bytes: it is held in memory.
const NESTED_BYTES: usize = 8 * 1024 * 1024;

/// What of an entry's contents is kept because it is an archive.
#[derive(Debug, Default)]
pub(crate) enum Captured {
    /// It is not one.
    #[default]
    None,
    /// It is one, and too large to be looked into.
    TooLarge,
    /// All of it.
    Archive(Vec<u8>),
}

/// Keeps contents as they are unpacked, as long as they may be an archive that is small enough.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    bytes: Vec<u8>,
    is_archive: Option<bool>,
    is_too_large: bool,
}

impl Capture {
    /// Takes the next bytes.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        if self.is_archive == Some(false) || self.is_too_large {
            return;
        }
        let room = NESTED_BYTES.saturating_sub(self.bytes.len()).min(piece.len());
        self.bytes.extend_from_slice(&piece[..room]);
        if self.is_archive.is_none() && self.bytes.len() >= HEAD_BYTES {
            self.is_archive = Some(format::of(&self.bytes).is_some());
        }
        self.is_too_large = room < piece.len();
        if self.is_archive == Some(false) || self.is_too_large {
            self.bytes = Vec::new();
        }
    }

    /// What was kept.
    pub(crate) fn finish(self) -> Captured {
        if self.is_archive.unwrap_or_else(|| format::of(&self.bytes).is_some()) {
            if self.is_too_large { Captured::TooLarge } else { Captured::Archive(self.bytes) }
        } else {
            Captured::None
        }
    }
}
