//! A large file as the scanner takes it: in fragments that overlap, one in memory at a time.

use std::cell::RefCell;

use boreal::memory::{FragmentedMemory, MemoryParams, Region, RegionDescription};
use filemill_engine::{Failure, Input};

thread_local! {
    /// The input while a scan runs. The scanner wants a memory that can be sent between threads, which an input cannot be,
    /// and an engine has one thread.
    static INPUT: RefCell<Lent> = const { RefCell::new(Lent { input: None, failure: None }) };
}

/// The input, and how it failed.
struct Lent {
    input: Option<Input>,
    failure: Option<Failure>,
}

/// How a file is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Length of a fragment in bytes.
    pub(crate) fragment: usize,
    /// How much of a fragment's end the next one begins with, so that nothing shorter is cut in two.
    pub(crate) overlap: usize,
}

/// The fragments of a file.
#[derive(Debug)]
pub(crate) struct Fragments {
    cut: Cut,
    /// How many bytes of the file are cut.
    size: usize,
    /// Where the fragment begins that is held, and what it holds.
    start: usize,
    held: Vec<u8>,
    /// Where the fragment begins that `next` told last; where the next one begins.
    told: usize,
    next: usize,
}

/// Lends `input` to `scan`, which is given fragments of its first `size` bytes.
///
/// # Errors
///
/// The input's own failure, if it failed.
pub(crate) fn scan<T>(
    input: &mut Input,
    size: usize,
    cut: Cut,
    scan: impl FnOnce(Fragments) -> T,
) -> Result<T, Failure> {
    let lent = std::mem::replace(input, Input::from_bytes(Vec::new()));
    INPUT.with_borrow_mut(|place| *place = Lent { input: Some(lent), failure: None });
    let result = scan(Fragments { cut, size, start: 0, held: Vec::new(), told: 0, next: 0 });
    let failure = INPUT.with_borrow_mut(|place| {
        if let Some(lent) = place.input.take() {
            *input = lent;
        }
        place.failure.take()
    });
    failure.map_or(Ok(result), Err)
}

impl FragmentedMemory for Fragments {
    fn next(&mut self, _params: &MemoryParams) -> Option<RegionDescription> {
        if self.next >= self.size {
            return None;
        }
        self.told = self.next;
        let length = self.cut.fragment.min(self.size - self.told);
        // The last fragment ends the file: what is left of it is the overlap only.
        let is_last = self.told + length >= self.size;
        self.next = if is_last { self.size } else { self.told + length - self.cut.overlap };
        Some(RegionDescription { start: self.told, length })
    }

    fn fetch(&mut self, _params: &MemoryParams) -> Option<Region<'_>> {
        let length = self.cut.fragment.min(self.size - self.told);
        if self.held.len() != length || self.start != self.told {
            self.held.clear();
            self.start = self.told;
            INPUT.with_borrow_mut(|lent| lent.fill(&mut self.held, self.told, length))?;
        }
        Some(Region { start: self.start, mem: &self.held })
    }

    fn reset(&mut self) {
        self.next = 0;
    }
}

impl Lent {
    /// Fills `into` with `length` bytes from `offset` on.
    fn fill(&mut self, into: &mut Vec<u8>, offset: usize, length: usize) -> Option<()> {
        let input = self.input.as_mut()?;
        while into.len() < length {
            match input.read_at((offset + into.len()) as u64, length - into.len()) {
                Ok(piece) if piece.is_empty() => {
                    self.failure = Some(Failure::failed("the input ends before its announced length"));
                    return None;
                }
                Ok(piece) => into.extend_from_slice(&piece),
                Err(error) => {
                    self.failure = Some(error.into());
                    return None;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut { fragment: 10, overlap: 3 };

    #[test]
    fn fragments_overlap_and_cover_the_file() {
        for size in 0..40_usize {
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at).expect("small")).collect();
            let mut input = Input::from_bytes(bytes.clone());
            let params =
                MemoryParams { max_fetched_region_size: 0, memory_chunk_size: None, can_refetch_regions: true };
            let covered = scan(&mut input, size, CUT, |mut fragments| {
                let mut covered: Vec<u8> = Vec::new();
                for round in 0..2 {
                    fragments.reset();
                    covered.clear();
                    while let Some(told) = fragments.next(&params) {
                        let region = fragments.fetch(&params).expect("read");
                        assert_eq!((region.start, region.mem.len()), (told.start, told.length), "round {round}");
                        assert!(covered.is_empty() || covered.len() == told.start + CUT.overlap);
                        covered.truncate(told.start);
                        covered.extend_from_slice(region.mem);
                    }
                }
                covered
            });
            assert_eq!(covered.expect("read"), bytes);
            assert_eq!(input.size(), size as u64, "the input comes back");
        }
    }

    #[test]
    fn an_input_that_breaks_is_a_failure_and_no_clean_scan() {
        let mut input = Input::from_bytes(vec![0; 5]);
        let params = MemoryParams { max_fetched_region_size: 0, memory_chunk_size: None, can_refetch_regions: true };
        let result = scan(&mut input, 20, CUT, |mut fragments| {
            fragments.next(&params);
            fragments.fetch(&params).is_none()
        });
        assert!(matches!(result, Err(Failure::Failed(_))), "{result:?}");
    }
}
