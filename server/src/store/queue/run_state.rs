//! What a run is doing.

/// What a run is doing, as the column says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunState(pub(crate) i64);

impl RunState {
    /// Chunks are to come.
    pub(crate) const WAITING: Self = Self(0);
    /// Its first chunk is stored, its last is not.
    pub(crate) const PARTIAL: Self = Self(1);
    /// All its chunks are stored.
    pub(crate) const READY: Self = Self(2);
    /// A node has it.
    pub(crate) const LEASED: Self = Self(3);
}
