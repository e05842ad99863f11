//! A header opens whole and within its bounds, or not at all.

use filemill_seal::fuzzing::{decode_header, encode_header};
use filemill_seal::{
    CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, DataKey, Digest, EnvelopeError, FILES_MAX, FILES_MAX_ENCODED_BYTES, FileEntry,
    Format, HEADER_MAX_BYTES, Header, HeaderError, Identity, LayoutError, NAME_MAX_BYTES, PARAMETERS_MAX_BYTES,
    POOL_RECIPIENTS_MAX, RELEASES_MAX, Recipient, SealedHeader, Task, UploadId,
};
use minicbor::Encoder;
use proptest::prelude::*;

use crate::support::{Scene, flips, resized};

fn header() -> Header {
    Scene::new(CHUNK_SIZE_MIN, &[5, 0, 70_000]).header
}

/// `Header` has no equality, because of its key.
fn assert_same(left: &Header, right: &Header) {
    assert_eq!(encode_header(left), encode_header(right));
    assert_eq!(left.key.expose_bytes(), right.key.expose_bytes());
    assert_eq!(left.files, right.files);
    assert_eq!((left.format, &left.tasks), (right.format, &right.tasks));
    assert_eq!((&left.organisation, &left.isolation), (&right.organisation, &right.isolation));
}

fn seal_refusal(change: impl FnOnce(&mut Header)) -> HeaderError {
    let mut header = header();
    change(&mut header);
    // What cannot be sealed cannot be opened either, with the same reason.
    let refusal = header.seal(&[Identity::generate().recipient()]).expect_err("it is refused");
    if !matches!(refusal, HeaderError::TooLong { .. }) {
        assert_eq!(decode_header(&encode_header(&header)).expect_err("it is refused"), refusal);
    }
    refusal
}

