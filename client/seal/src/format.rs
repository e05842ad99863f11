//! The formats of headers and their results.

/// The format of a header, which decides that of its results. Chunks are the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// That of release 0.1.0: one task, and each result in an age file of its own.
    One,
    /// With tasks, recipients of the organisation, and results in batches.
    Two,
}

impl Format {
    /// All that this crate reads and writes, ascending.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// Its number, as it is written.
    pub const fn number(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The one with that number; `None` if it is of a later version.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number() == number)
    }

    /// What the keys of its results are made for.
    pub(crate) const fn result_info(self) -> &'static [u8] {
        match self {
            Self::One => b"filemill/1 result",
            Self::Two => b"filemill/2 result",
        }
    }
}
