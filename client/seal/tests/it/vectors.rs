//! The test vectors in `client/seal/vectors` open to what they say, or are refused as they say.

mod bless;
mod form;

use aws_lc_rs::hkdf;
use filemill_seal::fuzzing::{encode_header, parse_batch, result_json};
use filemill_seal::{
    ChunkOpener, ChunkShape, DataKey, Decompressor, Digest, Enrolment, Expected, Format, Header, HeaderError, Identity,
    Layout, PoolRoot, SealedHeader, open_batch, open_result,
};
use form::{BatchFile, ChunkFile, HeaderFile, HeaderTwoFile, LayoutCase, PlacedChunk, ResultFile, StatementFile, read};

fn identity(text: &str) -> Identity {
    text.parse().expect("an identity")
}

#[test]
fn layout() {
    for case in read::<Vec<LayoutCase>>("layout.json") {
        let layout = Layout::new(case.chunk_size, case.lengths.iter().copied()).expect("a layout");
        assert_eq!(layout_of(&layout), (case.files, case.chunks, case.jobs), "{}", case.name);
    }
}

type Pairs = Vec<(u32, u32)>;
type Jobs = Vec<(u32, u32, u32, u32)>;

/// What a layout vector says, from the layout.
fn layout_of(layout: &Layout) -> (Pairs, Pairs, Jobs) {
    let files = (0..layout.file_count()).filter_map(|index| layout.span(index));
    let chunks = (0..layout.chunk_count()).filter_map(|sequence| layout.shape(sequence));
    (
        files.map(|span| (span.first_chunk, span.last_chunk)).collect(),
        chunks.map(|shape| (shape.length, shape.verdicts)).collect(),
        layout.job_ranges().map(|job| (job.first_index, job.count, job.first_chunk, job.last_chunk)).collect(),
    )
}

#[test]
fn header() {
    let file: HeaderFile = read("header.json");
    let open = |bytes: &[u8], identity: Identity| Header::open(&SealedHeader::from_bytes(bytes.to_vec())?, &[identity]);
    for case in file.accepted {
        for key in [&file.pool_identity, &file.uploader_identity] {
            let header = open(&case.sealed.0, identity(key)).expect("it opens");
            assert_eq!(header.upload, case.upload);
            assert_eq!(header.key.expose_bytes()[..], case.key.0);
            assert_eq!(header.uploader.to_string(), case.uploader);
            let [task] = &header.tasks[..] else { panic!("a header of format 1 has one task") };
            assert_eq!((&task.releases, &task.parameters), (&case.releases, &case.parameters));
            assert_eq!((header.chunk_size, header.not_after), (case.chunk_size, case.not_after));
            let files: Vec<_> = header.files.iter().map(|file| (&file.name, file.length)).collect();
            assert_eq!(files, case.files.iter().map(|(name, length)| (&name.0, *length)).collect::<Vec<_>>());
            assert_eq!(encode_header(&header), case.plaintext.0);
        }
        assert_eq!(Digest::of(&case.sealed.0), case.digest);
    }
    for refused in file.refused {
        let error: HeaderError = open(&refused.what.sealed.0, identity(&file.pool_identity)).expect_err(&refused.name);
        assert_eq!(error.to_string(), refused.message, "{}", refused.name);
        assert!(!error.hint().is_empty());
    }
}

fn shape(at: &PlacedChunk) -> ChunkShape {
    ChunkShape { sequence: at.sequence, last: at.last, length: at.length, verdicts: at.verdicts }
}

