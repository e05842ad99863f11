//! Offsets, against a model that looks at every byte.

use filemill_seal::{
    CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, CHUNKS_MAX, FILES_MAX, JobRange, Layout, LayoutError, TOTAL_MAX_BYTES,
};
use proptest::prelude::*;

const SIZE: u64 = CHUNK_SIZE_MIN as u64;

/// First and last chunk of each file, straight from the protocol's sentences.
fn model(lengths: &[u64]) -> (u64, Vec<(u32, u32)>) {
    let total: u64 = lengths.iter().sum();
    let chunks = total.div_ceil(SIZE).max(1);
    let mut offset = 0;
    let spans = lengths
        .iter()
        .map(|length| {
            let first = (offset / SIZE).min(chunks - 1);
            let last = if *length == 0 { first } else { (offset + length - 1) / SIZE };
            offset += length;
            (first as u32, last as u32)
        })
        .collect();
    (chunks, spans)
}

/// Lengths around what matters: nothing, little, and one chunk more or less a byte.
fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(0),
        3 => 1..100_u64,
        3 => (1..4_u64, -1..=1_i64).prop_map(|(chunks, more)| (chunks * SIZE).saturating_add_signed(more)),
        2 => 1..(5 * SIZE),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_lookup_agrees_with_the_naive_model(lengths in prop::collection::vec(length(), 1..40)) {
        let layout = Layout::new(CHUNK_SIZE_MIN, lengths.iter().copied())?;
        let (chunks, spans) = model(&lengths);
        prop_assert_eq!(u64::from(layout.chunk_count()), chunks);
        prop_assert_eq!(layout.file_count() as usize, lengths.len());
        prop_assert_eq!(layout.total_bytes(), lengths.iter().sum::<u64>());

        let mut offset = 0;
        for (index, (length, (first, last))) in lengths.iter().zip(&spans).enumerate() {
            let span = layout.span(index as u32).expect("there is such a file");
            prop_assert_eq!((span.offset, span.length, span.first_chunk, span.last_chunk), (offset, *length, *first, *last));
            offset += length;
        }
        for sequence in 0..layout.chunk_count() {
            let ends: Vec<u32> = (0..spans.len()).filter(|i| spans[*i].1 == sequence).map(|i| i as u32).collect();
            let touch: Vec<u32> =
                (0..spans.len()).filter(|i| spans[*i].0 <= sequence && sequence <= spans[*i].1).map(|i| i as u32).collect();
            prop_assert_eq!(layout.ends_in(sequence).collect::<Vec<_>>(), ends.clone());
            prop_assert_eq!(layout.files_in(sequence).collect::<Vec<_>>(), touch.clone());
            let shape = layout.shape(sequence).expect("there is such a chunk");
            prop_assert_eq!(shape.sequence, sequence);
            prop_assert_eq!(shape.verdicts as usize, ends.len());
            prop_assert_eq!(shape.last, sequence + 1 == layout.chunk_count());
            prop_assert_eq!(layout.pieces(sequence).map(|piece| piece.index).collect::<Vec<_>>(), touch);
        }
    }

    #[test]
    fn pieces_cover_every_chunk_and_every_file_without_gaps(lengths in prop::collection::vec(length(), 1..40)) {
        let layout = Layout::new(CHUNK_SIZE_MIN, lengths.iter().copied())?;
        let mut seen = vec![0_u64; lengths.len()];
        for sequence in 0..layout.chunk_count() {
            let mut at = 0;
            for piece in layout.pieces(sequence) {
                prop_assert_eq!(piece.in_chunk.start, at);
                prop_assert_eq!(piece.in_file, seen[piece.index as usize]);
                seen[piece.index as usize] += piece.in_chunk.len() as u64;
                at = piece.in_chunk.end;
            }
            prop_assert_eq!(at, layout.chunk_length(sequence).expect("there is such a chunk") as usize);
        }
        prop_assert_eq!(seen, lengths);
    }

    #[test]
    fn job_ranges_are_the_longest_runs_of_files_with_the_same_chunks(lengths in prop::collection::vec(length(), 1..40)) {
        let layout = Layout::new(CHUNK_SIZE_MIN, lengths.iter().copied())?;
        let mut runs: Vec<JobRange> = Vec::new();
        for (index, (first_chunk, last_chunk)) in model(&lengths).1.into_iter().enumerate() {
            match runs.last_mut() {
                Some(run) if (run.first_chunk, run.last_chunk) == (first_chunk, last_chunk) => run.count += 1,
                _ => runs.push(JobRange { first_index: index as u32, count: 1, first_chunk, last_chunk }),
            }
        }
        prop_assert_eq!(layout.job_ranges().collect::<Vec<_>>(), runs);
    }
}

#[test]
fn an_upload_of_one_empty_file_has_one_empty_chunk_with_its_verdict() {
    let layout = Layout::new(CHUNK_SIZE_MIN, [0]).expect("a layout");
    let shape = layout.shape(0).expect("one chunk");
    assert_eq!((shape.length, shape.verdicts, shape.last), (0, 1, true));
    assert_eq!(layout.chunk_count(), 1);
}

#[test]
fn what_lies_outside_is_nothing_rather_than_a_panic() {
    let layout = Layout::new(CHUNK_SIZE_MIN, [1]).expect("a layout");
    for beyond in [1, 2, u32::MAX] {
        assert_eq!(layout.shape(beyond), None);
        assert_eq!(layout.span(beyond), None);
        assert_eq!(layout.chunk_length(beyond), None);
        assert!(layout.files_in(beyond).is_empty());
        assert!(layout.ends_in(beyond).is_empty());
        assert_eq!(layout.pieces(beyond).count(), 0);
    }
}

#[test]
fn every_bound_is_kept() {
    for found in [0, 1, CHUNK_SIZE_MIN - 1, CHUNK_SIZE_MIN + 1, CHUNK_SIZE_MIN / 2, CHUNK_SIZE_MAX * 2, u32::MAX] {
        assert_eq!(Layout::new(found, [1]), Err(LayoutError::ChunkSize { found }));
    }
    assert_eq!(Layout::new(CHUNK_SIZE_MIN, []), Err(LayoutError::NoFiles));
    assert_eq!(Layout::new(CHUNK_SIZE_MIN, std::iter::repeat(0)), Err(LayoutError::TooManyFiles));
    assert!(Layout::new(CHUNK_SIZE_MIN, std::iter::repeat_n(1, FILES_MAX)).is_ok());
    assert_eq!(Layout::new(CHUNK_SIZE_MAX, [TOTAL_MAX_BYTES, 1]), Err(LayoutError::TooManyBytes));
    assert_eq!(Layout::new(CHUNK_SIZE_MAX, [u64::MAX, u64::MAX]), Err(LayoutError::TooManyBytes));
    let most = u64::from(CHUNKS_MAX) * SIZE;
    assert_eq!(Layout::new(CHUNK_SIZE_MIN, [most]).map(|layout| layout.chunk_count()), Ok(CHUNKS_MAX));
    assert_eq!(
        Layout::new(CHUNK_SIZE_MIN, [most + 1]),
        Err(LayoutError::TooManyChunks { total_bytes: most + 1, chunk_size: CHUNK_SIZE_MIN })
    );
}
