//! A chunk opens in its own place and in no other, and to nothing but what was sealed.

use filemill_seal::fuzzing::seal_anything;
use filemill_seal::{
    CHUNK_SIZE_MIN, ChunkError, ChunkOpener, ChunkSealer, ChunkShape, Compressor, DataKey, Decompressor, Digest,
    UploadId, Verdict, VoidReason,
};
use proptest::prelude::*;

use crate::support::{Scene, flips, resized};

const SHAPE: ChunkShape = ChunkShape { sequence: 7, last: false, length: 300, verdicts: 2 };
const STORED: u8 = 0;
const ZSTANDARD: u8 = 1;

fn scene() -> (ChunkSealer, ChunkOpener) {
    Scene::new(CHUNK_SIZE_MIN, &[1]).chunk_ends(Digest::of(b"header"))
}

fn verdicts() -> [Verdict; 2] {
    [Verdict::Intact(Digest::of(b"first")), Verdict::Void(VoidReason::Shrank)]
}

fn seal(sealer: &ChunkSealer, shape: &ChunkShape, data: &[u8], verdicts: &[Verdict]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let summary = sealer.seal(shape, data, verdicts, &mut Compressor::new(3), &mut sealed).expect("it seals");
    assert_eq!(summary.digest, Digest::of(&sealed));
    assert!(sealed.len() <= shape.sealed_max_bytes());
    sealed
}

fn open(opener: &ChunkOpener, shape: &ChunkShape, sealed: &[u8]) -> Result<(Vec<u8>, Vec<Verdict>), ChunkError> {
    let chunk = opener.open(shape, sealed.to_vec(), &mut Decompressor::new())?;
    Ok((chunk.data().to_vec(), chunk.verdicts().to_vec()))
}

fn frame(data: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(data, 3).expect("it compresses")
}

/// Seals `data` as a broken client would, with the codec and the bytes it likes.
fn seal_broken(codec: u8, data: &[u8]) -> Vec<u8> {
    let mut plaintext = data.to_vec();
    for verdict in verdicts() {
        match verdict {
            Verdict::Intact(digest) => plaintext.extend([&[0], &digest.as_bytes()[..]].concat()),
            Verdict::Void(reason) => plaintext.extend([&[reason as u8], &[0; 32][..]].concat()),
        }
    }
    seal_anything(&scene().0, &SHAPE, codec, &plaintext)
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same_stored_or_compressed(
        data in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..5_000),
            (any::<u8>(), 0..200_000_usize).prop_map(|(byte, length)| vec![byte; length]),
        ],
        void in prop::collection::vec(prop::option::of(0..4_usize), 0..20),
        (sequence, last, level) in (any::<u32>(), any::<bool>(), -20..30),
    ) {
        let verdicts: Vec<Verdict> = void
            .into_iter()
            .enumerate()
            .map(|(index, void)| match void {
                Some(reason) => Verdict::Void(VoidReason::ALL[reason]),
                None => Verdict::Intact(Digest::of(&[index as u8])),
            })
            .collect();
        let shape = ChunkShape { sequence, last, length: data.len() as u32, verdicts: verdicts.len() as u32 };
        let (sealer, opener) = scene();
        let mut sealed = Vec::new();
        let summary = sealer.seal(&shape, &data, &verdicts, &mut Compressor::new(level), &mut sealed)?;
        prop_assert_eq!(summary.digest, Digest::of(&sealed));
        prop_assert!(sealed.len() <= shape.sealed_max_bytes());
        prop_assert_eq!(summary.compressed, sealed.len() < shape.sealed_max_bytes());
        prop_assert_eq!(open(&opener, &shape, &sealed)?, (data, verdicts));
    }

    #[test]
    fn no_other_shape_opens_it(
        sequence in any::<u32>(), last in any::<bool>(), length in 0..1_000_u32, verdicts_count in 0..5_u32,
    ) {
        let (sealer, opener) = scene();
        let sealed = seal(&sealer, &SHAPE, &[b'a'; 300], &verdicts());
        let shape = ChunkShape { sequence, last, length, verdicts: verdicts_count };
        prop_assume!(shape != SHAPE);
        prop_assert!(open(&opener, &shape, &sealed).is_err());
    }
}

#[test]
fn no_changed_bit_and_no_other_length_is_opened() {
    let (sealer, opener) = scene();
    let mut data = vec![0; 300];
    // Once compressed, once stored.
    for _ in 0..2 {
        let sealed = seal(&sealer, &SHAPE, &data, &verdicts());
        assert!(open(&opener, &SHAPE, &sealed).is_ok());
        for (bit, changed) in flips(&sealed) {
            assert!(open(&opener, &SHAPE, &changed).is_err(), "bit {bit}");
        }
        for changed in resized(&sealed) {
            assert!(open(&opener, &SHAPE, &changed).is_err(), "{} bytes", changed.len());
        }
        data = (0..300_u32).map(|i| Digest::of(&i.to_be_bytes()).as_bytes()[0]).collect();
    }
}

