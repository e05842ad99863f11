//! The plaintext of a header: refused, or decoded within its bounds to something with exactly that encoding.
#![no_main]

use filemill_seal::fuzzing::{decode_header, encode_header};
use filemill_seal::{FILES_MAX, NAME_MAX_BYTES, RELEASES_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plaintext: &[u8]| {
    let Ok(header) = decode_header(plaintext) else { return };
    assert_eq!(encode_header(&header), plaintext);
    assert!((1..=FILES_MAX).contains(&header.files.len()));
    assert!((1..=RELEASES_MAX).contains(&header.releases.len()));
    assert!(
        header
            .files
            .iter()
            .all(|file| (1..=NAME_MAX_BYTES).contains(&file.name.len()))
    );

    let layout = header.layout().expect("a decoded header has a layout");
    // Some chunks and files, not a million of them.
    for sequence in (0..layout.chunk_count()).take(64) {
        let shape = layout.shape(sequence).expect("there is such a chunk");
        let covered: usize = layout.pieces(sequence).map(|piece| piece.in_chunk.len()).sum();
        assert_eq!(covered, shape.length as usize);
    }
    let files: u64 = layout.job_ranges().map(|job| u64::from(job.count)).sum();
    assert_eq!(files, header.files.len() as u64);
});
