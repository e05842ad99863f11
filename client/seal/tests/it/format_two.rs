//! A header of format 2 says more than one of format 1, and nothing that a reader must know is overlooked.

use filemill_seal::fuzzing::{decode_header, encode_header};
use filemill_seal::{
    CHUNK_SIZE_MIN, Digest, FILES_MAX, FileEntry, Format, HEADER_MAX_BYTES, Header, HeaderError, ISOLATION_MAX,
    Identity, ORGANISATION_RECIPIENTS_MAX, PARAMETERS_MAX_BYTES, RELEASES_MAX, Recipient, TASKS_MAX, Task,
};
use minicbor::Encoder;

use crate::support::{Scene, resized, task};

fn header() -> Header {
    Scene::of_format_two(CHUNK_SIZE_MIN, &[5, 0, 70_000]).0.header
}

fn seal_refusal(change: impl FnOnce(&mut Header)) -> HeaderError {
    let mut header = header();
    change(&mut header);
    // What cannot be sealed cannot be opened either, with the same reason.
    let refusal = header.seal(&[Identity::generate().recipient()]).expect_err("it is refused");
    assert_eq!(decode_header(&encode_header(&header)).expect_err("it is refused"), refusal);
    refusal
}

/// A header with fields behind those that it has, which stand at its end as they are.
fn with_more(header: &Header, fields: u8, more: &[u8]) -> Vec<u8> {
    let mut bytes = encode_header(header);
    assert_eq!(bytes[0], 0xaa, "a map of ten");
    bytes[0] += fields;
    bytes.extend_from_slice(more);
    bytes
}

#[test]
fn what_is_sealed_opens_to_the_same() {
    let (scene, _) = Scene::of_format_two(CHUNK_SIZE_MIN, &[5, 0, 70_000]);
    let sealed = scene.header.seal(&[scene.pool.recipient()]).expect("it seals");
    for identity in [&scene.pool, &scene.uploader] {
        let opened = Header::open(&sealed, std::slice::from_ref(identity)).expect("it opens");
        assert_eq!(encode_header(&opened), encode_header(&scene.header));
        assert_eq!((opened.format, &opened.tasks), (Format::Two, &scene.header.tasks));
        assert_eq!((&opened.organisation, &opened.isolation), (&scene.header.organisation, &scene.header.isolation));
        assert!(opened.task(1).is_some_and(|task| task.allows(&Digest::of(b"release three"))));
        assert!(opened.task(0).is_some_and(|task| !task.allows(&Digest::of(b"release three"))));
        assert!(opened.task(2).is_none());
    }
}

#[test]
fn the_organisation_reads_results_and_no_header() {
    let (scene, reader) = Scene::of_format_two(CHUNK_SIZE_MIN, &[5]);
    let sealed = scene.header.seal(&[scene.pool.recipient()]).expect("it seals");
    assert!(matches!(Header::open(&sealed, &[reader]), Err(HeaderError::Envelope(_))));
}

#[test]
fn a_field_from_100_on_is_ignored_and_any_other_refused() {
    // Key 100 with a number, key 101 with a map in an array, key 2^64 − 2 with a text.
    let mut more = vec![0x18, 100, 1, 0x18, 101, 0x81, 0xa1, 1, 2, 0x1b];
    more.extend((u64::MAX - 1).to_be_bytes());
    more.extend([0x61, b'x']);
    let header = header();
    let read = decode_header(&with_more(&header, 3, &more)).expect("it is read");
    assert_eq!(encode_header(&read), encode_header(&header));

    let with_more = |fields, more: &[u8]| with_more(&header, fields, more);
    let refusal = |fields, more: &[u8]| decode_header(&with_more(fields, more)).expect_err("it is refused");
    for found in [13, 23] {
        assert_eq!(refusal(1, &[found, 0]), HeaderError::Unknown { found: found.into(), least: 100 });
    }
    assert_eq!(refusal(1, &[0x18, 99, 0]), HeaderError::Unknown { found: 99, least: 100 });
    // Twice, and out of order.
    assert_eq!(refusal(2, &[0x18, 100, 0, 0x18, 100, 0]), HeaderError::Unknown { found: 100, least: 101 });
    assert_eq!(refusal(2, &[0x18, 101, 0, 0x18, 100, 0]), HeaderError::Unknown { found: 100, least: 102 });
    assert_eq!(refusal(1, &[0x19, 0, 100, 0]), HeaderError::NotDeterministic);
    assert_eq!(refusal(1, &[0x18, 100]), HeaderError::Malformed { field: "a field that is ignored" });
    assert_eq!(refusal(0, &[0x18, 100, 0]), HeaderError::Trailing { found: 3 });
    // What is ignored may hold anything, nested as deep as it likes.
    let deep: Vec<u8> = [&[0x18, 100][..], &[0x81; 50_000], &[0]].concat();
    assert!(decode_header(&with_more(1, &deep)).is_ok());
    for shorter in resized(&with_more(1, &[0x18, 100, 0x43, 1, 2, 3])) {
        assert!(decode_header(&shorter).is_err());
    }
}

