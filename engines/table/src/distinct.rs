//! About how many different values there are, in bounded memory.

use xxhash_rust::xxh64::xxh64;

/// Two to this power are the registers: 4 KiB a column, and a standard error of 1.04 / √4096, which is 1.6 %.
const POWER: u32 = 12;
const REGISTERS: usize = 1 << POWER;

/// As many values are told apart exactly, in a table twice as long.
const FEW: usize = 512;
const SLOTS: usize = FEW * 2;

/// Few values are counted; of many, their number is estimated by HyperLogLog: P. Flajolet and others, "HyperLogLog: the
/// analysis of a near-optimal cardinality estimation algorithm", 2007, with the estimator of O. Ertl, "New cardinality
/// estimation algorithms for HyperLogLog sketches", 2017 (algorithm 6), which needs no tables of corrections.
#[derive(Debug)]
pub(crate) enum Distinct {
    /// Hashes by open addressing; 0 is a free slot.
    Few { slots: Vec<u64>, count: usize },
    /// For each register the most leading zeros among its hashes, plus one; 0: it has none.
    Many { registers: Vec<u8> },
}

impl Distinct {
    pub(crate) fn new() -> Self {
        Self::Few { slots: Vec::new(), count: 0 }
    }

    /// Adds a value for which `key` stands.
    #[inline]
    pub(crate) fn add(&mut self, key: u64) {
        let hash = mixed(key).max(1);
        match self {
            Self::Many { registers } => note(registers, hash),
            // Most are known, and at the first place.
            Self::Few { slots, .. } if slots.get(slot(hash)) == Some(&hash) => {}
            Self::Few { .. } => self.add_to_few(hash),
        }
    }

    /// How many different values were added: exact up to 512.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Few { count, .. } => *count as u64,
            Self::Many { registers } => estimate(registers).round() as u64,
        }
    }

    #[inline(never)]
    fn add_to_few(&mut self, hash: u64) {
        let Self::Few { slots, count } = self else { return };
        if slots.is_empty() {
            slots.resize(SLOTS, 0);
        }
        let mut at = slot(hash);
        while slots[at] != 0 {
            if slots[at] == hash {
                return;
            }
            at = (at + 1) % SLOTS;
        }
        if *count < FEW {
            slots[at] = hash;
            *count += 1;
            return;
        }
        let mut registers = vec![0; REGISTERS];
        slots.iter().filter(|known| **known != 0).for_each(|known| note(&mut registers, *known));
        note(&mut registers, hash);
        *self = Self::Many { registers };
    }
}

/// A number that stands for `field`. What is as short as most fields is mixed from a few words that cover it.
#[inline]
pub(crate) fn key(field: &[u8]) -> u64 {
    let length = (field.len() as u64) << 56;
    match field.len() {
        0 => round(length, 0, 0),
        // Each of up to three bytes, without a loop.
        length_bytes @ 1..4 => {
            let [first, middle, last] = [0, length_bytes / 2, length_bytes - 1].map(|at| u64::from(field[at]));
            round(length, first | (middle << 8) | (last << 16), 0)
        }
        4..8 => round(length, four(field.first_chunk()), four(field.last_chunk())),
        8..=16 => round(length, eight(field.first_chunk()), eight(field.last_chunk())),
        17..=32 => {
            let (first, last) = (&field[..16], &field[field.len() - 16..]);
            let key = round(length, eight(first.first_chunk()), eight(first.last_chunk()));
            round(key, eight(last.first_chunk()), eight(last.last_chunk()))
        }
        _ => xxh64(field, 0),
    }
}

#[inline]
fn round(key: u64, first: u64, last: u64) -> u64 {
    const ODD: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];
    (first ^ key).wrapping_mul(ODD[0]).rotate_left(29) ^ last.wrapping_mul(ODD[1])
}

fn four(word: Option<&[u8; 4]>) -> u64 {
    word.map_or(0, |word| u64::from(u32::from_le_bytes(*word)))
}

fn eight(word: Option<&[u8; 8]>) -> u64 {
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// The finaliser of MurmurHash3 (A. Appleby, public domain): each bit of `key` changes half of all bits.
#[inline]
fn mixed(mut key: u64) -> u64 {
    key ^= key >> 33;
    key = key.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    key ^= key >> 33;
    key = key.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    key ^ (key >> 33)
}

/// Where a hash stands among few, if that is free.
fn slot(hash: u64) -> usize {
    (hash >> (64 - SLOTS.ilog2())) as usize
}

#[inline]
fn note(registers: &mut [u8], hash: u64) {
    // The first bits choose the register; the one behind the last ends the count of zeros.
    let zeros = ((hash << POWER) | (1 << (POWER - 1))).leading_zeros();
    if let Some(register) = registers.get_mut((hash >> (64 - POWER)) as usize) {
        *register = (*register).max(zeros as u8 + 1);
    }
}

fn estimate(registers: &[u8]) -> f64 {
    /// The longest count of zeros there can be.
    const LONGEST: usize = 64 - POWER as usize;
    let mut histogram = [0_u32; LONGEST + 2];
    for register in registers {
        histogram[usize::from(*register).min(LONGEST + 1)] += 1;
    }
    let share = |count: u32| f64::from(count) / REGISTERS as f64;
    let mut sum = REGISTERS as f64 * tau(1.0 - share(histogram[LONGEST + 1]));
    for count in histogram[1..=LONGEST].iter().rev() {
        sum = 0.5 * (sum + f64::from(*count));
    }
    sum += REGISTERS as f64 * sigma(share(histogram[0]));
    let registers = REGISTERS as f64;
    registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
}

/// What registers without a value add.
fn sigma(mut share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut sum, mut factor) = (share, 1.0);
    loop {
        share *= share;
        let before = sum;
        sum += share * factor;
        factor += factor;
        if sum == before {
            return sum;
        }
    }
}

/// What registers that are at their end add.
fn tau(mut share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut sum, mut factor) = (1.0 - share, 1.0);
    loop {
        share = share.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - share) * (1.0 - share) * factor;
        if sum == before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: impl Iterator<Item = String>) -> u64 {
        let mut distinct = Distinct::new();
        values.for_each(|value| distinct.add(key(value.as_bytes())));
        distinct.count()
    }

    #[test]
    fn few_values_are_counted_exactly() {
        for count in [0, 1, 10, 511, 512] {
            assert_eq!(counted((0..count * 3).map(|at| (at % count).to_string())), count);
        }
    }

    #[test]
    fn many_values_are_estimated_within_a_few_percent() {
        for count in [513_u64, 2000, 5000, 12_000, 200_000, 2_000_000] {
            for prefix in [
                "",
                "n",
                "0.",
                "long-",
                "longer ",
                "a long one, ",
                "a longer field, number ",
                "a field for which a hash is used, number ",
            ] {
                let estimate = counted((0..count).map(|at| format!("{prefix}{at}")));
                let off = estimate.abs_diff(count) as f64 / count as f64;
                assert!(off < 0.05, "{count} {prefix:?}: {estimate}");
            }
        }
    }

    #[test]
    fn fields_that_differ_in_length_alone_differ() {
        for length in 0..40 {
            for byte in [0, b'0', b' ', 255] {
                assert_ne!(key(&vec![byte; length]), key(&vec![byte; length + 1]), "{length}");
            }
        }
    }
}
