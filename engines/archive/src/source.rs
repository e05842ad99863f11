//! Where an archive's bytes come from: the file, or memory for an archive within another.

use filemill_engine::v2::Input;
use filemill_engine::{Failure, InputError};

/// How much is asked for at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The bytes of an archive.
pub(crate) enum Source<'a> {
    /// The file itself, and what of it was read by offset last: entries that lie side by side need one read.
    File { input: &'a mut Input, from: u64, read: Vec<u8> },
    /// An archive that was found in another, and how much of it was read in order.
    Memory(Vec<u8>, usize),
}

impl<'a> Source<'a> {
    /// The file itself.
    pub(crate) fn file(input: &'a mut Input) -> Self {
        Self::File { input, from: 0, read: Vec::new() }
    }

    /// Length in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { input, .. } => input.size(),
            Self::Memory(bytes, _) => bytes.len() as u64,
        }
    }

    /// Bytes from `offset` on, at least one and at most `max`; none at and beyond the end.
    ///
    /// # Errors
    ///
    /// The input's.
    pub(crate) async fn read_at(&mut self, offset: u64, max: usize) -> Result<Vec<u8>, InputError> {
        match self {
            Self::File { input, from, read } => {
                let held = |from: u64, read: &[u8]| {
                    let skip = usize::try_from(offset.checked_sub(from)?).ok()?;
                    let rest = read.get(skip..).filter(|rest| !rest.is_empty())?;
                    Some(rest[..rest.len().min(max)].to_vec())
                };
                if let Some(piece) = held(*from, read) {
                    return Ok(piece);
                }
                if offset >= input.size() {
                    return Ok(Vec::new());
                }
                *from = offset;
                *read = Vec::new(); // before the next piece comes, so that there is never room for two
                *read = input.read_at(offset, PIECE_BYTES).await?;
                Ok(held(*from, read).unwrap_or_default())
            }
            Self::Memory(bytes, _) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                Ok(rest[..rest.len().min(max)].to_vec())
            }
        }
    }

    /// The first `count` bytes, or all there are.
    ///
    /// # Errors
    ///
    /// The input's.
    pub(crate) async fn head(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        let mut head = Vec::new();
        while head.len() < count {
            let piece = self.read_at(head.len() as u64, count - head.len()).await?;
            if piece.is_empty() {
                break;
            }
            head.extend_from_slice(&piece);
        }
        Ok(head)
    }

    /// Replaces what is in `piece` by the next bytes in order; `false` at the end.
    ///
    /// # Errors
    ///
    /// The input's.
    pub(crate) async fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool, Failure> {
        match self {
            Self::File { input, .. } => {
                piece.reserve_exact(PIECE_BYTES.saturating_sub(piece.capacity()));
                Ok(input.read(piece).await? > 0)
            }
            Self::Memory(bytes, position) => {
                let end = position.saturating_add(PIECE_BYTES).min(bytes.len());
                piece.clear();
                piece.extend_from_slice(&bytes[*position..end]);
                *position = end;
                Ok(!piece.is_empty())
            }
        }
    }
}