#[test]
fn chunk() {
    let file: ChunkFile = read("chunk.json");
    let opener = ChunkOpener::new(&DataKey::from_bytes(file.key.key()), file.upload, file.header);
    let mut decompressor = Decompressor::new();
    for case in file.accepted {
        let opened = opener.open(&shape(&case.at), case.at.sealed.0.clone(), &mut decompressor).expect(&case.name);
        assert_eq!(opened.data(), case.data.0, "{}", case.name);
        assert_eq!(bless::encode_verdicts(opened.verdicts()), case.encoded_verdicts.0, "{}", case.name);
        assert_eq!(case.at.sealed.0[4], case.codec, "{}", case.name);
    }
    for refused in file.refused {
        let opened = opener.open(&shape(&refused.what), refused.what.sealed.0, &mut decompressor);
        let error = opened.expect_err(&refused.name);
        assert_eq!(error.to_string(), refused.message, "{}", refused.name);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn result() {
    let file: ResultFile = read("result.json");
    let key = DataKey::from_bytes(file.key.key());
    let mut hmac_key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, file.upload.as_bytes())
        .extract(key.expose_bytes())
        .expand(&[b"filemill/1 result"], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut hmac_key))
        .expect("32 bytes");
    assert_eq!(hmac_key[..], file.hmac_key.0);

    let expected = Expected {
        format: Format::One,
        task: 0,
        upload: file.upload,
        index: file.index,
        header: file.header,
        releases: &file.releases,
        length: file.length,
        sha256: Some(file.sha256),
    };
    let verify = |sealed: &[u8]| open_result(sealed, &[identity(&file.uploader_identity)])?.verify(&key, &expected);
    for case in &file.accepted {
        let body = verify(&case.what.sealed.0).expect(&case.name);
        let (_, text) = case.what.plaintext.split_once('\n').expect("two lines");
        let again: serde_json::Value = serde_json::from_str(&result_json(&body)).expect("JSON");
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).expect("JSON"), "{}", case.name);
    }
    for refused in &file.refused {
        let error = verify(&refused.what.sealed.0).expect_err(&refused.name);
        assert_eq!(error.to_string(), refused.message, "{}", refused.name);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn header_of_format_two() {
    let file: HeaderTwoFile = read("header-2.json");
    let (pool, uploader) = (identity(&file.pool_identity), identity(&file.uploader_identity));
    for case in &file.accepted {
        let sealed = SealedHeader::from_bytes(case.sealed.0.clone()).expect("short enough");
        assert_eq!(sealed.digest(), case.digest);
        let header = Header::open(&sealed, std::slice::from_ref(&pool)).expect(&case.name);
        assert_eq!(
            (header.format, header.upload, header.key.expose_bytes()),
            (Format::Two, case.upload, &case.key.key())
        );
        assert_eq!((&header.uploader, header.uploader.to_string()), (&uploader.recipient(), case.uploader.clone()));
        let tasks: Vec<_> = header.tasks.iter().map(|task| (task.releases.clone(), task.parameters.clone())).collect();
        assert_eq!(tasks, case.tasks);
        assert!(header.organisation.iter().map(ToString::to_string).eq(case.organisation.iter().cloned()));
        assert!(header.isolation.iter().eq(&case.isolation));
        assert_eq!((header.chunk_size, header.not_after), (case.chunk_size, case.not_after));
        assert!(
            header
                .files
                .iter()
                .map(|file| (&file.name, file.length))
                .eq(case.files.iter().map(|(name, length)| (&name.0, *length)))
        );
        // What is ignored stands behind what is read.
        assert!(case.plaintext.0[1..].starts_with(&encode_header(&header)[1..]), "{}", case.name);
    }
    let reader = identity(&file.organisation_identity);
    let sealed = SealedHeader::from_bytes(file.accepted[0].sealed.0.clone()).expect("short enough");
    assert!(Header::open(&sealed, &[reader]).is_err(), "the organisation reads results, and no header");
    for refused in &file.refused {
        let sealed = SealedHeader::from_bytes(refused.what.sealed.0.clone()).expect("short enough");
        let error = Header::open(&sealed, std::slice::from_ref(&pool)).expect_err(&refused.name);
        assert_eq!(error.to_string(), refused.message, "{}", refused.name);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn batch() {
    let file: BatchFile = read("batch.json");
    let key = DataKey::from_bytes(file.key.key());
    let mut hmac_key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, file.upload.as_bytes())
        .extract(key.expose_bytes())
        .expand(&[b"filemill/2 result"], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut hmac_key))
        .expect("32 bytes");
    assert_eq!(hmac_key[..], file.hmac_key.0);
    let expected: Vec<_> = file
        .jobs
        .iter()
        .map(|(task, index)| Expected {
            format: Format::Two,
            upload: file.upload,
            task: *task,
            index: *index,
            header: file.header,
            releases: &file.tasks[*task as usize],
            length: file.length,
            sha256: Some(file.sha256),
        })
        .collect();
    let verify = |sealed: &[u8], secret: &str| open_batch(sealed, &[identity(secret)])?.verify(&key, &expected);
    for case in &file.accepted {
        for secret in [&file.uploader_identity, &file.organisation_identity] {
            let members = verify(&case.what.sealed.0, secret).expect(&case.name);
            assert!(
                members.iter().map(|member| (member.body().task, member.body().index)).eq(file.jobs.iter().copied())
            );
        }
        let batch = parse_batch(case.what.plaintext.as_bytes()).expect(&case.name);
        assert!(batch.verify(&key, &expected).is_ok(), "{}", case.name);
    }
    for refused in &file.refused {
        let error = verify(&refused.what.sealed.0, &file.uploader_identity).expect_err(&refused.name);
        assert_eq!(error.to_string(), refused.message, "{}", refused.name);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn statement() {
    let file: StatementFile = read("statement.json");
    let enrolment = Enrolment::from_json(&file.enrolment).expect("an enrolment");
    let root = PoolRoot::from_seed(&file.root_seed.key());
    assert_eq!(root.enrolment(enrolment.pool()).expect("a name"), enrolment);
    assert_eq!(enrolment.to_json(), file.enrolment);
    assert_eq!(enrolment.fingerprint(), file.fingerprint);
    for case in file.accepted {
        let statement = enrolment.verify(&case.signed, file.now, file.lowest_serial).expect(&case.name);
        assert_eq!((&statement.pool, statement.recipient.to_string()), (&case.pool, case.recipient));
        assert_eq!(
            (statement.not_before, statement.not_after, statement.serial),
            (case.not_before, case.not_after, case.serial)
        );
        // Ed25519 is deterministic, so that the same statement gives the same bytes.
        assert_eq!(root.sign(&statement).expect("it signs"), case.signed);
    }
    for refused in file.refused {
        let error = enrolment.verify(&refused.what.signed, file.now, file.lowest_serial).expect_err(&refused.name);
        assert_eq!(error.to_string(), refused.message, "{}", refused.name);
        assert!(!error.hint().is_empty());
    }
}
