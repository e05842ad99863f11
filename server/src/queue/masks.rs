//! Sets of jobs within a run, one bit a job.

use filemill_api::limits::MAX_SPAN_JOBS;

/// The bit of file `index` in a run named after `lo`; none when it lies beyond what a run can hold.
pub(crate) fn bit(lo: u32, index: u32) -> Option<u64> {
    index.checked_sub(lo).filter(|&place| place < MAX_SPAN_JOBS).map(|place| 1_u64 << place)
}

/// All bits of a run that goes to before `hi`.
pub(crate) fn span(lo: u32, hi: u32) -> u64 {
    match hi.saturating_sub(lo) {
        0 => 0,
        jobs if jobs >= MAX_SPAN_JOBS => u64::MAX,
        jobs => (1_u64 << jobs) - 1,
    }
}

/// The jobs that are left in a run.
pub(crate) fn left(lo: u32, hi: u32, gone: u64) -> u64 {
    span(lo, hi) & !gone
}

/// The file indexes of a set, ascending.
pub(crate) fn indexes(lo: u32, set: u64) -> impl Iterator<Item = u32> {
    (0..MAX_SPAN_JOBS).filter(move |place| set >> place & 1 == 1).map(move |place| lo + place)
}

/// Cuts a run after its first `take` jobs: where the first part ends, and where the second begins, if there is one.
pub(crate) fn cut_after(lo: u32, hi: u32, gone: u64, take: u32) -> (u32, Option<u32>) {
    let mut jobs = indexes(lo, left(lo, hi, gone)).skip(take as usize);
    match jobs.next() {
        Some(next) => (next, Some(next)),
        None => (hi, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_between_the_ends_and_not_gone() {
        assert_eq!(left(10, 14, 0b0101), 0b1010);
        assert_eq!(left(0, 64, 0), u64::MAX);
        assert_eq!(indexes(10, 0b1010).collect::<Vec<_>>(), [11, 13]);
        assert_eq!(bit(10, 9), None);
        assert_eq!(bit(10, 74), None);
        assert_eq!(bit(10, 73), Some(1 << 63));
    }

    #[test]
    fn a_cut_counts_the_jobs_that_are_left() {
        assert_eq!(cut_after(0, 8, 0b11, 2), (4, Some(4)));
        assert_eq!(cut_after(0, 8, 0b1_0011, 2), (5, Some(5)), "4 is gone, so the rest begins at 5");
        assert_eq!(cut_after(0, 8, 0b11, 6), (8, None));
    }
}
