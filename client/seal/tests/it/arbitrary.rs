//! No input makes a decoder panic. The fuzz targets in `client/seal/fuzz` look further.

use filemill_seal::fuzzing::{decode_header, encode_header, parse_batch, parse_result, parse_statement, seal_anything};
use filemill_seal::{
    ChunkOpener, ChunkSealer, ChunkShape, DataKey, Decompressor, Digest, Enrolment, Header, Identity, Recipient,
    SealedHeader, UploadId, open_result,
};
use proptest::prelude::*;

prop_compose! {
    fn any_shape()(sequence in any::<u32>(), last in any::<bool>(), length in 0..2_000_u32, verdicts in 0..4_u32) -> ChunkShape {
        ChunkShape { sequence, last, length, verdicts }
    }
}

/// Noise, with a start that gets it further.
fn noise(starts: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(starts), prop::collection::vec(any::<u8>(), 0..400))
        .prop_map(|(start, rest)| [start, &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn as_a_header(bytes in noise(&[b"", b"\xa9\x01\x01\x02\x50", b"\xa9", b"\xbf\x01", b"\xaa\x01\x02\x02\x50", b"\xab\x01\x02"])) {
        if let Ok(header) = decode_header(&bytes) {
            let encoded = encode_header(&header);
            prop_assert!(bytes[1..].starts_with(&encoded[1..]), "{bytes:?}");
        }
    }

    #[test]
    fn as_an_age_file(bytes in noise(&[b"", b"age-encryption.org/v1\n", b"age-encryption.org/v1\n-> X25519 ", b"age-encryption.org/v1\n--- "])) {
        let identities = [Identity::generate()];
        prop_assert!(open_result(&bytes, &identities).is_err());
        prop_assert!(Header::open(&SealedHeader::from_bytes(bytes)?, &identities).is_err());
    }

    #[test]
    fn as_a_chunk(shape in any_shape(), bytes in noise(&[b"", b"FMC1", b"FMC1\0\0", b"FMC1\x01\x01"])) {
        let opener = ChunkOpener::new(&DataKey::random(), UploadId::random(), Digest::of(b""));
        prop_assert!(opener.open(&shape, bytes, &mut Decompressor::new()).is_err());
    }

    #[test]
    fn as_what_is_inside_a_chunk(shape in any_shape(), codec in 0..3_u8, bytes in noise(&[b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x20\x05\x01"])) {
        let (key, upload, header) = (DataKey::random(), UploadId::random(), Digest::of(b""));
        let sealed = seal_anything(&ChunkSealer::new(&key, upload, header), &shape, codec, &bytes);
        if let Ok(chunk) = ChunkOpener::new(&key, upload, header).open(&shape, sealed, &mut Decompressor::new()) {
            prop_assert_eq!(chunk.data().len(), shape.length as usize);
            prop_assert_eq!(chunk.verdicts().len(), shape.verdicts as usize);
        }
    }

    #[test]
    fn as_a_result(bytes in noise(&[b"", b"filemill-result/1 ", b"filemill-result/1 0000000000000000000000000000000000000000000000000000000000000000\n{\"index\":"])) {
        let _ = parse_result(&bytes);
    }

    #[test]
    fn as_a_batch(bytes in noise(&[b"", b"filemill-results/2 ", b"filemill-results/2 00000000000000000000000000000000 1\n84\nfilemill-result/2 "])) {
        let _ = parse_batch(&bytes);
    }

    #[test]
    fn as_text(text in ".{0,200}", start in prop::sample::select(&["", "{", "{\"filemill_pool\":1,", "{\"filemill_enrolment\":1,", "age1", "AGE-SECRET-KEY-1"][..])) {
        let text = format!("{start}{text}");
        let _ = parse_statement(&text);
        let _ = Enrolment::from_json(&text);
        let _ = text.parse::<Recipient>();
        let _ = text.parse::<Identity>();
        let _ = text.parse::<UploadId>();
        let _ = text.parse::<Digest>();
    }
}
