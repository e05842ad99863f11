//! Things that every test here needs.

use filemill_seal::{
    Artifact, ChunkOpener, ChunkSealer, DataKey, Digest, EngineInput, FileEntry, Finding, Format, Header, Identity,
    JsonObject, Outcome, Report, Resources, ResultBody, Severity, Task, UploadId,
};

/// One pool, one uploader, one upload; all keys fixed.
pub(crate) struct Scene {
    pub(crate) pool: Identity,
    pub(crate) uploader: Identity,
    pub(crate) stranger: Identity,
    pub(crate) header: Header,
}

impl Scene {
    /// An upload of these files, with a header of format 1.
    pub(crate) fn new(chunk_size: u32, lengths: &[u64]) -> Self {
        let (pool, uploader) = (Identity::generate(), Identity::generate());
        let header = Header {
            format: Format::One,
            upload: UploadId::from_bytes([0x11; 16]),
            key: DataKey::from_bytes([0x22; 32]),
            uploader: uploader.recipient(),
            tasks: vec![task(&[b"release one", b"release two"])],
            organisation: Vec::new(),
            isolation: [].into(),
            chunk_size,
            not_after: 1_800_000_000,
            files: lengths
                .iter()
                .enumerate()
                .map(|(index, length)| FileEntry { name: format!("file {index}").into_bytes(), length: *length })
                .collect(),
        };
        Self { pool, uploader, stranger: Identity::generate(), header }
    }

    /// The same with a header of format 2: two tasks, a reader of the organisation, and what only that format says.
    pub(crate) fn of_format_two(chunk_size: u32, lengths: &[u64]) -> (Self, Identity) {
        let (mut scene, reader) = (Self::new(chunk_size, lengths), Identity::generate());
        scene.header.format = Format::Two;
        scene.header.tasks.push(task(&[b"release three"]));
        scene.header.organisation = vec![reader.recipient()];
        scene.header.isolation = ["attached".to_owned(), "container".to_owned()].into();
        (scene, reader)
    }

    /// Both ends of the upload's chunks, under a header of that digest.
    pub(crate) fn chunk_ends(&self, header: Digest) -> (ChunkSealer, ChunkOpener) {
        let (key, upload) = (&self.header.key, self.header.upload);
        (ChunkSealer::new(key, upload, header), ChunkOpener::new(key, upload, header))
    }

    /// A result for file `index`, whose bytes are `content`.
    pub(crate) fn succeeded(&self, header: Digest, index: u32, content: &[u8]) -> ResultBody {
        ResultBody {
            upload: self.header.upload,
            task: 0,
            index,
            header,
            release: Some(self.header.tasks[0].releases[1]),
            outcome: Outcome::Succeeded,
            input: Some(EngineInput { length: content.len() as u64, sha256: Digest::of(content) }),
            report: Some(Report::from_json(r#"{"bytes": 5, "lines": 1}"#.to_owned()).expect("an object")),
            failure: None,
            log: Vec::new(),
            resources: Resources { bytes_read: content.len() as u64, ..Resources::default() },
        }
    }
}

/// A task for which any of these may run.
pub(crate) fn task(releases: &[&[u8]]) -> Task {
    Task {
        releases: releases.iter().map(|release| Digest::of(release)).collect(),
        parameters: r#"{"depth":3}"#.to_owned(),
    }
}

/// A report with something of everything.
pub(crate) fn full_report() -> Report {
    Report {
        summary: "5 bytes".to_owned(),
        findings: vec![Finding {
            kind: "size.small".to_owned(),
            severity: Severity::Low,
            summary: "it is small".to_owned(),
            json: Some(JsonObject::from_text("{}".to_owned()).expect("an object")),
        }],
        artifacts: vec![Artifact {
            name: "plot.svg".to_owned(),
            media_type: "image/svg+xml".to_owned(),
            data: vec![0, 0xff, 7],
        }],
        description: Some(Digest::of(b"a description")),
        ..Report::from_json(r#"{"bytes": 5}"#.to_owned()).expect("an object")
    }
}

/// Every way to change `bytes` by one bit.
pub(crate) fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit, changed)
    })
}

/// `bytes` cut off at every length, and with a byte more.
pub(crate) fn resized(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let longer = [0_u8, b'\n', 0xff].into_iter().map(move |more| [bytes, &[more]].concat());
    (0..bytes.len()).map(move |length| bytes[..length].to_vec()).chain(longer)
}

/// Checks that `bytes` are taken, and neither with another bit nor with another length.
pub(crate) fn nothing_else_is_taken(bytes: &[u8], is_taken: impl Fn(&[u8]) -> bool) {
    assert!(is_taken(bytes));
    for (bit, changed) in flips(bytes) {
        assert!(!is_taken(&changed), "bit {bit}");
    }
    for changed in resized(bytes) {
        assert!(!is_taken(&changed));
    }
}

/// The recipient of `identity` for the `age` crate itself, to seal what this crate would not.
pub(crate) fn age_recipient(identity: &Identity) -> age::x25519::Recipient {
    identity.recipient().to_string().parse().expect("a recipient")
}
