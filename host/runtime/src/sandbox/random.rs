//! Random numbers that are the same in each run, so that one file gives one report.

/// The numbers of one run.
#[derive(Default)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), from 0.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
