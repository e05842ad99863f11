//! A batch is believed as a whole or not at all.

use aws_lc_rs::{hkdf, hmac};
use filemill_seal::fuzzing::parse_batch;
use filemill_seal::{
    BATCH_MAX, CHUNK_SIZE_MIN, DataKey, Digest, EnvelopeError, Expected, Identity, Member, RESULT_MAX_BYTES, Report,
    ResultBody, ResultError, UploadId, member_bytes, open_batch, open_result, seal_batch, seal_result,
};

use crate::support::{Scene, age_recipient, nothing_else_is_taken};

const CONTENT: &[u8] = b"a\nbc\n";
const JOBS: [(u32, u32); 3] = [(0, 0), (0, 1), (0, 2)];

/// An upload of three files with the same content, and a reader of its organisation.
fn scene() -> (Scene, Identity, Digest) {
    let (scene, reader) = Scene::of_format_two(CHUNK_SIZE_MIN, &[5, 5, 5]);
    (scene, reader, Digest::of(b"the sealed header"))
}

fn bodies(scene: &Scene, digest: Digest) -> Vec<ResultBody> {
    JOBS.iter().map(|(_, index)| scene.succeeded(digest, *index, CONTENT)).collect()
}

fn expected<'a>(scene: &'a Scene, digest: Digest, jobs: &[(u32, u32)]) -> Vec<Expected<'a>> {
    let of = |(task, index)| Expected::from_header(&scene.header, digest, task, index).expect("such a job");
    jobs.iter().copied().map(of).map(|job| Expected { sha256: Some(Digest::of(CONTENT)), ..job }).collect()
}

fn verify(scene: &Scene, digest: Digest, plaintext: &[u8]) -> Result<Vec<Member>, ResultError> {
    parse_batch(plaintext)?.verify(&scene.header.key, &expected(scene, digest, &JOBS))
}

/// The plaintext of a batch that was sealed as it should be.
fn plaintext(scene: &Scene, bodies: &[ResultBody]) -> Vec<u8> {
    let age_identity: age::x25519::Identity = scene.uploader.expose_secret().parse().expect("an identity");
    age::decrypt(&age_identity, &seal_batch(bodies, &scene.header).expect("it seals")).expect("a plain age file")
}

/// Its members, taken apart straight from the protocol.
fn members(plaintext: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(plaintext).expect("text");
    let (_, mut rest) = text.split_once('\n').expect("a first line");
    let mut members = Vec::new();
    while let Some((length, behind)) = rest.split_once('\n') {
        let (member, behind) = behind.split_at(length.parse().expect("a number"));
        members.push(member.as_bytes().to_vec());
        rest = behind;
    }
    members
}

/// A batch of these members.
fn put_together(upload: UploadId, members: &[Vec<u8>]) -> Vec<u8> {
    let mut plaintext = format!("filemill-results/2 {upload} {}\n", members.len()).into_bytes();
    for member in members {
        plaintext.extend_from_slice(format!("{}\n", member.len()).as_bytes());
        plaintext.extend_from_slice(member);
    }
    plaintext
}

/// A member with other text, authenticated as whoever has the data key can.
fn changed(scene: &Scene, member: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, scene.header.upload.as_bytes())
        .extract(scene.header.key.expose_bytes())
        .expand(&[b"filemill/2 result"], hmac::HMAC_SHA256)
        .map(hmac::Key::from)
        .expect("32 bytes");
    let text = std::str::from_utf8(member).expect("text");
    let body = change(text.split_once('\n').expect("two lines").1.to_owned());
    let tag = data_encoding::HEXLOWER.encode(hmac::sign(&key, body.as_bytes()).as_ref());
    format!("filemill-result/2 {tag}\n{body}").into_bytes()
}

