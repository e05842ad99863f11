//! Which chunks to read, and which of them to send: all of them at first, only what is missing on a resume.

use std::collections::{HashMap, HashSet, VecDeque};

use filemill_seal::{Digest, Layout};

/// One chunk to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) sequence: u32,
    /// It was sealed before: what is read must be the same.
    pub(super) known: bool,
    /// It is to be sealed and sent, not only read.
    pub(super) send: bool,
}

/// What to read, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remaining {
    pub(super) steps: VecDeque<Step>,
    /// From this chunk on files are hashed.
    pub(super) hash_from: u32,
}

/// Everything is still to be done.
pub(super) fn all(layout: &Layout) -> Remaining {
    let steps = (0..layout.chunk_count()).map(|sequence| Step { sequence, known: false, send: true }).collect();
    Remaining { steps, hash_from: 0 }
}

/// What is left to do when the chunks of `plain` were sealed before, and those of `stored` are in storage.
///
/// A chunk that was sealed before can be sealed again from the journal's verdicts, if the files still hold the same. One
/// that was not needs the hashes of the files that end in it, and so these files from their beginnings.
///
/// `None` if storage is said to have a chunk that was never sealed.
pub(super) fn after(layout: &Layout, plain: &HashMap<u32, Digest>, stored: &HashSet<u32>) -> Option<Remaining> {
    if stored.iter().any(|sequence| !plain.contains_key(sequence)) {
        return None;
    }
    let count = layout.chunk_count();
    let first_unknown = (0..count).find(|sequence| !plain.contains_key(sequence));
    let hash_from = match first_unknown {
        Some(sequence) => layout.span(layout.files_in(sequence).start).map_or(sequence, |span| span.first_chunk),
        None => count,
    };
    let step =
        |sequence: u32| Step { sequence, known: plain.contains_key(&sequence), send: !stored.contains(&sequence) };
    let single = (0..hash_from).filter(|sequence| !stored.contains(sequence));
    Some(Remaining { steps: single.chain(hash_from..count).map(step).collect(), hash_from })
}

/// Whether all of `ranges`, sorted pairs of first and last, lie within `count` chunks; then the chunks in them.
pub(super) fn chunks_of_ranges(ranges: &[(u32, u32)], count: u32) -> Option<HashSet<u32>> {
    let mut chunks = HashSet::new();
    for (first, last) in ranges {
        if first > last || *last >= count {
            return None;
        }
        chunks.extend(*first..=*last);
    }
    Some(chunks)
}

#[cfg(test)]
mod tests {
    use filemill_seal::CHUNK_SIZE_MIN;

    use super::*;

    const CHUNK: u64 = CHUNK_SIZE_MIN as u64;

    fn steps(lengths: &[u64], known: &[u32], stored: &[u32]) -> Option<Vec<(u32, bool, bool)>> {
        let layout = Layout::new(CHUNK_SIZE_MIN, lengths.iter().copied()).unwrap();
        let plain = known.iter().map(|sequence| (*sequence, Digest::of(b""))).collect();
        let remaining = after(&layout, &plain, &stored.iter().copied().collect())?;
        Some(remaining.steps.into_iter().map(|step| (step.sequence, step.known, step.send)).collect())
    }

    #[test]
    fn a_resume_reads_only_what_it_needs() {
        // One file of five chunks: to know its hash, all of it.
        let all = [(0, true, false), (1, true, true), (2, false, true), (3, false, true), (4, false, true)];
        assert_eq!(steps(&[5 * CHUNK], &[0, 1], &[0]).unwrap(), all);
        // Three files of two chunks: the first is done.
        let rest = [(2, true, false), (3, false, true), (4, false, true), (5, false, true)];
        assert_eq!(steps(&[2 * CHUNK, 2 * CHUNK, 2 * CHUNK], &[0, 1, 2], &[0, 1, 2]).unwrap(), rest);
        // All sealed, two of them lost: these only.
        assert_eq!(steps(&[5 * CHUNK], &[0, 1, 2, 3, 4], &[0, 2, 4]).unwrap(), [(1, true, true), (3, true, true)]);
        assert_eq!(steps(&[5 * CHUNK], &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]).unwrap(), []);
        // Nothing was done.
        assert_eq!(steps(&[CHUNK + 1], &[], &[]).unwrap(), [(0, false, true), (1, false, true)]);
    }

    #[test]
    fn storage_cannot_have_what_was_never_sealed() {
        assert_eq!(steps(&[5 * CHUNK], &[0], &[3]), None);
    }
}
