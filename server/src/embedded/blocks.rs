//! Blocks of objects on their way: the less memory is left for all of them, the smaller they are.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all blocks may take, but for [`SMALLEST_BYTES`] of each: nobody's slow links should fill the memory.
const ALL_BYTES: usize = 16 << 20;
/// A block may take so much of what is left of that: with a few under way each has the largest.
const SHARE: usize = 32;
/// The largest block: also the largest object that takes a single trip to the disk.
const LARGEST_BYTES: usize = 256 << 10;
/// The smallest. What came over the network in one piece may be longer.
const SMALLEST_BYTES: usize = 4 << 10;

/// What all blocks together take.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    held: AtomicUsize,
}

/// A part of an object on its way.
#[derive(Debug)]
pub(super) struct Block {
    all: Arc<Blocks>,
    bytes: Vec<u8>,
}

impl Blocks {
    /// How long a block may get now.
    pub(super) fn most(&self) -> usize {
        let left = ALL_BYTES.saturating_sub(self.held.load(Ordering::Relaxed));
        (left / SHARE).clamp(SMALLEST_BYTES, LARGEST_BYTES)
    }

    /// One with nothing in it, which takes nothing.
    pub(super) fn empty(self: &Arc<Self>) -> Block {
        Block { all: Arc::clone(self), bytes: Vec::new() }
    }

    /// The next `length` bytes of a file, or as much as a block may hold now.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or the file ends before.
    pub(super) fn read(self: &Arc<Self>, file: &mut File, length: u64) -> io::Result<Block> {
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(self.most());
        let mut block = self.empty();
        block.reserve(most);
        if file.take(most as u64).read_to_end(&mut block.bytes)? < most {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(block)
    }
}

impl Block {
    /// Adds what came.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.reserve(piece.len());
        self.bytes.extend_from_slice(piece);
    }

    /// Whether it is as long as a block may get.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= self.all.most()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes everything out. What it has taken it keeps for what comes next, unless that is more than a block may have now.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > self.all.most().next_power_of_two() {
            self.all.held.fetch_sub(self.bytes.capacity(), Ordering::Relaxed);
            self.bytes = Vec::new();
        }
    }

    fn reserve(&mut self, more: usize) {
        let before = self.bytes.capacity();
        self.bytes.reserve(more);
        self.all.held.fetch_add(self.bytes.capacity() - before, Ordering::Relaxed);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.all.held.fetch_sub(self.bytes.capacity(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_blocks_are_long_and_many_are_short() {
        let blocks = Arc::new(Blocks::default());
        let filled = || {
            let mut block = blocks.empty();
            while !block.is_full() {
                block.add(&[7; 1_000]);
            }
            block
        };
        let few: Vec<Block> = (0..16).map(|_| filled()).collect();
        assert!(few.iter().all(|block| block.bytes().len() >= LARGEST_BYTES));
        let many: Vec<Block> = (0..2_048).map(|_| filled()).collect();
        let last = many.last().expect("one").bytes().len();
        assert!((SMALLEST_BYTES..2 * SMALLEST_BYTES).contains(&last), "{last}");
        let held: usize = few.iter().chain(&many).map(|block| block.bytes.capacity()).sum();
        assert_eq!(blocks.held.load(Ordering::Relaxed), held);
        assert!(held < ALL_BYTES + (2_048 + 16) * 2 * SMALLEST_BYTES, "{held}");
        drop((few, many));
        assert_eq!((blocks.held.load(Ordering::Relaxed), blocks.most()), (0, LARGEST_BYTES));
    }

    #[test]
    fn a_block_that_is_used_again_takes_no_more_than_it_may_by_then() {
        let blocks = Arc::new(Blocks::default());
        let mut early = blocks.empty();
        early.add(&[7; LARGEST_BYTES]);
        early.clear();
        assert_eq!(early.bytes.capacity(), LARGEST_BYTES, "there is room");
        early.add(&[7; LARGEST_BYTES]);
        let mut large = blocks.empty();
        large.add(&vec![7; ALL_BYTES]);
        early.clear();
        assert_eq!(early.bytes.capacity(), 0, "there is none");
        assert_eq!(blocks.held.load(Ordering::Relaxed), large.bytes.capacity());
    }

    #[test]
    fn a_file_is_read_by_blocks_and_its_end_is_no_surprise() {
        let blocks = Arc::new(Blocks::default());
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, &vec![7; LARGEST_BYTES + 5]).expect("written");
        let mut rest = |length| {
            io::Seek::rewind(&mut file).expect("from its start");
            let first = blocks.read(&mut file, length)?.bytes.len();
            let second = blocks.read(&mut file, length - first as u64)?.bytes.len();
            io::Result::Ok((first, second))
        };
        assert_eq!(rest(LARGEST_BYTES as u64 + 5).expect("both"), (LARGEST_BYTES, 5));
        assert_eq!(rest(LARGEST_BYTES as u64 + 6).expect_err("too long").kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(blocks.held.load(Ordering::Relaxed), 0);
    }
}
