//! Headers of format 2, and what is wrong with others.

use filemill_seal::fuzzing::{decode_header, encode_header};
use filemill_seal::{CHUNK_SIZE_MIN, DataKey, Digest, FileEntry, Format, Header, Identity, SealedHeader};

use super::{KEY, UPLOAD, refused, secret};
use crate::support::{age_recipient, task};
use crate::vectors::form::{HeaderTwoCase, HeaderTwoFile, Hex, RefusedHeader, write};

#[test]
#[ignore = "writes client/seal/vectors/header-2.json"]
fn bless_header_two() {
    let (pool, uploader, reader) = (Identity::generate(), Identity::generate(), Identity::generate());
    let header = Header {
        format: Format::Two,
        upload: UPLOAD,
        key: DataKey::from_bytes(KEY),
        uploader: uploader.recipient(),
        tasks: vec![task(&[b"release one", b"release two"]), task(&[b"release three"])],
        organisation: vec![reader.recipient()],
        isolation: ["attached".to_owned(), "container".to_owned()].into(),
        chunk_size: CHUNK_SIZE_MIN,
        not_after: 1_800_000_000,
        files: vec![
            FileEntry { name: b"small.txt".to_vec(), length: 5 },
            FileEntry { name: b"line\nfeed and \xff\xfe".to_vec(), length: 70_000 },
        ],
    };
    let recipient = age_recipient(&pool);
    let plaintext = encode_header(&header);
    let case = |name: &str, plaintext: Vec<u8>, sealed: SealedHeader| HeaderTwoCase {
        name: name.to_owned(),
        upload: header.upload,
        key: Hex(KEY.to_vec()),
        uploader: header.uploader.to_string(),
        tasks: header.tasks.iter().map(|task| (task.releases.clone(), task.parameters.clone())).collect(),
        organisation: header.organisation.iter().map(ToString::to_string).collect(),
        isolation: header.isolation.iter().cloned().collect(),
        chunk_size: header.chunk_size,
        not_after: header.not_after,
        files: header.files.iter().map(|file| (Hex(file.name.clone()), file.length)).collect(),
        plaintext: Hex(plaintext),
        digest: sealed.digest(),
        sealed: Hex(sealed.into_bytes()),
    };
    let sealed = |plaintext: &[u8]| {
        SealedHeader::from_bytes(age::encrypt(&recipient, plaintext).expect("it encrypts")).expect("short enough")
    };
    let more = |fields: u8, more: &[u8]| {
        let mut plaintext = [&plaintext, more].concat();
        plaintext[0] += fields;
        plaintext
    };
    let inside = |name: &str, plaintext: Vec<u8>| {
        let error = decode_header(&plaintext).expect_err(name);
        let sealed = Hex(sealed(&plaintext).into_bytes());
        refused(name, error, RefusedHeader { plaintext: Some(Hex(plaintext)), sealed })
    };
    let other = |change: fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        encode_header(&header)
    };
    let mut of_the_pool = header.clone();
    of_the_pool.organisation = vec![pool.recipient()];
    let of_the_pool = encode_header(&of_the_pool);
    let refusal_by_the_pool = {
        let sealed = sealed(&of_the_pool);
        let error = Header::open(&sealed, std::slice::from_ref(&pool)).expect_err("the pool's own");
        let what = RefusedHeader { plaintext: Some(Hex(of_the_pool)), sealed: Hex(sealed.into_bytes()) };
        refused("a recipient of the organisation that is the pool's", error, what)
    };
    let refused = vec![
        inside("a field below 100 that is not known", more(1, &[13, 0])),
        inside("field 99", more(1, &[0x18, 99, 0])),
        inside("field 100 twice", more(2, &[0x18, 100, 0, 0x18, 100, 0])),
        inside("fields from 100 on out of order", more(2, &[0x18, 101, 0, 0x18, 100, 0])),
        inside("field 100 in more bytes than it needs", more(1, &[0x19, 0, 100, 0])),
        inside("field 100 that is cut off", more(1, &[0x18, 100, 0x42, 0])),
        inside("no task", other(|header| header.tasks.clear())),
        inside("a task without a release", other(|header| header.tasks[1].releases.clear())),
        inside("17 tasks", other(|header| header.tasks = (0..17).map(|number| task(&[&[number]])).collect())),
        inside(
            "the same work in two tasks",
            other(|header| header.tasks[1].releases = vec![Digest::of(b"release two")]),
        ),
        inside("the same task twice", other(|header| header.tasks[1] = header.tasks[0].clone())),
        inside("parameters that are no object", other(|header| header.tasks[1].parameters = "[]".to_owned())),
        inside(
            "17 recipients of the organisation",
            other(|header| header.organisation = (0..17).map(|_| Identity::generate().recipient()).collect()),
        ),
        inside(
            "a recipient of the organisation twice",
            other(|header| header.organisation.push(header.organisation[0].clone())),
        ),
        inside(
            "a recipient of the organisation that is the uploader's",
            other(|header| header.organisation = vec![header.uploader.clone()]),
        ),
        refusal_by_the_pool,
        inside("a kind of isolation in capitals", other(|header| header.isolation.extend(["VM".to_owned()]))),
    ];
    let with_more = more(1, &[0x18, 100, 0xa1, 1, 0x61, b'x']);
    let accepted = vec![
        case("two tasks and a reader", plaintext.clone(), header.seal(&[pool.recipient()]).expect("it seals")),
        case("a field that is ignored", with_more.clone(), sealed(&with_more)),
    ];
    write(
        "header-2.json",
        &HeaderTwoFile {
            pool_identity: secret(&pool),
            uploader_identity: secret(&uploader),
            organisation_identity: secret(&reader),
            accepted,
            refused,
        },
    );
}