#[test]
fn a_chunk_in_another_place_is_refused_with_what_is_wrong() {
    let (sealer, opener) = scene();
    let sealed = seal(&sealer, &SHAPE, &[b'a'; 300], &verdicts());
    let refusal = |shape| open(&opener, &shape, &sealed).expect_err("it is refused");
    assert_eq!(refusal(ChunkShape { sequence: 8, ..SHAPE }), ChunkError::Sequence { expected: 8, found: 7 });
    assert_eq!(refusal(ChunkShape { last: true, ..SHAPE }), ChunkError::Last { expected: true });
    assert_eq!(refusal(ChunkShape { length: 301, ..SHAPE }), ChunkError::PlaintextLength { expected: 301, found: 300 });
    // The number of verdicts does not stand in the chunk; the layout knows it, and the data no longer fits.
    assert_eq!(refusal(ChunkShape { verdicts: 1, ..SHAPE }), ChunkError::NotOneFrame);
}

#[test]
fn a_field_that_was_rewritten_to_fit_is_not_authentic() {
    let (sealer, opener) = scene();
    let mut sealed = seal(&sealer, &SHAPE, &[b'a'; 300], &verdicts());
    sealed[9] = 8;
    assert_eq!(open(&opener, &ChunkShape { sequence: 8, ..SHAPE }, &sealed), Err(ChunkError::NotAuthentic));
    sealed[9] = 7;
    sealed[5] = 1;
    assert_eq!(open(&opener, &ChunkShape { last: true, ..SHAPE }, &sealed), Err(ChunkError::NotAuthentic));
}

#[test]
fn a_chunk_of_another_upload_header_or_key_is_not_authentic() {
    let (sealer, _) = scene();
    let sealed = seal(&sealer, &SHAPE, &[b'a'; 300], &verdicts());
    let (key, upload, header) =
        (DataKey::from_bytes([0x22; 32]), UploadId::from_bytes([0x11; 16]), Digest::of(b"header"));
    assert!(open(&ChunkOpener::new(&key, upload, header), &SHAPE, &sealed).is_ok());
    for foreign in [
        ChunkOpener::new(&DataKey::random(), upload, header),
        ChunkOpener::new(&key, UploadId::random(), header),
        ChunkOpener::new(&key, upload, Digest::of(b"another header")),
    ] {
        assert_eq!(open(&foreign, &SHAPE, &sealed), Err(ChunkError::NotAuthentic));
    }
}

#[test]
fn unknown_formats_are_called_that() {
    let (sealer, opener) = scene();
    let sealed = seal(&sealer, &SHAPE, &[b'a'; 300], &verdicts());
    let changed = |at: usize, value: u8| {
        let mut changed = sealed.clone();
        changed[at] = value;
        open(&opener, &SHAPE, &changed).expect_err("it is refused")
    };
    assert_eq!(changed(3, b'2'), ChunkError::NotAChunk);
    assert_eq!(changed(4, 2), ChunkError::Codec { found: 2 });
    assert_eq!(changed(5, 2), ChunkError::Flags { found: 2 });
    assert_eq!(changed(5, 0x81), ChunkError::Flags { found: 0x81 });
    assert_eq!(changed(4, STORED), ChunkError::Length { shortest: 108, longest: 408, found: sealed.len() });
    assert_eq!(open(&opener, &SHAPE, b""), Err(ChunkError::Length { shortest: 108, longest: 408, found: 0 }));
}

#[test]
fn anything_but_one_whole_frame_is_refused() {
    let (_, opener) = scene();
    let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"skip"].concat();
    let whole = frame(&[b'a'; 300]);
    assert!(open(&opener, &SHAPE, &seal_broken(ZSTANDARD, &whole)).is_ok());
    for data in [
        vec![],
        b"not a frame".to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"\0"].concat(),
        [frame(&[b'a'; 150]), frame(&[b'a'; 150])].concat(),
        [whole.clone(), frame(b"")].concat(),
        [whole.clone(), skippable.clone()].concat(),
        [skippable.clone(), whole.clone()].concat(),
        skippable,
    ] {
        assert_eq!(open(&opener, &SHAPE, &seal_broken(ZSTANDARD, &data)), Err(ChunkError::NotOneFrame), "{data:x?}");
    }
}

#[test]
fn a_bomb_or_a_short_frame_is_refused() {
    let (_, opener) = scene();
    for length in [0, 1, 299, 301, 1 << 20] {
        let sealed = seal_broken(ZSTANDARD, &frame(&vec![b'a'; length]));
        assert_eq!(open(&opener, &SHAPE, &sealed), Err(ChunkError::Content { expected: 300 }), "{length}");
    }
}

