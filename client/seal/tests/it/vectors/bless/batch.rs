//! A batch of three results and one of one, and what is wrong with others.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use filemill_seal::fuzzing::authenticate_result;
use filemill_seal::{
    CHUNK_SIZE_MIN, DataKey, Digest, Expected, Format, Outcome, ResultBody, UploadId, open_batch, seal_batch,
};

use super::{KEY, UPLOAD, refused, secret};
use crate::support::{Scene, age_recipient};
use crate::vectors::form::{BatchFile, Hex, ResultCase, ResultText, write};

#[test]
#[ignore = "writes client/seal/vectors/batch.json"]
fn bless_batch() {
    let content = b"a\nbc\n";
    let (mut scene, reader) = Scene::of_format_two(CHUNK_SIZE_MIN, &[5, 5]);
    (scene.header.upload, scene.header.key) = (UPLOAD, DataKey::from_bytes(KEY));
    let digest = Digest::of(b"a sealed header");
    let jobs = vec![(0, 0), (0, 1), (1, 0)];
    let age_identity: age::x25519::Identity = scene.uploader.expose_secret().parse().expect("an identity");
    let expected = |jobs: &[(u32, u32)]| -> Vec<Expected<'_>> {
        let of = |(task, index)| Expected::from_header(&scene.header, digest, task, index).expect("such a job");
        jobs.iter().copied().map(of).map(|job| Expected { sha256: Some(Digest::of(content)), ..job }).collect()
    };
    let succeeded = scene.succeeded(digest, 0, content);
    let mut void = scene.succeeded(digest, 1, content);
    (void.outcome, void.input, void.report, void.release) = (Outcome::Void, None, None, None);
    void.failure = Some(filemill_seal::Failure { kind: "void".to_owned(), message: "the file changed".to_owned() });
    let of_task_one = ResultBody { task: 1, release: Some(Digest::of(b"release three")), ..succeeded.clone() };
    let bodies = [succeeded, void, of_task_one];

    let text = |sealed: Vec<u8>| {
        let plaintext = age::decrypt(&age_identity, &sealed).expect("it opens");
        ResultText { plaintext: String::from_utf8(plaintext).expect("text"), sealed: Hex(sealed) }
    };
    let good = text(seal_batch(&bodies, &scene.header).expect("it seals"));
    // Its members, and how they are put together again.
    let members = |batch: &str| {
        let (_, mut rest) = batch.split_once('\n').expect("a first line");
        let mut members = Vec::new();
        while let Some((length, behind)) = rest.split_once('\n') {
            let (member, behind) = behind.split_at(length.parse().expect("a number"));
            members.push(member.to_owned());
            rest = behind;
        }
        members
    };
    let together = |upload: UploadId, members: &[&String]| {
        let first = format!("filemill-results/2 {upload} {}\n", members.len());
        members.iter().fold(first, |batch, member| format!("{batch}{}\n{member}", member.len()))
    };
    let authentic = |member: &str, from: &str, to: &str| {
        let (_, body) = member.split_once('\n').expect("two lines");
        let body = body.replace(from, to);
        let text = authenticate_result(body.as_bytes(), &scene.header.key, &UPLOAD, Format::Two);
        String::from_utf8(text).expect("text")
    };
    let refuse = |name: &str, plaintext: String| {
        let sealed = age::encrypt(&age_recipient(&scene.uploader), plaintext.as_bytes()).expect("it encrypts");
        let opened = open_batch(&sealed, std::slice::from_ref(&scene.uploader));
        let error = opened.and_then(|batch| batch.verify(&scene.header.key, &expected(&jobs))).expect_err(name);
        refused(name, error, text(sealed))
    };
    let [a, b, c] = &members(&good.plaintext)[..] else { panic!("three members") };
    let earlier = members(&text(seal_batch(&bodies, &scene.header).expect("it seals")).plaintext);
    let refused = vec![
        refuse("two members swapped", together(UPLOAD, &[b, a, c])),
        refuse("a member left out", together(UPLOAD, &[a, b])),
        refuse("a member twice", together(UPLOAD, &[a, b, b])),
        refuse("a member of another batch", together(UPLOAD, &[a, &earlier[1], c])),
        refuse(
            "a member in another's place",
            together(UPLOAD, &[a, b, &authentic(c, "\"position\":2", "\"position\":1")]),
        ),
        refuse("another number of members", together(UPLOAD, &[a, b, &authentic(c, "\"members\":3", "\"members\":4")])),
        refuse("a member without a place", together(UPLOAD, &[a, b, &authentic(c, "\"position\":2,", "")])),
        refuse("a member of another task", together(UPLOAD, &[a, b, &authentic(c, "\"task\":1", "\"task\":2")])),
        refuse("a member altered", together(UPLOAD, &[a, b, &c.replace("\"lines\": 1", "\"lines\": 2")])),
        refuse("for another upload", together(UploadId::from_bytes([0; 16]), &[a, b, c])),
        refuse("more members than it has", good.plaintext.replacen(" 3\n", " 4\n", 1)),
        refuse("fewer members than it has", good.plaintext.replacen(" 3\n", " 2\n", 1)),
        refuse("a number with a zero before it", good.plaintext.replacen(" 3\n", " 03\n", 1)),
        refuse("something behind it", format!("{}\n", good.plaintext)),
        refuse("a single result", a.clone()),
    ];
    let hmac_key = {
        let mut bytes = vec![0; 32];
        let secret = Salt::new(HKDF_SHA256, UPLOAD.as_bytes()).extract(&KEY);
        secret.expand(&[b"filemill/2 result"], HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes)).expect("32 bytes");
        Hex(bytes)
    };
    write(
        "batch.json",
        &BatchFile {
            uploader_identity: secret(&scene.uploader),
            organisation_identity: secret(&reader),
            key: Hex(KEY.to_vec()),
            hmac_key,
            upload: UPLOAD,
            header: digest,
            tasks: scene.header.tasks.iter().map(|task| task.releases.clone()).collect(),
            jobs: jobs.clone(),
            length: 5,
            sha256: Digest::of(content),
            accepted: vec![ResultCase { name: "three results of two tasks".to_owned(), what: good }],
            refused,
        },
    );
}
