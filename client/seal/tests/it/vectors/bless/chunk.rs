//! Stored, compressed and empty chunks, and what is wrong with others.

use filemill_seal::fuzzing::seal_anything;
use filemill_seal::{
    ChunkOpener, ChunkSealer, ChunkShape, Compressor, DataKey, Decompressor, Digest, UploadId, Verdict, VoidReason,
};

use super::{KEY, UPLOAD, encode_verdicts, refused};
use crate::vectors::form::{ChunkCase, ChunkFile, Hex, PlacedChunk, write};
use crate::vectors::shape;

#[test]
#[ignore = "writes client/seal/vectors/chunk.json"]
fn bless_chunk() {
    let (key, header) = (DataKey::from_bytes(KEY), Digest::of(b"a sealed header"));
    let (sealer, opener) = (ChunkSealer::new(&key, UPLOAD, header), ChunkOpener::new(&key, UPLOAD, header));
    let verdicts = [
        Verdict::Intact(Digest::of(b"some file")),
        Verdict::Void(VoidReason::Changed),
        Verdict::Void(VoidReason::Shrank),
        Verdict::Void(VoidReason::Vanished),
        Verdict::Void(VoidReason::Unreadable),
    ];
    let noise: Vec<u8> = (0..40_u8).map(|i| Digest::of(&[i]).as_bytes()[0]).collect();
    let run = vec![b'a'; 300];
    let accept = |name: &str, (sequence, last): (u32, bool), data: &[u8], verdicts: &[Verdict]| {
        let shape = ChunkShape { sequence, last, length: data.len() as u32, verdicts: verdicts.len() as u32 };
        let mut sealed = Vec::new();
        sealer.seal(&shape, data, verdicts, &mut Compressor::new(3), &mut sealed).expect("it seals");
        let (codec, length) = (sealed[4], shape.length);
        let at = PlacedChunk { sequence, last, length, verdicts: shape.verdicts, sealed: Hex(sealed) };
        let encoded_verdicts = Hex(encode_verdicts(verdicts));
        ChunkCase { name: name.to_owned(), at, codec, data: Hex(data.to_vec()), encoded_verdicts }
    };
    let accepted = vec![
        accept("stored", (0, false), &noise, &verdicts[..1]),
        accept("compressed", (1, false), &run, &[]),
        accept("last, with every verdict", (2, true), &run, &verdicts),
        accept("empty", (0, true), &[], &verdicts[..1]),
    ];
    let at = |sealed: &[u8]| PlacedChunk {
        sequence: 1,
        last: false,
        length: 300,
        verdicts: 1,
        sealed: Hex(sealed.to_vec()),
    };
    let refuse = |name: &str, what: PlacedChunk| {
        let error = opener.open(&shape(&what), what.sealed.0.clone(), &mut Decompressor::new()).expect_err(name);
        refused(name, error, what)
    };
    let seal = |codec: u8, data: &[u8], verdicts: &[u8]| {
        seal_anything(&sealer, &shape(&at(&[])), codec, &[data, verdicts].concat())
    };
    let frame = |data: &[u8]| zstd::bulk::compress(data, 3).expect("it compresses");
    let intact = encode_verdicts(&verdicts[..1]);
    let good = seal(1, &frame(&run), &intact);
    let altered = |at: usize, value: u8| {
        let mut altered = good.clone();
        altered[at] = value;
        altered
    };
    let foreign = |upload, header| {
        let sealer = ChunkSealer::new(&key, upload, header);
        seal_anything(&sealer, &shape(&at(&[])), 1, &[&frame(&run)[..], &intact].concat())
    };
    let grown = [&frame(&run)[..], &[0; 300]].concat();
    let refused = vec![
        refuse("in place of another", PlacedChunk { sequence: 2, ..at(&good) }),
        refuse("in place of the last", PlacedChunk { last: true, ..at(&good) }),
        refuse("in place of a longer one", PlacedChunk { length: 301, ..at(&good) }),
        refuse("sequence number rewritten", PlacedChunk { sequence: 2, ..at(&altered(9, 2)) }),
        refuse("of another upload", at(&foreign(UploadId::from_bytes([0; 16]), header))),
        refuse("under another header", at(&foreign(UPLOAD, Digest::of(b"another header")))),
        refuse("tag altered", at(&altered(good.len() - 1, good[good.len() - 1] ^ 1))),
        refuse("cut off", at(&good[..good.len() - 1])),
        refuse("too short for its verdicts", at(&good[..74])),
        refuse("unknown magic", at(&altered(3, b'2'))),
        refuse("unknown codec", at(&seal(2, &frame(&run), &intact))),
        refuse("unknown flag", at(&altered(5, 2))),
        refuse("stored, but shorter", at(&seal(0, &run[1..], &intact))),
        refuse("compressed, but longer", at(&seal(1, &grown, &intact))),
        refuse("two frames", at(&seal(1, &[frame(&run[..100]), frame(&run[100..])].concat(), &intact))),
        refuse(
            "a skippable frame behind",
            at(&seal(1, &[&frame(&run)[..], b"\x50\x2a\x4d\x18\0\0\0\0"].concat(), &intact)),
        ),
        refuse("a frame of one byte more", at(&seal(1, &frame(&[b'a'; 301]), &intact))),
        refuse("a frame of one byte less", at(&seal(1, &frame(&[b'a'; 299]), &intact))),
        refuse("a bomb", at(&seal(1, &frame(&vec![0; 1 << 20]), &intact))),
        refuse("unknown verdict", at(&seal(1, &frame(&run), &[5; 33]))),
        refuse("void with a digest", at(&seal(1, &frame(&run), &[1; 33]))),
    ];
    write("chunk.json", &ChunkFile { key: Hex(KEY.to_vec()), upload: UPLOAD, header, accepted, refused });
}