#[test]
fn tasks_are_one_to_sixteen_and_none_is_the_same_work_twice() {
    assert_eq!(seal_refusal(|header| header.tasks.clear()), HeaderError::NoTask);
    let seventeen = (0..=TASKS_MAX as u8).map(|number| task(&[&[number]])).collect();
    let refusal = HeaderError::TooMany { field: "tasks", found: 17, max: TASKS_MAX };
    assert_eq!(seal_refusal(|header| header.tasks = seventeen), refusal);
    assert_eq!(seal_refusal(|header| header.tasks[1].releases.clear()), HeaderError::Releases { found: 0 });
    let crowd = (0..=RELEASES_MAX as u8).map(|number| Digest::of(&[number])).collect();
    assert_eq!(seal_refusal(|header| header.tasks[1].releases = crowd), HeaderError::Releases { found: 17 });

    let release = Digest::of(b"release two");
    let twice = HeaderError::ReleaseTwice { release };
    assert_eq!(seal_refusal(|header| header.tasks[1].releases = vec![release]), twice);
    assert_eq!(seal_refusal(|header| header.tasks[0].releases.push(release)), twice);
    // With other parameters it is other work.
    let mut header = header();
    header.tasks[1] = Task { releases: vec![release], parameters: r#"{"depth":4}"#.to_owned() };
    assert!(header.seal(&[Identity::generate().recipient()]).is_ok());
}

#[test]
fn parameters_and_jobs_of_all_tasks_together_are_bounded() {
    let half = format!("{{}}{}", " ".repeat(PARAMETERS_MAX_BYTES / 2));
    let refusal = seal_refusal(|header| header.tasks.iter_mut().for_each(|task| task.parameters.clone_from(&half)));
    assert_eq!(refusal, HeaderError::ParametersTooLong { found: PARAMETERS_MAX_BYTES + 4 });
    assert_eq!(seal_refusal(|header| header.tasks[1].parameters = "[]".to_owned()), HeaderError::Parameters);

    let files = |count| vec![FileEntry { name: b"a".to_vec(), length: 0 }; count];
    let refusal = seal_refusal(|header| header.files = files(FILES_MAX / 2 + 1));
    assert_eq!(refusal, HeaderError::TooManyJobs { files: FILES_MAX / 2 + 1, tasks: 2 });
    let mut header = header();
    header.files = files(FILES_MAX / 2);
    assert!(header.seal(&[Identity::generate().recipient()]).is_ok());
}

#[test]
fn the_organisations_recipients_are_its_own() {
    let crowd: Vec<_> = (0..=ORGANISATION_RECIPIENTS_MAX).map(|_| Identity::generate().recipient()).collect();
    let field = "recipients of the organisation";
    let refusal = HeaderError::TooMany { field, found: 17, max: ORGANISATION_RECIPIENTS_MAX };
    assert_eq!(seal_refusal(|header| header.organisation = crowd), refusal);
    let twice = |recipient: &Recipient| HeaderError::RecipientTwice { recipient: recipient.to_string() };
    let own = header().organisation[0].clone();
    assert_eq!(seal_refusal(|header| header.organisation = vec![own.clone(), own.clone()]), twice(&own));
    let mut of_uploader = header();
    of_uploader.organisation = vec![of_uploader.uploader.clone()];
    assert_eq!(of_uploader.seal(std::slice::from_ref(&own)).err(), Some(twice(&of_uploader.uploader)));

    // A pool that named itself: neither sealed nor opened.
    let (mut scene, _) = Scene::of_format_two(CHUNK_SIZE_MIN, &[5]);
    let (pool, other) = (scene.pool.recipient(), Identity::generate());
    scene.header.organisation = vec![pool.clone()];
    let refusal = HeaderError::PoolReadsResults { recipient: pool.to_string() };
    assert_eq!(scene.header.seal(&[other.recipient(), pool]).err(), Some(refusal.clone()));
    let careless = scene.header.seal(&[other.recipient()]).expect("nobody can know");
    let identities = [scene.pool.clone(), other.clone()];
    assert_eq!(Header::open(&careless, &identities).err(), Some(refusal));
    assert!(Header::open(&careless, &[other]).is_ok());
}

#[test]
fn a_recipient_of_small_order_and_a_name_that_is_none_are_refused() {
    let header = header();
    let plaintext = encode_header(&header);
    let replaced = |old: &str, new: &str| {
        assert_eq!(old.len(), new.len());
        let at = plaintext.windows(old.len()).position(|bytes| bytes == old.as_bytes()).expect("it is there");
        let mut bytes = plaintext.clone();
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        decode_header(&bytes).expect_err("it is refused")
    };
    let small = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").expect("a prefix"), &[0; 32]);
    let small = small.expect("it encodes");
    assert!(matches!(replaced(&header.organisation[0].to_string(), &small), HeaderError::Organisation(_)));
    for name in ["Container", "contain r", "containe/"] {
        assert_eq!(replaced("container", name), HeaderError::Isolation { found: name.to_owned() });
    }
    // In another order, or twice.
    assert_eq!(replaced("attached", "xttached"), HeaderError::NotDeterministic);
    let many = (0..=ISOLATION_MAX).map(|number| format!("kind-{number:02}")).collect();
    let refusal = HeaderError::TooMany { field: "kinds of isolation", found: 17, max: ISOLATION_MAX };
    assert_eq!(seal_refusal(|header| header.isolation = many), refusal);
}

#[test]
fn format_one_says_nothing_of_this() {
    type Change = fn(&mut Header);
    let changes: [Change; 3] = [
        |header| header.tasks.push(task(&[b"release three"])),
        |header| header.organisation.push(Identity::generate().recipient()),
        |header| header.isolation.extend(["container".to_owned()]),
    ];
    for change in changes {
        let mut header = Scene::new(CHUNK_SIZE_MIN, &[5]).header;
        change(&mut header);
        assert_eq!(header.seal(&[Identity::generate().recipient()]).err(), Some(HeaderError::NeedsFormatTwo));
    }
}

#[test]
fn the_longest_rest_leaves_files_their_share() {
    let mut header = header();
    let parameters = format!("{{\"a\":\"{}\"}}", "x".repeat(PARAMETERS_MAX_BYTES / TASKS_MAX - 8));
    let releases = |task: u8| (0..RELEASES_MAX as u8).map(|release| Digest::of(&[task, release])).collect();
    header.tasks =
        (0..TASKS_MAX as u8).map(|task| Task { releases: releases(task), parameters: parameters.clone() }).collect();
    header.organisation = (0..ORGANISATION_RECIPIENTS_MAX).map(|_| Identity::generate().recipient()).collect();
    header.isolation = (0..ISOLATION_MAX).map(|number| format!("{number:064}")).collect();
    let mut left = filemill_seal::FILES_MAX_ENCODED_BYTES;
    header.files.clear();
    while left > 2 * filemill_seal::NAME_MAX_BYTES {
        let file = FileEntry { name: vec![b'n'; filemill_seal::NAME_MAX_BYTES], length: 1 << 20 };
        left -= file.encoded_bytes();
        header.files.push(file);
    }
    let pool: Vec<_> = (0..filemill_seal::POOL_RECIPIENTS_MAX).map(|_| Identity::generate().recipient()).collect();
    let sealed = header.seal(&pool).expect("it fits");
    assert!(sealed.as_bytes().len() + left <= HEADER_MAX_BYTES);
}

#[test]
fn counts_that_no_bytes_stand_behind_allocate_nothing() {
    let mut known = encode_header(&header());
    let tasks = known.windows(2).rposition(|bytes| bytes == [10, 0x82]).expect("two tasks");
    known.truncate(tasks + 1);
    let refusal = |field: &[u8]| decode_header(&[&known, field].concat()).expect_err("it is refused");
    let found = u64::from(u32::MAX);
    let too_many = |field, found| HeaderError::TooMany { field, found, max: 16 };
    assert_eq!(refusal(&[0x9a, 255, 255, 255, 255]), too_many("tasks", found));
    assert_eq!(refusal(&[0x80, 11, 0x9a, 255, 255, 255, 255]), too_many("recipients of the organisation", found));
    assert_eq!(refusal(&[0x80, 11, 0x80, 12, 0x91]), too_many("kinds of isolation", 17));
    assert_eq!(refusal(&[0x9f]), HeaderError::NotDeterministic);
    assert_eq!(refusal(&[0x81, 0x83]), HeaderError::Malformed { field: "tasks" });
    let mut text = Vec::new();
    Encoder::new(&mut text).str("not a recipient").expect("memory");
    assert!(matches!(refusal(&[&[0x80, 11, 0x81], &text[..]].concat()), HeaderError::Organisation(_)));
}
