//! Filemill's sealed stream: what a client seals, a processor opens, and nobody between them can read or change.
//!
//! `docs/protocol.md`, part one, is the specification; this crate is what both ends use, and does nothing else: no files,
//! no network, no clock.
//!
//! An upload is one [`Header`], sealed for a pool and its uploader, and the chunks of its [`Layout`]; a processor answers
//! each job, which is one file and one [`Task`], with one result. In [`Format::Two`] results come in batches.
//!
//! ```
//! use filemill_seal::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (uploader, pool) = (Identity::generate(), Identity::generate());
//! let content = b"one small file";
//!
//! // The client seals a header, once, and then the chunks.
//! let header = Header {
//!     format: Format::Two,
//!     upload: UploadId::random(),
//!     key: DataKey::random(),
//!     uploader: uploader.recipient(),
//!     tasks: vec![Task { releases: vec![Digest::of(b"the engine's component")], parameters: "{}".to_owned() }],
//!     organisation: Vec::new(),
//!     isolation: [].into(),
//!     chunk_size: CHUNK_SIZE_DEFAULT,
//!     not_after: 1_800_000_000,
//!     files: vec![FileEntry { name: b"small.txt".to_vec(), length: content.len() as u64 }],
//! };
//! let sealed_header = header.seal(&[pool.recipient()])?;
//! let shape = header.layout()?.shape(0).ok_or("no chunk")?;
//! let verdict = Verdict::Intact(Digest::of(content));
//! let mut sealed_chunk = Vec::new();
//! ChunkSealer::new(&header.key, header.upload, sealed_header.digest())
//!     .seal(&shape, content, &[verdict], &mut Compressor::new(3), &mut sealed_chunk)?;
//!
//! // A processor of the pool opens both, runs the engine, and seals what it said.
//! let opened = Header::open(&sealed_header, &[pool])?;
//! let chunk = ChunkOpener::new(&opened.key, opened.upload, sealed_header.digest())
//!     .open(&shape, sealed_chunk, &mut Decompressor::new())?;
//! assert_eq!(chunk.data(), content);
//! let body = ResultBody {
//!     upload: opened.upload,
//!     task: 0,
//!     index: 0,
//!     header: sealed_header.digest(),
//!     release: Some(opened.tasks[0].releases[0]),
//!     outcome: Outcome::Succeeded,
//!     input: Some(EngineInput { length: 14, sha256: Digest::of(chunk.data()) }),
//!     report: Some(Report::from_json(r#"{"bytes":14}"#.to_owned())?),
//!     failure: None,
//!     log: Vec::new(),
//!     resources: Resources::default(),
//! };
//! let sealed_results = seal_batch(std::slice::from_ref(&body), &opened)?;
//!
//! // The client believes it only if it fits what was sent.
//! let expected = Expected::from_header(&header, sealed_header.digest(), 0, 0).ok_or("no job")?;
//! let results = open_batch(&sealed_results, std::slice::from_ref(&uploader))?.verify(&header.key, &[expected.clone()])?;
//! assert_eq!(results[0].body(), &body);
//!
//! // What it keeps of it any age implementation opens with the uploader's key.
//! let kept = results[0].seal_for(&uploader.recipient());
//! assert_eq!(open_result(&kept, &[uploader])?.verify(&header.key, &expected)?, body);
//! # Ok(())
//! # }
//! ```
//!
//! What is deliberately absent: reading files and hashing them against their verdicts (the client and the processor do, as
//! the bytes go by), keeping keys, and choosing what to trust. A pool's recipients are checked by [`Enrolment::verify`]
//! before anything is sealed for them.

mod bounds;
mod chunk;
mod compression;
mod data_key;
mod envelope;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod identifiers;
mod identity;
mod json;
mod layout;
mod outcome;
mod pool;
mod random;
mod result;
mod verdict;

pub use bounds::{
    AGE_HEADER_MAX_BYTES, AGE_STANZAS_MAX, ARTIFACT_NAME_MAX_BYTES, ARTIFACTS_MAX, BATCH_MAX, BATCH_USUAL_BYTES,
    CHUNK_SIZE_DEFAULT, CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, CHUNKS_MAX, DESCRIPTION_MAX_BYTES, FILES_MAX,
    FILES_MAX_ENCODED_BYTES, FINDING_KIND_MAX_BYTES, FINDINGS_MAX, HEADER_MAX_BYTES, ISOLATION_MAX,
    ISOLATION_NAME_MAX_BYTES, JSON_MAX_DEPTH, MEDIA_TYPE_MAX_BYTES, NAME_MAX_BYTES, ORGANISATION_RECIPIENTS_MAX,
    PARAMETERS_MAX_BYTES, PARAMETERS_USUAL_BYTES, POOL_NAME_MAX_BYTES, POOL_RECIPIENTS_MAX, RELEASES_MAX,
    RESULT_MAX_BYTES, RESULT_MAX_SEALED_BYTES, STATEMENT_MAX_BYTES, STATEMENT_MAX_SECONDS, SUMMARY_MAX_BYTES,
    TASKS_MAX, TOTAL_MAX_BYTES,
};
pub use chunk::{ChunkError, ChunkOpener, ChunkSealer, ChunkShape, OpenedChunk, SealedChunk};
pub use compression::{Compressor, Decompressor};
pub use data_key::DataKey;
pub use envelope::EnvelopeError;
pub use format::Format;
pub use header::{FileEntry, Header, HeaderError, SealedHeader, Task};
pub use identifiers::{Digest, HexError, Sha256, UploadId};
pub use identity::{Identity, KeyError, Recipient};
pub use layout::{FileSpan, JobRange, Layout, LayoutError, Piece};
pub use outcome::{Outcome, UnknownOutcome};
pub use pool::{Enrolment, PoolError, PoolRoot, SignedStatement, Statement};
pub use result::{
    Artifact, BATCH_MAX_SEALED_BYTES, EngineInput, Expected, Failure, Finding, JsonObject, LogLine, Member, Report,
    Resources, ResultBody, ResultError, Severity, UnverifiedBatch, UnverifiedResult, is_artifact_name, is_finding_kind,
    is_media_type, is_summary, member_bytes, open_batch, open_result, seal_batch, seal_result, to_summary,
};
pub use verdict::{Verdict, VoidReason};
