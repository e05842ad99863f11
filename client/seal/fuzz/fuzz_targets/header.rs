//! The plaintext of a header: refused, or decoded within its bounds to something with exactly that encoding.
#![no_main]

use filemill_seal::fuzzing::{decode_header, encode_header};
use filemill_seal::{FILES_MAX, Format, NAME_MAX_BYTES, RELEASES_MAX, TASKS_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plaintext: &[u8]| {
    let Ok(header) = decode_header(plaintext) else { return };
    let encoded = encode_header(&header);
    match header.format {
        Format::One => assert_eq!(encoded, plaintext),
        // What was ignored stands behind it, and counts among the fields: in a head of one byte up to 23.
        Format::Two if plaintext[0] < 0xb8 => assert!(plaintext[1..].starts_with(&encoded[1..])),
        Format::Two => assert!(plaintext.len() > encoded.len()),
    }
    assert!((1..=FILES_MAX).contains(&header.files.len()));
    assert!((1..=TASKS_MAX).contains(&header.tasks.len()));
    assert!(header.tasks.len() == 1 || header.tasks.len() * header.files.len() <= FILES_MAX);
    assert!(header.tasks.iter().all(|task| (1..=RELEASES_MAX).contains(&task.releases.len())));
    assert!(header.files.iter().all(|file| (1..=NAME_MAX_BYTES).contains(&file.name.len())));

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