#[test]
fn each_member_is_a_result_by_itself_for_whoever_has_verified_the_batch_before() {
    let (scene, _, digest) = scene();
    let bodies = bodies(&scene, digest);
    let sealed = seal_batch(&bodies, &scene.header).expect("it seals");
    let opened = open_batch(&sealed, std::slice::from_ref(&scene.uploader)).expect("it opens");
    let expected = expected(&scene, digest, &JOBS);
    for ((result, expected), body) in opened.into_results().into_iter().zip(&expected).zip(&bodies) {
        let member = result.verify_alone(&scene.header.key, expected).expect("it is good");
        assert_eq!(member.body(), body);
        let kept = member.seal_for(&scene.uploader.recipient());
        let kept = open_result(&kept, std::slice::from_ref(&scene.uploader)).expect("it opens");
        assert_eq!(kept.verify(&scene.header.key, expected).as_ref(), Ok(body));
    }
    let opened = open_batch(&sealed, std::slice::from_ref(&scene.uploader)).expect("it opens");
    let first = opened.into_results().swap_remove(0);
    let refused = first.verify_alone(&scene.header.key, &expected[1]).expect_err("of another file");
    assert_eq!(refused, ResultError::OtherFile { expected: 1, found: 0 });
}

#[test]
fn uploader_and_organisation_open_it_and_nobody_else() {
    let (scene, reader, digest) = scene();
    let bodies = bodies(&scene, digest);
    let sealed = seal_batch(&bodies, &scene.header).expect("it seals");
    for identity in [&scene.uploader, &reader] {
        let batch = open_batch(&sealed, std::slice::from_ref(identity)).expect("it opens");
        assert_eq!(batch.claimed_upload(), scene.header.upload);
        assert!(batch.claimed_jobs().eq(JOBS));
        let members = batch.verify(&scene.header.key, &expected(&scene, digest, &JOBS)).expect("it verifies");
        assert!(members.iter().map(Member::body).eq(&bodies));
    }
    for other in [&scene.pool, &scene.stranger] {
        let error = open_batch(&sealed, std::slice::from_ref(other)).err();
        assert_eq!(error, Some(ResultError::Envelope(EnvelopeError::NoMatchingKey)));
    }
}

#[test]
fn what_a_result_takes_in_a_batch_is_known_before_it_is_sealed() {
    let (scene, _, digest) = scene();
    let bodies = bodies(&scene, digest);
    let sealed = members(&plaintext(&scene, &bodies));
    for (body, member) in bodies.iter().zip(sealed) {
        let (most, real) = (member_bytes(body), format!("{}\n", member.len()).len() + member.len());
        assert!((real..real + 64).contains(&most), "{most} for {real}");
    }
}

#[test]
fn results_of_several_tasks_go_together_and_each_is_of_its_tasks_releases() {
    let (scene, _, digest) = scene();
    let second =
        ResultBody { task: 1, release: Some(Digest::of(b"release three")), ..scene.succeeded(digest, 0, CONTENT) };
    let jobs = [(0, 0), (1, 0)];
    let deliver = |second: ResultBody| {
        let sealed = seal_batch(&[scene.succeeded(digest, 0, CONTENT), second], &scene.header).expect("it seals");
        open_batch(&sealed, std::slice::from_ref(&scene.uploader))?
            .verify(&scene.header.key, &expected(&scene, digest, &jobs))
    };
    assert!(deliver(second.clone()).is_ok());
    let release = Digest::of(b"release two");
    let error = deliver(ResultBody { release: Some(release), ..second.clone() }).err();
    assert_eq!(error, Some(ResultError::ReleaseNotAllowed { release }));
    assert_eq!(
        deliver(ResultBody { index: 1, ..second }).err(),
        Some(ResultError::OtherFile { expected: 0, found: 1 })
    );
}

#[test]
fn what_is_kept_of_it_is_the_same_text_for_its_owner() {
    let (scene, _, digest) = scene();
    let plaintext = plaintext(&scene, &bodies(&scene, digest));
    let verified = verify(&scene, digest, &plaintext).expect("it verifies");
    let owner = Identity::generate();
    let kept = verified[1].seal_for(&owner.recipient());
    let age_identity: age::x25519::Identity = owner.expose_secret().parse().expect("an identity");
    assert_eq!(age::decrypt(&age_identity, &kept).expect("a plain age file"), members(&plaintext)[1]);
    let opened = open_result(&kept, &[owner]).expect("it opens");
    assert_eq!((opened.claimed_task(), opened.claimed_index()), (0, 1));
    let job = &expected(&scene, digest, &JOBS)[1];
    assert_eq!(opened.verify(&scene.header.key, job).as_ref(), Ok(verified[1].body()));
}

