//! Byte counts by window, in bounded memory.

/// The least length of a window: fewer bytes than there are values say nothing about how they are spread.
const LEAST_BYTES: u64 = 1024;

/// How often each value occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts([u64; 256]);

/// The counts of neighbouring windows of one length, which is a power of two and grows with the file.
#[derive(Debug)]
pub(crate) struct Windows {
    most: usize,
    window_bytes: u64,
    full: Vec<Counts>,
    /// The window that is being filled, and how far it is.
    last: Counts,
    filled: u64,
}

impl Windows {
    /// At most `most` windows, of a length that suits a file of `announced` bytes. The announcement is not believed: a
    /// longer file has longer windows, a shorter one fewer.
    pub(crate) fn new(most: usize, announced: u64) -> Self {
        let most = most.max(2);
        let even = announced.div_ceil(most as u64).clamp(LEAST_BYTES, 1 << 62);
        Self { most, window_bytes: even.next_power_of_two(), full: Vec::new(), last: Counts::default(), filled: 0 }
    }

    /// Counts the next bytes.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == self.window_bytes {
                self.next();
            }
            let room = usize::try_from(self.window_bytes - self.filled).unwrap_or(usize::MAX);
            let (fitting, rest) = bytes.split_at(room.min(bytes.len()));
            self.last.add(fitting);
            self.filled += fitting.len() as u64;
            bytes = rest;
        }
    }

    /// Begins a window after one that is full.
    fn next(&mut self) {
        self.full.push(std::mem::take(&mut self.last));
        self.filled = 0;
        if self.full.len() < self.most {
            return;
        }
        // Each two become one; of an odd number the last is half full again.
        let odd = if self.full.len() % 2 == 1 { self.full.pop() } else { None };
        let merged = self.full.chunks_exact(2).map(|pair| pair[0].clone().with(&pair[1])).collect();
        self.full = merged;
        if let Some(odd) = odd {
            self.last = odd;
            self.filled = self.window_bytes;
        }
        self.window_bytes *= 2;
    }

    /// The windows in the order of the file; the last may be shorter.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Counts> {
        self.full.iter().chain((self.filled > 0).then_some(&self.last))
    }

    /// The length of each window but the last.
    pub(crate) fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// The counts of everything.
    pub(crate) fn total(&self) -> Counts {
        self.each().fold(Counts::default(), Counts::with)
    }
}

impl Counts {
    fn add(&mut self, bytes: &[u8]) {
        // Four tables, because runs of one value would wait for the count before; and of 32 bits, which stay in the cache.
        let mut tables = [[0_u32; 256]; 4];
        for bytes in bytes.chunks(1 << 30) {
            let (fours, rest) = bytes.as_chunks::<4>();
            for four in fours {
                for (table, byte) in tables.iter_mut().zip(four) {
                    table[usize::from(*byte)] += 1;
                }
            }
            for byte in rest {
                tables[0][usize::from(*byte)] += 1;
            }
            for table in &mut tables {
                for (count, counted) in self.0.iter_mut().zip(table) {
                    *count += u64::from(std::mem::take(counted));
                }
            }
        }
    }

    fn with(mut self, other: &Self) -> Self {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
        self
    }

    /// Shannon's entropy in bits per byte; 0 where there are no bytes.
    pub(crate) fn entropy(&self) -> f64 {
        let total: u64 = self.0.iter().sum();
        let share = |count: &u64| *count as f64 / total as f64;
        let bits = |share: f64| -share * share.log2();
        self.0.iter().filter(|count| **count > 0).map(share).map(bits).sum::<f64>().max(0.0)
    }

    /// How many values occur.
    pub(crate) fn values(&self) -> usize {
        self.0.iter().filter(|count| **count > 0).count()
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self([0; 256])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(counts: &Counts) -> u64 {
        counts.0.iter().sum()
    }

    #[test]
    fn windows_stay_bounded_and_lose_no_byte_however_wrong_the_announcement_is() {
        for announced in [0, 100_000, 1 << 40, u64::MAX] {
            for most in [2, 3, 16, 17] {
                let mut windows = Windows::new(most, announced);
                let bytes: Vec<u8> = (0..100_003_u32).map(|at| at.to_le_bytes()[1]).collect();
                for piece in bytes.chunks(977) {
                    windows.add(piece);
                    assert!(windows.each().count() <= most, "{announced} {most}");
                }
                assert_eq!(sum(&windows.total()), bytes.len() as u64);
                let all = windows.each().count();
                for (at, window) in windows.each().enumerate() {
                    let end = (at as u64 + 1) * windows.window_bytes();
                    let expected =
                        windows.window_bytes().min(windows.window_bytes() - end.saturating_sub(100_003).min(end));
                    assert_eq!(sum(window), expected, "{announced} {most}: window {at} of {all}");
                }
            }
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes: Vec<u8> = (0..50_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let counted = |piece: usize| {
            let mut windows = Windows::new(16, 0);
            bytes.chunks(piece).for_each(|piece| windows.add(piece));
            windows.each().cloned().collect::<Vec<_>>()
        };
        assert_eq!(counted(1), counted(50_000));
        assert_eq!(counted(1023), counted(1025));
    }

    #[test]
    fn entropy_is_shannons() {
        let of = |bytes: &[u8]| {
            let mut counts = Counts::default();
            counts.add(bytes);
            counts.entropy()
        };
        assert!(of(b"") == 0.0 && of(b"aaaa") == 0.0);
        assert!((of(b"abab") - 1.0).abs() < 1e-12);
        let all: Vec<u8> = (0..=255).collect();
        assert!((of(&all) - 8.0).abs() < 1e-12);
    }
}
