//! How many results go into one batch.

use filemill_api::limits::MAX_INLINE_RESULT_BYTES;
use filemill_seal::{BATCH_MAX, BATCH_USUAL_BYTES};

/// What an age file takes beside its plaintext, without its recipients: its own lines, whatever its library adds, and the tags.
const ENVELOPE_BYTES: usize = 1 << 10;
/// What each recipient takes in it.
const RECIPIENT_BYTES: usize = 128;
/// Results that take no more than so many batches of the length that goes inline are sealed as such: to store an object, and to fetch it,
/// takes longer and more processor time than to seal and open these few.
const INLINE_BATCHES: usize = 4;

/// Of results that take so many bytes each, in their order, how many go into each batch for so many recipients. None is longer than
/// [`BATCH_USUAL_BYTES`] unless it holds one alone.
pub(super) fn cut(bytes: &[usize], recipients: usize) -> Vec<usize> {
    let inline = MAX_INLINE_RESULT_BYTES.saturating_sub(ENVELOPE_BYTES + recipients * RECIPIENT_BYTES);
    let in_few = groups(bytes, inline);
    let fits = |group: &[usize]| group.iter().sum::<usize>() <= inline;
    let mut rest = bytes;
    let all_fit = in_few.iter().all(|&members| {
        let (group, behind) = rest.split_at(members);
        rest = behind;
        fits(group)
    });
    if all_fit && in_few.len() <= INLINE_BATCHES { in_few } else { groups(bytes, BATCH_USUAL_BYTES) }
}

/// Neighbours whose bytes come to at most `most`, or that are alone.
fn groups(bytes: &[usize], most: usize) -> Vec<usize> {
    let mut groups: Vec<usize> = Vec::new();
    let mut total = 0_usize;
    for &bytes in bytes {
        match groups.last_mut() {
            Some(members) if *members < BATCH_MAX && total.saturating_add(bytes) <= most => {
                *members += 1;
                total += bytes;
            }
            _ => {
                groups.push(1);
                total = bytes;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_small_results_is_one_batch_that_goes_inline() {
        assert_eq!(cut(&[900; 64], 1), [64]);
        assert_eq!(cut(&[900; 64], 17), [64]);
        assert_eq!(cut(&[], 1), [0; 0]);
    }

    #[test]
    fn what_needs_few_more_batches_to_go_inline_gets_them() {
        assert_eq!(cut(&[2000; 64], 1), [32, 32]);
        assert_eq!(cut(&[3000; 64], 1), [21, 21, 21, 1]);
    }

    #[test]
    fn what_is_long_goes_to_storage_in_few_objects() {
        assert_eq!(cut(&[15_000; 64], 1), [64]);
        assert_eq!(cut(&[30_000; 64], 1), [34, 30]);
        // Each of them would have been an object.
        assert_eq!(cut(&[100_000; 3], 1), [3]);
    }

    #[test]
    fn one_that_is_longer_than_a_batch_goes_alone() {
        assert_eq!(cut(&[500, 16 << 20, 500], 1), [1, 1, 1]);
        assert_eq!(cut(&[16 << 20; 64], 1), [1; 64]);
        assert_eq!(cut(&[usize::MAX, usize::MAX], 1), [1, 1]);
    }

    #[test]
    fn no_batch_has_more_members_than_one_may_have() {
        assert_eq!(cut(&[10; 130], 1), [64, 64, 2]);
    }
}
