//! What both ends know of a chunk.

/// What both ends know of a chunk from the upload's [`Layout`](crate::Layout), which makes it with
/// [`shape`](crate::Layout::shape).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkShape {
    /// Position in the upload, from 0.
    pub sequence: u32,
    /// Whether it is the upload's last chunk.
    pub last: bool,
    /// Bytes of file data in it.
    pub length: u32,
    /// How many files end in it.
    pub verdicts: u32,
}
