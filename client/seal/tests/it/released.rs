//! What the programs of release 0.1.0 sealed, opened by this crate: headers and chunks that its client stored, and the results of its processor.
//!
//! The test vectors are of the same format, but this crate's own code makes them. These bytes were taken out of a server's storage while no processor ran, and
//! out of `filemill send --out`. What is expected was written down beside them: the SHA-256 of each file by `sha256sum`, and what the client of that release said of
//! its result. The keys were made for this, and are nobody's.

use data_encoding::HEXLOWER;
use filemill_seal::{
    ChunkOpener, Decompressor, Digest, Expected, Format, Header, Identity, ResultBody, SealedHeader, UploadId, Verdict,
    open_result,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

const RELEASED: &str = include_str!("released/0.1.0.json");
/// What that client cut streams into.
const CHUNK_SIZE: u32 = 8 << 20;
/// Where a sealed chunk says how it is compressed.
const CODEC_AT: usize = 4;

#[derive(Deserialize)]
struct Released {
    pool_identity: String,
    uploader_identity: String,
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
struct Upload {
    upload: UploadId,
    release: Digest,
    parameters: String,
    not_after: u64,
    header: Hex,
    digest: Digest,
    /// Of each chunk: 0 stored, 1 Zstandard.
    codecs: Vec<u8>,
    chunks: Vec<Hex>,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    name: Hex,
    length: u64,
    sha256: Digest,
    /// What `filemill send --json` said, artifacts by their SHA-256.
    said: Value,
    result: Hex,
}

/// Bytes, written as lower-case hex.
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Released {
    fn read() -> Self {
        serde_json::from_str(RELEASED).expect("what was written down")
    }

    fn pool(&self) -> Identity {
        self.pool_identity.parse().expect("an identity")
    }

    fn uploader(&self) -> Identity {
        self.uploader_identity.parse().expect("an identity")
    }
}

impl Upload {
    fn open(&self, identity: Identity) -> Header {
        let sealed = SealedHeader::from_bytes(self.header.0.clone()).expect("short enough");
        assert_eq!(sealed.digest(), self.digest);
        Header::open(&sealed, &[identity]).expect("it opens")
    }
}

#[test]
fn a_header_that_the_client_of_0_1_0_sealed_opens_for_its_pool_and_its_uploader() {
    let released = Released::read();
    for upload in &released.uploads {
        for identity in [released.pool(), released.uploader()] {
            let header = upload.open(identity);
            assert_eq!((header.format, header.upload), (Format::One, upload.upload));
            assert_eq!(header.uploader, released.uploader().recipient());
            let [task] = &header.tasks[..] else { panic!("a header of format 1 has one task") };
            assert_eq!((&task.releases[..], &task.parameters), (&[upload.release][..], &upload.parameters));
            assert!(header.organisation.is_empty() && header.isolation.is_empty());
            assert_eq!((header.chunk_size, header.not_after), (CHUNK_SIZE, upload.not_after));
            let files = header.files.iter().map(|file| (&file.name, file.length));
            assert!(files.eq(upload.files.iter().map(|file| (&file.name.0, file.length))));
        }
    }
}

#[test]
fn chunks_that_the_client_of_0_1_0_sealed_open_to_the_files_that_were_sent() {
    let released = Released::read();
    for upload in &released.uploads {
        let header = upload.open(released.pool());
        let opener = ChunkOpener::new(&header.key, header.upload, upload.digest);
        let layout = header.layout().expect("a layout");
        assert_eq!(layout.chunk_count() as usize, upload.chunks.len());
        let mut files = vec![Vec::new(); upload.files.len()];
        let mut verdicts = Vec::new();
        for ((sequence, sealed), codec) in (0..).zip(&upload.chunks).zip(&upload.codecs) {
            assert_eq!(sealed.0[CODEC_AT], *codec);
            let shape = layout.shape(sequence).expect("a chunk of it");
            let opened = opener.open(&shape, sealed.0.clone(), &mut Decompressor::new()).expect("it opens");
            for piece in layout.pieces(sequence) {
                files[piece.index as usize].extend_from_slice(&opened.data()[piece.in_chunk]);
            }
            verdicts.extend_from_slice(opened.verdicts());
        }
        let sent = upload.files.iter().map(|file| file.sha256);
        assert!(files.iter().map(|file| Digest::of(file)).eq(sent.clone()));
        assert!(verdicts.into_iter().eq(sent.map(Verdict::Intact)));
    }
    // Of everything that a chunk can be, one at least.
    let (chunks, codecs): (Vec<_>, Vec<_>) =
        released.uploads.iter().map(|upload| (upload.chunks.len(), &upload.codecs[..])).unzip();
    assert_eq!((chunks, codecs.concat()), (vec![2, 1, 1], vec![1, 1, 1, 0]));
}

#[test]
fn results_that_the_processor_of_0_1_0_sealed_are_verified_and_say_what_its_client_showed() {
    let released = Released::read();
    let mut results = 0;
    for upload in &released.uploads {
        let header = upload.open(released.uploader());
        for (index, file) in (0..).zip(&upload.files) {
            let expected = Expected {
                format: Format::One,
                upload: upload.upload,
                task: 0,
                index,
                header: upload.digest,
                releases: &header.tasks[0].releases,
                length: file.length,
                sha256: Some(file.sha256),
            };
            let opened = open_result(&file.result.0, &[released.uploader()]).expect("it opens");
            let body = opened.verify(&header.key, &expected).expect("it is the processor's");
            assert_eq!(body.release, Some(upload.release));
            assert_eq!(said(&body), file.said);
            results += 1;
        }
    }
    assert_eq!(results, 7);
}

/// What that client would say of it.
fn said(body: &ResultBody) -> Value {
    let mut said = json!({ "outcome": body.outcome.code() });
    if let Some(failure) = &body.failure {
        said["failure"] = json!(failure.kind);
        said["message"] = json!(failure.message);
    }
    if let Some(report) = &body.report {
        said["summary"] = json!(report.summary);
        said["report"] = serde_json::from_str(report.as_json()).expect("JSON");
        if !report.findings.is_empty() {
            said["findings"] = json!(report.findings);
        }
        if !report.artifacts.is_empty() {
            let artifacts = report.artifacts.iter();
            said["artifacts"] = artifacts
                .map(|made| json!({"name": made.name, "media_type": made.media_type, "sha256": Digest::of(&made.data)}))
                .collect();
        }
    }
    said
}