#[test]
fn a_frame_that_announces_a_huge_window_costs_no_memory() {
    let (_, opener) = scene();
    // Magic, descriptor without content size, window of 2^41 bytes, one last block that repeats a byte 300 times.
    let mut data = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 31 << 3];
    data.extend_from_slice(&((300_u32 << 3) | (1 << 1) | 1).to_le_bytes()[..3]);
    data.push(b'a');
    // Either it opens to what it should, or not at all; it must not try to allocate the window.
    if let Ok((opened, _)) = open(&opener, &SHAPE, &seal_broken(ZSTANDARD, &data)) {
        assert_eq!(opened, [b'a'; 300]);
    }
}

#[test]
fn what_would_have_been_stored_is_not_taken_compressed() {
    let (_, opener) = scene();
    let noise: Vec<u8> = (0..300_u32).map(|i| Digest::of(&i.to_be_bytes()).as_bytes()[0]).collect();
    let grown = frame(&noise);
    assert!(grown.len() >= 300);
    assert!(matches!(open(&opener, &SHAPE, &seal_broken(ZSTANDARD, &grown)), Err(ChunkError::Length { .. })));
}

#[test]
fn unknown_verdicts_and_void_ones_with_a_digest_are_refused() {
    let (sealer, opener) = scene();
    let shape = ChunkShape { length: 0, verdicts: 2, ..SHAPE };
    let intact = [0; 33];
    for (code, filler) in [(5, 0), (0xff, 0), (1, 7), (4, 7)] {
        let mut verdict = [filler; 33];
        verdict[0] = code;
        let sealed = seal_anything(&sealer, &shape, STORED, &[intact, verdict].concat());
        assert_eq!(open(&opener, &shape, &sealed), Err(ChunkError::Verdict { position: 1, code }));
    }
}

#[test]
fn the_same_chunk_sealed_again_takes_another_nonce() {
    let (sealer, opener) = scene();
    let [first, second] = [(); 2].map(|()| seal(&sealer, &SHAPE, &[b'a'; 300], &verdicts()));
    assert_ne!(first[14..26], second[14..26]);
    assert_ne!(first[26..], second[26..]);
    assert_eq!(open(&opener, &SHAPE, &first), open(&opener, &SHAPE, &second));
}

#[test]
fn sealing_other_than_the_layout_says_is_refused() {
    let (sealer, _) = scene();
    let mut out = vec![1, 2, 3];
    let refusal = sealer.seal(&SHAPE, &[0; 299], &verdicts(), &mut Compressor::new(3), &mut out);
    assert_eq!(refusal, Err(ChunkError::Data { expected: 300, found: 299 }));
    assert!(out.is_empty());
    let refusal = sealer.seal(&SHAPE, &[0; 300], &verdicts()[..1], &mut Compressor::new(3), &mut out);
    assert_eq!(refusal, Err(ChunkError::VerdictCount { expected: 2, found: 1 }));
}

#[test]
fn a_buffer_that_is_reused_does_not_grow() {
    let (sealer, _) = scene();
    let (mut compressor, mut out) = (Compressor::new(1), Vec::new());
    let shape = ChunkShape { length: 1 << 20, ..SHAPE };
    let data = vec![b'a'; 1 << 20];
    for _ in 0..3 {
        sealer.seal(&shape, &data, &verdicts(), &mut compressor, &mut out).expect("it seals");
        assert_eq!(out.capacity(), shape.sealed_max_bytes());
    }
}

#[test]
fn one_compressor_and_one_decompressor_serve_chunks_of_every_kind_in_turn() {
    let (sealer, opener) = scene();
    let (mut compressor, mut decompressor) = (Compressor::new(3), Decompressor::new());
    let noise: Vec<u8> = (0..300_u32).map(|i| Digest::of(&i.to_be_bytes()).as_bytes()[0]).collect();
    let mut sealed = Vec::new();
    for (data, compressible) in [(vec![b'a'; 300], true), (noise, false)].iter().cycle().take(6) {
        let summary = sealer.seal(&SHAPE, data, &verdicts(), &mut compressor, &mut sealed).expect("it seals");
        assert_eq!(summary.compressed, *compressible);
        // What is damaged in between leaves no trace.
        let broken = seal_broken(ZSTANDARD, &frame(&[b'a'; 1_000]));
        assert!(opener.open(&SHAPE, broken, &mut decompressor).is_err());
        let opened = opener.open(&SHAPE, sealed.clone(), &mut decompressor).expect("it opens");
        assert_eq!(opened.data(), data);
    }
}