prop_compose! {
    fn any_header()(
        upload in any::<[u8; 16]>(),
        key in any::<[u8; 32]>(),
        releases in prop::collection::vec(any::<[u8; 32]>(), 1..=RELEASES_MAX),
        parameters in prop::collection::btree_map(".*", any::<i64>(), 0..5),
        chunk_bits in 16..=26_u32,
        not_after in any::<u64>(),
        files in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..300), 0..1_u64 << 30), 1..50),
    ) -> Header {
        Header {
            format: Format::One,
            upload: UploadId::from_bytes(upload),
            key: DataKey::from_bytes(key),
            uploader: Identity::generate().recipient(),
            tasks: vec![Task {
                releases: releases.into_iter().map(Digest::from_bytes).collect(),
                parameters: serde_json::to_string(&parameters).expect("a map"),
            }],
            organisation: Vec::new(),
            isolation: [].into(),
            chunk_size: 1 << chunk_bits,
            not_after,
            files: files.into_iter().map(|(name, length)| FileEntry { name, length }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same(header in any_header()) {
        let pool = Identity::generate();
        let sealed = header.seal(&[pool.recipient()])?;
        let stored = SealedHeader::from_bytes(sealed.as_bytes().to_vec())?;
        prop_assert_eq!(stored.digest(), Digest::of(sealed.as_bytes()));
        assert_same(&Header::open(&stored, &[pool])?, &header);
    }

    #[test]
    fn encoded_bytes_is_what_a_file_takes(name in prop::collection::vec(any::<u8>(), 1..=NAME_MAX_BYTES), length in any::<u64>()) {
        let mut header = header();
        let before = encode_header(&header).len();
        let file = FileEntry { name, length };
        header.files.push(file.clone());
        prop_assert_eq!(encode_header(&header).len() - before, file.encoded_bytes());
    }

    #[test]
    fn a_changed_byte_of_the_plaintext_is_refused_or_another_header(
        header in any_header(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let mut bytes = encode_header(&header);
        let at = at.index(bytes.len());
        bytes[at] = value;
        // What decodes has exactly this encoding: two texts never stand for one header.
        if let Ok(decoded) = decode_header(&bytes) {
            prop_assert_eq!(encode_header(&decoded), bytes);
        }
    }
}

#[test]
fn no_changed_bit_and_no_other_length_is_opened() {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[5]);
    let sealed = scene.header.seal(&[scene.pool.recipient()]).expect("it seals").into_bytes();
    let opens = |bytes: Vec<u8>| {
        let sealed = SealedHeader::from_bytes(bytes).expect("short enough");
        Header::open(&sealed, std::slice::from_ref(&scene.pool)).is_ok()
    };
    assert!(opens(sealed.clone()));
    for (bit, changed) in flips(&sealed) {
        assert!(!opens(changed), "bit {bit}");
    }
    for changed in resized(&sealed) {
        assert!(!opens(changed));
    }
    for changed in resized(&encode_header(&scene.header)) {
        assert!(decode_header(&changed).is_err());
    }
}

#[test]
fn a_header_longer_than_four_mebibytes_is_not_even_hashed() {
    let long = vec![0; 5 << 20];
    assert_eq!(SealedHeader::from_bytes(long).err(), Some(HeaderError::TooLong { found: 5 << 20 }));
    let refusal = seal_refusal(|header| {
        header.files = vec![FileEntry { name: vec![b'a'; NAME_MAX_BYTES], length: 0 }; 1_100];
    });
    assert!(matches!(refusal, HeaderError::TooLong { found } if found > HEADER_MAX_BYTES));
}

#[test]
fn files_within_their_share_always_fit_beside_the_longest_rest() {
    let mut header = header();
    header.tasks[0].parameters = format!("{{\"a\":\"{}\"}}", "x".repeat(PARAMETERS_MAX_BYTES - 8));
    header.tasks[0].releases = vec![Digest::of(b"release"); RELEASES_MAX];
    header.chunk_size = CHUNK_SIZE_MAX;
    (header.not_after, header.files) = (u64::MAX, Vec::new());
    let mut left = FILES_MAX_ENCODED_BYTES;
    while left > 2 * NAME_MAX_BYTES {
        let file = FileEntry { name: vec![b'n'; NAME_MAX_BYTES], length: 1 << 31 };
        left -= file.encoded_bytes();
        header.files.push(file);
    }
    let pool: Vec<Recipient> = (0..POOL_RECIPIENTS_MAX).map(|_| Identity::generate().recipient()).collect();
    let sealed = header.seal(&pool).expect("it fits");
    assert!(sealed.as_bytes().len() + left <= HEADER_MAX_BYTES);
}

#[test]
fn names_of_any_bytes_are_kept_and_others_refused() {
    let mut header = header();
    header.files[0].name = b"line\nfeed \xff\xfe \0".to_vec();
    header.files[1].name = vec![0xff; NAME_MAX_BYTES];
    assert_same(&decode_header(&encode_header(&header)).expect("it decodes"), &header);

    assert_eq!(seal_refusal(|header| header.files[1].name.clear()), HeaderError::Name { index: 1, found: 0 });
    let refusal = seal_refusal(|header| header.files[2].name = vec![b'a'; NAME_MAX_BYTES + 1]);
    assert_eq!(refusal, HeaderError::Name { index: 2, found: 4_097 });
}

#[test]
fn releases_parameters_and_layout_are_bounded() {
    assert_eq!(seal_refusal(|header| header.tasks[0].releases.clear()), HeaderError::Releases { found: 0 });
    let seventeen = vec![Digest::of(b"release"); 17];
    assert_eq!(seal_refusal(|header| header.tasks[0].releases = seventeen), HeaderError::Releases { found: 17 });

    for text in ["", "null", "[]", "{", "{}{}", "{} x", "{\"a\":}", "\u{a0}{}"] {
        assert_eq!(
            seal_refusal(|header| header.tasks[0].parameters = text.to_owned()),
            HeaderError::Parameters,
            "{text}"
        );
    }
    let long = format!("{{}}{}", " ".repeat(PARAMETERS_MAX_BYTES - 1));
    assert_eq!(
        seal_refusal(|header| header.tasks[0].parameters = long),
        HeaderError::ParametersTooLong { found: (1 << 20) + 1 }
    );

    let layout = |change: fn(&mut Header)| match seal_refusal(change) {
        HeaderError::Layout(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(layout(|header| header.chunk_size = 65_537), LayoutError::ChunkSize { found: 65_537 });
    assert_eq!(layout(|header| header.files.clear()), LayoutError::NoFiles);
    assert_eq!(layout(|header| header.files[0].length = u64::MAX), LayoutError::TooManyBytes);
    let file = FileEntry { name: b"a".to_vec(), length: 0 };
    let mut crowded = header();
    crowded.files = vec![file; FILES_MAX + 1];
    let refusal = HeaderError::Layout(LayoutError::TooManyFiles);
    assert_eq!(crowded.seal(&[Identity::generate().recipient()]).err(), Some(refusal.clone()));
    assert_eq!(decode_header(&encode_header(&crowded)).err(), Some(refusal));
}

#[test]
fn parameters_nested_deeper_than_a_stack_do_no_harm() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let mut header = header();
    header.tasks[0].parameters = deep;
    assert!(decode_header(&encode_header(&header)).is_ok());
}

#[test]
fn sealing_takes_one_to_sixteen_recipients_of_the_pool() {
    let refusal = |pool: &[Recipient]| header().seal(pool).err();
    assert_eq!(refusal(&[]), Some(HeaderError::PoolRecipients { found: 0 }));
    let crowd = vec![Identity::generate().recipient(); 17];
    assert_eq!(refusal(&crowd), Some(HeaderError::PoolRecipients { found: 17 }));
    assert_eq!(refusal(&crowd[..16]), None);
}

#[test]
fn a_pool_that_is_the_uploader_itself_gets_one_stanza() {
    let scene = Scene::new(CHUNK_SIZE_MIN, &[1]);
    let sealed = scene.header.seal(&[scene.uploader.recipient()]).expect("it seals");
    let stanzas = sealed.as_bytes().windows(9).filter(|bytes| *bytes == b"-> X25519").count();
    assert_eq!(stanzas, 1);
    let error = Header::open(&sealed, std::slice::from_ref(&scene.pool)).err();
    assert_eq!(error, Some(HeaderError::Envelope(EnvelopeError::NoMatchingKey)));
}

#[test]
fn a_header_is_over_after_its_last_second() {
    let header = header();
    assert!(!header.is_expired(header.not_after));
    assert!(header.is_expired(header.not_after + 1));
    assert!(header.tasks[0].allows(&Digest::of(b"release one")));
    assert!(!header.tasks[0].allows(&Digest::of(b"release three")));
}

#[test]
fn debug_shows_no_secret() {
    let header = header();
    let shown = format!("{header:?} {:?} {:?}", header.files, header.key);
    assert!(!shown.contains("file 0") && !shown.contains("22, 22") && !shown.contains("70000"), "{shown}");
}

/// The plaintext of a header up to a field, written by hand; `rest` writes the others.
fn by_hand(fields: u64, until: u8, rest: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let header = header();
    let mut bytes = Vec::new();
    let e = &mut Encoder::new(&mut bytes);
    e.map(fields).expect("memory");
    for field in 1..until {
        e.u8(field).expect("memory");
        match field {
            1 => e.u8(1),
            2 => e.bytes(header.upload.as_bytes()),
            3 => e.bytes(header.key.expose_bytes()),
            4 => e.str(&header.uploader.to_string()),
            5 => e.array(1).and_then(|e| e.bytes(&[7; 32])),
            6 => e.str("{}"),
            7 => e.u32(CHUNK_SIZE_MIN),
            8 => e.u8(9),
            9 => e.array(1).and_then(|e| e.array(2)).and_then(|e| e.bytes(b"a")).and_then(|e| e.u8(1)),
            _ => unreachable!("nine fields"),
        }
        .expect("memory");
    }
    rest(e);
    bytes
}

fn by_hand_refusal(fields: u64, until: u8, rest: &[u8]) -> HeaderError {
    let bytes = by_hand(fields, until, |e| e.writer_mut().extend_from_slice(rest));
    decode_header(&bytes).expect_err("it is refused")
}

#[test]
fn fields_are_exactly_one_to_nine_in_order() {
    assert!(decode_header(&by_hand(9, 10, |_| ())).is_ok());
    assert_eq!(by_hand_refusal(10, 10, &[10, 0]), HeaderError::Fields { found: 10, expected: 9 });
    assert_eq!(by_hand_refusal(8, 9, &[]), HeaderError::Fields { found: 8, expected: 9 });
    assert_eq!(by_hand_refusal(9, 9, &[10, 0]), HeaderError::Key { expected: 9, found: 10 });
    assert_eq!(by_hand_refusal(9, 9, &[8, 9]), HeaderError::Key { expected: 9, found: 8 });
    assert_eq!(by_hand_refusal(9, 3, &[4, 0]), HeaderError::Key { expected: 3, found: 4 });
    assert_eq!(by_hand_refusal(9, 1, &[1, 3]), HeaderError::Version { found: 3 });
    assert_eq!(by_hand_refusal(9, 1, &[1, 2]), HeaderError::Fields { found: 9, expected: 10 });
    assert_eq!(by_hand_refusal(9, 10, &[0, 0]), HeaderError::Trailing { found: 2 });
}

#[test]
fn counts_that_no_bytes_stand_behind_allocate_nothing() {
    // 65,536 files, 2^32 files, 2^64 − 1 files, and a number that is left open.
    assert_eq!(by_hand_refusal(9, 9, &[9, 0x9a, 0, 1, 0, 0]), HeaderError::Malformed { field: "files" });
    for bomb in [&[9, 0x9a, 0xff, 0xff, 0xff, 0xff][..], &[9, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255]] {
        assert_eq!(by_hand_refusal(9, 9, bomb), HeaderError::Layout(LayoutError::TooManyFiles));
    }
    assert_eq!(by_hand_refusal(9, 9, &[9, 0x9f, 0xff]), HeaderError::NotDeterministic);
    assert_eq!(by_hand_refusal(9, 5, &[5, 0x9a, 255, 255, 255, 255]), HeaderError::Releases { found: u32::MAX.into() });
    // A name of 2^63 bytes.
    let name = [9, 0x81, 0x82, 0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(by_hand_refusal(9, 9, &name), HeaderError::Malformed { field: "file name" });
    assert_eq!(by_hand_refusal(9, 9, &[9, 0x81, 0x83, 0x41, b'a', 1, 1]), HeaderError::Malformed { field: "files" });
}

#[test]
fn another_encoding_of_the_same_header_is_refused() {
    // The same numbers in more bytes than they need, a text in pieces, a map without a number.
    assert_eq!(by_hand_refusal(9, 9, &[9, 0x81, 0x82, 0x41, b'a', 0x18, 1]), HeaderError::NotDeterministic);
    assert_eq!(by_hand_refusal(9, 9, &[9, 0x98, 1, 0x82, 0x41, b'a', 1]), HeaderError::NotDeterministic);
    assert_eq!(by_hand_refusal(9, 9, &[0x18, 9, 0x81, 0x82, 0x41, b'a', 1]), HeaderError::NotDeterministic);
    let mut open_map = by_hand(9, 10, |_| ());
    open_map[0] = 0xbf;
    open_map.push(0xff);
    assert_eq!(decode_header(&open_map).err(), Some(HeaderError::NotDeterministic));
    assert_eq!(
        by_hand_refusal(9, 6, &[6, 0x7f, 0x62, b'{', b'}', 0xff]),
        HeaderError::Malformed { field: "parameters" }
    );
}

#[test]
fn fields_of_another_type_are_named() {
    let malformed = |until, rest: &[u8]| match by_hand_refusal(9, until, rest) {
        HeaderError::Malformed { field } => field,
        other => panic!("{other}"),
    };
    assert_eq!(malformed(2, &[2, 0x41, 0]), "upload id");
    assert_eq!(malformed(3, &[3, 0x41, 0]), "data key");
    assert_eq!(malformed(4, &[4, 0x41, 0]), "uploader's recipient");
    assert_eq!(malformed(5, &[5, 0x81, 0x41, 0]), "release digest");
    assert_eq!(malformed(6, &[6, 0x62, 0xff, 0xff]), "parameters");
    assert_eq!(malformed(7, &[7, 0x20]), "chunk size");
    assert_eq!(malformed(8, &[8, 0xf6]), "not_after");
    assert!(matches!(by_hand_refusal(9, 4, &[4, 0x61, b'a']), HeaderError::Uploader(_)));
}