#[test]
fn a_result_is_of_the_format_of_its_header() {
    let (scene, _, digest) = scene();
    let sealed = seal_result(&scene.succeeded(digest, 0, CONTENT), &scene.header.key, &scene.header.uploader);
    let opened = open_result(&sealed.expect("it seals"), std::slice::from_ref(&scene.uploader)).expect("it opens");
    let job = &expected(&scene, digest, &JOBS)[0];
    assert_eq!(opened.verify(&scene.header.key, job).err(), Some(ResultError::OtherFormat { expected: 2, found: 1 }));
    let of_second_task = ResultBody { task: 1, ..scene.succeeded(digest, 0, CONTENT) };
    let refusal = seal_result(&of_second_task, &scene.header.key, &scene.header.uploader);
    assert!(matches!(refusal, Err(ResultError::Inconsistent { .. })));
}

#[test]
fn no_changed_bit_and_no_other_length_is_opened() {
    let (scene, _, digest) = scene();
    let bodies = &bodies(&scene, digest)[..1];
    let sealed = seal_batch(bodies, &scene.header).expect("it seals");
    nothing_else_is_taken(&sealed, |bytes| open_batch(bytes, std::slice::from_ref(&scene.uploader)).is_ok());
}

#[test]
fn no_changed_bit_inside_is_believed_by_whoever_seals_it_again() {
    let (scene, _, digest) = scene();
    let plaintext = plaintext(&scene, &bodies(&scene, digest));
    nothing_else_is_taken(&plaintext, |plaintext| verify(&scene, digest, plaintext).is_ok());
}

#[test]
fn members_that_were_swapped_left_out_repeated_or_brought_are_noticed() {
    let (scene, _, digest) = scene();
    let bodies = bodies(&scene, digest);
    let [a, b, c] = &members(&plaintext(&scene, &bodies))[..] else { panic!("three members") };
    // Another batch for the same jobs: an earlier lease's, say.
    let earlier = members(&plaintext(&scene, &bodies));
    let verify = |members: &[&Vec<u8>]| {
        let members: Vec<_> = members.iter().copied().cloned().collect();
        verify(&scene, digest, &put_together(scene.header.upload, &members)).map(|members| members.len())
    };
    assert_eq!(verify(&[a, b, c]), Ok(3));
    assert_eq!(verify(&[a, c, b]), Err(ResultError::OtherFile { expected: 1, found: 2 }));
    let batch = |what| Err(ResultError::Batch { what });
    assert_eq!(verify(&[a, b]), batch("it has not as many members as there should be results"));
    assert_eq!(verify(&[a, b, b]), batch("two members are of one job"));
    assert_eq!(verify(&[a, b, c, c]), batch("it has not as many members as there should be results"));
    assert_eq!(verify(&[a, &earlier[1], c]), batch("a member is of another batch"));
    // By somebody with the data key, who takes less care.
    let moved = changed(&scene, c, |text| text.replace("\"position\":2", "\"position\":1"));
    assert_eq!(verify(&[a, b, &moved]), batch("a member is in another's place"));
    let alone = changed(&scene, c, |text| text.replace("\"members\":3", "\"members\":1"));
    assert_eq!(verify(&[a, b, &alone]), batch("a member is missing, or one too many"));
    let without = changed(&scene, c, |text| text.replace("\"position\":2,", ""));
    assert!(matches!(verify(&[a, b, &without]), Err(ResultError::Malformed { .. })));
    let foreign = changed(&scene, c, |text| text.replace(&scene.header.upload.to_string(), &"ab".repeat(16)));
    let upload = UploadId::from_bytes([0xab; 16]);
    assert_eq!(
        verify(&[a, b, &foreign]),
        Err(ResultError::OtherUpload { expected: scene.header.upload, found: upload })
    );
    let header = changed(&scene, c, |text| text.replace(&digest.to_string(), &"cd".repeat(32)));
    assert!(matches!(verify(&[a, b, &header]), Err(ResultError::OtherHeader { .. })));
}

#[test]
fn a_part_of_what_was_sealed_is_no_batch_of_its_own() {
    let (scene, _, digest) = scene();
    let sealed = members(&plaintext(&scene, &bodies(&scene, digest)));
    let two = put_together(scene.header.upload, &sealed[..2]);
    let error =
        parse_batch(&two).and_then(|batch| batch.verify(&scene.header.key, &expected(&scene, digest, &JOBS[..2])));
    assert_eq!(error.err(), Some(ResultError::Batch { what: "a member is missing, or one too many" }));
}

