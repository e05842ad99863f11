//! Random bytes of the system, for passwords and ports; and numbers that only look random, for measurements.

use anyhow::{Result, anyhow};

/// `N` of them.
///
/// # Errors
///
/// When the system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system has no random numbers: {error}"))?;
    Ok(bytes)
}

/// A sequence of numbers that looks random and is the same for the same seed (SplitMix64, Steele et al. 2014).
pub(crate) struct Sequence(pub(crate) u64);

impl Sequence {
    /// The next one, of all numbers.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next one below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
