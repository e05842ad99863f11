//! A chunk: first the bytes as they come from storage, then the same bytes as what a broken client encrypted.
//!
//! Input: codec (1 byte), last (1), verdicts (1), plaintext length (2), then the bytes.
#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;

use filemill_seal::fuzzing::seal_anything;
use filemill_seal::{ChunkOpener, ChunkSealer, ChunkShape, DataKey, Decompressor, Digest, UploadId};
use libfuzzer_sys::fuzz_target;

static ENDS: LazyLock<(ChunkSealer, ChunkOpener)> = LazyLock::new(|| {
    let (key, upload, header) = (DataKey::from_bytes([1; 32]), UploadId::from_bytes([2; 16]), Digest::of(b"header"));
    (ChunkSealer::new(&key, upload, header), ChunkOpener::new(&key, upload, header))
});

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

fuzz_target!(|input: &[u8]| {
    let Some(([codec, last, verdicts, high, low], bytes)) = input.split_first_chunk() else {
        return;
    };
    let shape = ChunkShape {
        sequence: 0,
        last: last & 1 == 1,
        length: u32::from(u16::from_be_bytes([*high, *low])),
        verdicts: u32::from(*verdicts),
    };
    let (sealer, opener) = &*ENDS;
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        assert!(opener.open(&shape, bytes.to_vec(), decompressor).is_err(), "a chunk was forged");
        if let Ok(chunk) = opener.open(&shape, seal_anything(sealer, &shape, *codec, bytes), decompressor) {
            assert_eq!(chunk.data().len(), shape.length as usize);
            assert_eq!(chunk.verdicts().len(), shape.verdicts as usize);
        }
    });
});