#[test]
fn whoever_holds_no_data_key_is_not_believed() {
    let (scene, _, digest) = scene();
    let mut forger = scene.header.clone();
    forger.key = DataKey::random();
    let forged = seal_batch(&bodies(&scene, digest), &forger).expect("it seals");
    let opened = open_batch(&forged, std::slice::from_ref(&scene.uploader)).expect("it opens");
    let error = opened.verify(&scene.header.key, &expected(&scene, digest, &JOBS)).err();
    assert_eq!(error, Some(ResultError::Forged));
}

#[test]
fn a_batch_is_of_one_upload_and_of_one_to_64_results() {
    let (scene, _, digest) = scene();
    let body = scene.succeeded(digest, 0, CONTENT);
    let seal = |bodies: &[ResultBody]| seal_batch(bodies, &scene.header).map(drop);
    let many: Vec<_> = (0..=BATCH_MAX as u32).map(|index| ResultBody { index, ..body.clone() }).collect();
    assert_eq!(seal(&many[..BATCH_MAX]), Ok(()));
    let refusal = |what| Err(ResultError::Batch { what });
    assert_eq!(seal(&many), refusal("it has no member, or too many"));
    assert_eq!(seal(&[]), refusal("it has no member, or too many"));
    assert_eq!(seal(&[body.clone(), body.clone()]), refusal("two members are of one job"));
    let foreign = ResultBody { upload: UploadId::random(), index: 1, ..body.clone() };
    assert_eq!(seal(&[body.clone(), foreign]), refusal("a member is of another upload"));

    let long = |index| {
        let report =
            Report::from_json(format!("{{\"a\":\"{}\"}}", "x".repeat(RESULT_MAX_BYTES / 2))).expect("an object");
        ResultBody { index, report: Some(report), ..body.clone() }
    };
    assert_eq!(seal(&[long(0)]), Ok(()));
    assert!(matches!(seal(&[long(0), long(1)]), Err(ResultError::TooLong { found }) if found > RESULT_MAX_BYTES));
}

#[test]
fn what_is_no_batch_is_called_that() {
    let (scene, _, digest) = scene();
    let upload = scene.header.upload;
    let member = members(&plaintext(&scene, &bodies(&scene, digest)))[0].clone();
    let line = |text: String| [text.as_bytes(), format!("{}\n", member.len()).as_bytes(), &member].concat();
    let refusal = |plaintext: &[u8]| parse_batch(plaintext).expect_err("it is refused");
    for text in [
        String::new(),
        "filemill-results/1 x 1\n".to_owned(),
        format!("filemill-results/2 {upload}\n"),
        format!("filemill-results/2 {upload} 0\n"),
        format!("filemill-results/2 {upload} 65\n"),
        format!("filemill-results/2 {upload} 01\n"),
        format!("filemill-results/2 {upload} +1\n"),
        format!("filemill-results/2 {upload} 1 \n"),
        format!("filemill-results/2 {} 1\n", "AB".repeat(16)),
        format!("filemill-results/2 {upload} {}\n", "1".repeat(100)),
    ] {
        assert_eq!(refusal(&line(text.clone())), ResultError::NotABatch, "{text}");
    }
    let batch = |rest: &str| format!("filemill-results/2 {upload} 1\n{rest}").into_bytes();
    for rest in ["", "5", "0005\n", "-1\n", "99999999999999999999\n", "16777216\nx"] {
        assert_eq!(refusal(&batch(rest)), ResultError::Batch { what: "a member is cut off" }, "{rest}");
    }
    assert_eq!(refusal(&batch("0\n")), ResultError::NotAResult);
    // A single result of format 1 among them.
    let sealed = seal_result(&scene.succeeded(digest, 0, CONTENT), &scene.header.key, &scene.header.uploader);
    let age_identity: age::x25519::Identity = scene.uploader.expose_secret().parse().expect("an identity");
    let old = age::decrypt(&age_identity, &sealed.expect("it seals")).expect("a plain age file");
    let mixed = put_together(upload, &[old]);
    assert_eq!(refusal(&mixed), ResultError::Batch { what: "a member is of another format" });

    let recipient = age_recipient(&scene.uploader);
    let sealed = age::encrypt(&recipient, b"filemill-results/9").expect("it encrypts");
    assert_eq!(open_batch(&sealed, &[scene.uploader]).err(), Some(ResultError::NotABatch));
}
