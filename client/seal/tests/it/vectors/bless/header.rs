//! One header, and what is wrong with others.

use filemill_seal::fuzzing::{decode_header, encode_header};
use filemill_seal::{CHUNK_SIZE_MIN, DataKey, FileEntry, Format, Header, Identity, SealedHeader};

use super::{KEY, UPLOAD, refused, secret};
use crate::support::{age_recipient, task};
use crate::vectors::form::{HeaderCase, HeaderFile, Hex, RefusedHeader, write};

#[test]
#[ignore = "writes client/seal/vectors/header.json"]
fn bless_header() {
    let (pool, uploader) = (Identity::generate(), Identity::generate());
    let header = Header {
        format: Format::One,
        upload: UPLOAD,
        key: DataKey::from_bytes(KEY),
        uploader: uploader.recipient(),
        tasks: vec![task(&[b"release one", b"release two"])],
        organisation: Vec::new(),
        isolation: [].into(),
        chunk_size: CHUNK_SIZE_MIN,
        not_after: 1_800_000_000,
        files: vec![
            FileEntry { name: b"small.txt".to_vec(), length: 5 },
            FileEntry { name: b"empty".to_vec(), length: 0 },
            FileEntry { name: b"line\nfeed and \xff\xfe".to_vec(), length: 70_000 },
        ],
    };
    let sealed = header.seal(&[pool.recipient()]).expect("it seals");
    let recipient = age_recipient(&pool);
    let plaintext = encode_header(&header);
    let inside = |name: &str, plaintext: Vec<u8>| {
        let error = decode_header(&plaintext).expect_err(name);
        let sealed = Hex(age::encrypt(&recipient, &plaintext).expect("it encrypts"));
        refused(name, error, RefusedHeader { plaintext: Some(Hex(plaintext)), sealed })
    };
    let outside = |name: &str, sealed: Vec<u8>| {
        let stored = SealedHeader::from_bytes(sealed.clone()).expect("short enough");
        let error = Header::open(&stored, std::slice::from_ref(&pool)).expect_err(name);
        refused(name, error, RefusedHeader { plaintext: None, sealed: Hex(sealed) })
    };
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut plaintext = plaintext.clone();
        change(&mut plaintext);
        plaintext
    };
    let other = |change: fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        encode_header(&header)
    };
    let mut altered = sealed.as_bytes().to_vec();
    *altered.last_mut().expect("not empty") ^= 1;
    let refused = vec![
        outside("last byte altered", altered),
        outside("cut off", sealed.as_bytes()[..sealed.as_bytes().len() - 1].to_vec()),
        outside(
            "for a stranger",
            age::encrypt(&age_recipient(&Identity::generate()), &plaintext).expect("it encrypts"),
        ),
        inside("version 3", changed(|bytes| bytes[2] = 3)),
        inside("ten fields", changed(|bytes| bytes[0] = 0xaa)),
        inside("keys out of order", changed(|bytes| bytes[3] = 3)),
        inside("a byte behind the map", changed(|bytes| bytes.push(0))),
        inside("version in two bytes", changed(|bytes| drop(bytes.splice(2..3, [0x18, 1])))),
        inside(
            "a map without a count",
            changed(|bytes| {
                bytes[0] = 0xbf;
                bytes.push(0xff);
            }),
        ),
        inside("no release", other(|header| header.tasks[0].releases.clear())),
        inside("parameters that are no object", other(|header| header.tasks[0].parameters = "[]".to_owned())),
        inside("a chunk size that is no power of two", other(|header| header.chunk_size = 65_537)),
        inside("no file", other(|header| header.files.clear())),
        inside("a file without a name", other(|header| header.files[1].name.clear())),
        inside("a name of 4,097 bytes", other(|header| header.files[1].name = vec![b'n'; 4_097])),
        inside("more than 2^48 bytes", other(|header| header.files[0].length = 1 << 48)),
    ];
    let accepted = vec![HeaderCase {
        name: "three files".to_owned(),
        upload: header.upload,
        key: Hex(KEY.to_vec()),
        uploader: header.uploader.to_string(),
        releases: header.tasks[0].releases.clone(),
        parameters: header.tasks[0].parameters.clone(),
        chunk_size: header.chunk_size,
        not_after: header.not_after,
        files: header.files.iter().map(|file| (Hex(file.name.clone()), file.length)).collect(),
        plaintext: Hex(plaintext.clone()),
        sealed: Hex(sealed.as_bytes().to_vec()),
        digest: sealed.digest(),
    }];
    write(
        "header.json",
        &HeaderFile { pool_identity: secret(&pool), uploader_identity: secret(&uploader), accepted, refused },
    );
}
