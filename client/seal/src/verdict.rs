//! What the uploader says of a file once it has read all of it.

use std::fmt;

use crate::identifiers::Digest;

/// Whether a file was read as it was announced. Each chunk ends with the verdicts of the files that end in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The file was read in full and did not change; with the SHA-256 of its bytes.
    Intact(Digest),
    /// The bytes are not the file's: they were padded with zeros to the announced length, or mix two versions.
    Void(VoidReason),
}

/// Why a file is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum VoidReason {
    /// It changed while it was read.
    Changed = 1,
    /// It became shorter than announced.
    Shrank = 2,
    /// It vanished.
    Vanished = 3,
    /// It could not be read.
    Unreadable = 4,
}

impl VoidReason {
    /// Every reason, in the order of its codes.
    pub const ALL: [Self; 4] = [Self::Changed, Self::Shrank, Self::Vanished, Self::Unreadable];
}

impl Verdict {
    /// Length of an encoded verdict, in bytes.
    pub const BYTES: usize = 1 + Digest::BYTES;

    /// Whether the file is intact.
    pub const fn is_intact(&self) -> bool {
        matches!(self, Self::Intact(_))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Intact(digest) => {
                out.push(0);
                out.extend_from_slice(digest.as_bytes());
            }
            Self::Void(reason) => {
                out.push(*reason as u8);
                out.extend_from_slice(&[0; Digest::BYTES]);
            }
        }
    }

    /// The verdict that `bytes` encode; `None` for an unknown code or a void one that is not followed by zeros.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let [code, digest @ ..] = *bytes;
        if code == 0 {
            return Some(Self::Intact(Digest::from_bytes(digest)));
        }
        let reason = VoidReason::ALL.into_iter().find(|reason| *reason as u8 == code)?;
        (digest == [0; Digest::BYTES]).then_some(Self::Void(reason))
    }
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Changed => "it changed while it was read",
            Self::Shrank => "it became shorter while it was read",
            Self::Vanished => "it vanished while it was read",
            Self::Unreadable => "it could not be read",
        })
    }
}
