//! Every bound of the sealed stream in one place; `docs/protocol.md` lists the same numbers.

/// Longest sealed header, in bytes (4 MiB).
pub const HEADER_MAX_BYTES: usize = 4 << 20;

/// Most files one upload may hold.
pub const FILES_MAX: usize = 65_536;

/// Longest file name, in bytes; the shortest is 1.
pub const NAME_MAX_BYTES: usize = 4_096;

/// Most bytes that all files of one header may take, counted with [`FileEntry::encoded_bytes`]: a header whose files
/// stay within it always seals to at most [`HEADER_MAX_BYTES`], whatever its parameters, releases and recipients.
///
/// What is left are [`PARAMETERS_MAX_BYTES`], 4 KiB of age recipients, 1 KiB of age tags, 9 KiB of releases, and room for the rest.
///
/// [`FileEntry::encoded_bytes`]: crate::FileEntry::encoded_bytes
pub const FILES_MAX_ENCODED_BYTES: usize = HEADER_MAX_BYTES - PARAMETERS_MAX_BYTES - (32 << 10);

/// Smallest chunk size, in bytes (64 KiB).
pub const CHUNK_SIZE_MIN: u32 = 64 << 10;

/// Largest chunk size, in bytes (64 MiB).
pub const CHUNK_SIZE_MAX: u32 = 64 << 20;

/// Chunk size of an upload that has no reason for another, in bytes (8 MiB).
pub const CHUNK_SIZE_DEFAULT: u32 = 8 << 20;

/// Most bytes that all files of one upload may hold together (2^48).
pub const TOTAL_MAX_BYTES: u64 = 1 << 48;

/// Most chunks one upload may have (2^20).
pub const CHUNKS_MAX: u32 = 1 << 20;

/// Longest engine parameters, in bytes of JSON (1 MiB). The same number binds whoever seals, opens and runs, and the schemas
/// of the engines (`PARAMETERS_MAX_BYTES` of `engines/sdk`, which a test compares).
pub const PARAMETERS_MAX_BYTES: usize = 1 << 20;

/// Longest engine parameters that every processor takes, in bytes of JSON (64 KiB): those of release 0.1.0 refuse a header
/// with more. Whoever seals more has to know that a processor of the pool takes it.
pub const PARAMETERS_USUAL_BYTES: usize = 64 << 10;

/// How deeply objects and lists may nest in parameters and reports: common readers stop at 128.
pub const JSON_MAX_DEPTH: usize = 100;

/// Most releases that one header may name; the fewest is 1.
pub const RELEASES_MAX: usize = 16;

/// Most tasks that one header may name; the fewest is 1. Files times tasks are at most [`FILES_MAX`].
pub const TASKS_MAX: usize = 16;

/// Most recipients of the organisation that one header may name.
pub const ORGANISATION_RECIPIENTS_MAX: usize = 16;

/// Most kinds of isolation that one header may name.
pub const ISOLATION_MAX: usize = 16;

/// Longest name of a kind of isolation, in bytes; the shortest is 1.
pub const ISOLATION_NAME_MAX_BYTES: usize = 64;

/// Most results in a batch.
pub const BATCH_MAX: usize = 64;

/// Most bytes of results in a batch before it is sealed, as far as there is more than one (1 MiB): a longer one goes alone.
pub const BATCH_USUAL_BYTES: usize = 1 << 20;

/// Most recipients of the pool that one header may be sealed for.
pub const POOL_RECIPIENTS_MAX: usize = 16;

/// Longest age header (the part that names the recipients) of a sealed header or result, in bytes (4 KiB).
pub const AGE_HEADER_MAX_BYTES: usize = 4 << 10;

/// Most stanzas (recipients, roughly) in such an age header.
///
/// The `age` crate parses an age header again with every line it reads, so that its time grows with the square of their
/// number: without these two bounds 4 MiB of empty stanzas would keep a processor busy for hours.
pub const AGE_STANZAS_MAX: usize = 32;

/// Longest result before it is sealed, in bytes (16 MiB).
pub const RESULT_MAX_BYTES: usize = 16 << 20;

/// Longest sealed result, in bytes: the plaintext, its age header, nonce, and one tag for each 64 KiB.
pub const RESULT_MAX_SEALED_BYTES: usize =
    RESULT_MAX_BYTES + AGE_HEADER_MAX_BYTES + 16 + (RESULT_MAX_BYTES / (64 << 10)) * 16;

/// Longest summary of a report or a finding, in bytes.
pub const SUMMARY_MAX_BYTES: usize = 512;

/// Most findings of one report.
pub const FINDINGS_MAX: usize = 10_000;

/// Longest kind of a finding, in bytes; the shortest is 1.
pub const FINDING_KIND_MAX_BYTES: usize = 64;

/// Most artifacts of one report.
pub const ARTIFACTS_MAX: usize = 64;

/// Longest name of an artifact, in bytes; the shortest is 1.
pub const ARTIFACT_NAME_MAX_BYTES: usize = 100;

/// Longest media type of an artifact, in bytes; the shortest is 1.
pub const MEDIA_TYPE_MAX_BYTES: usize = 127;

/// Longest description document of a release, in bytes (256 KiB).
pub const DESCRIPTION_MAX_BYTES: usize = 256 << 10;

/// Longest pool name, in bytes; the shortest is 1.
pub const POOL_NAME_MAX_BYTES: usize = 64;

/// Longest pool statement, in bytes of JSON (1 KiB).
pub const STATEMENT_MAX_BYTES: usize = 1 << 10;

/// Longest life of a pool's recipient, in seconds (31 days).
pub const STATEMENT_MAX_SECONDS: u64 = 31 * 24 * 60 * 60;
