//! The form of the vector files, as `client/seal/vectors/README.md` describes it.

use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use filemill_seal::{Digest, SignedStatement, UploadId};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes, written as lower-case hex.
#[derive(Clone)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl Hex {
    /// The bytes of a key, which are 32.
    pub(super) fn key(&self) -> [u8; 32] {
        self.0[..].try_into().expect("32 bytes")
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct LayoutCase {
    pub(super) name: String,
    pub(super) chunk_size: u32,
    pub(super) lengths: Vec<u64>,
    /// Of each file: first chunk, last chunk.
    pub(super) files: Vec<(u32, u32)>,
    /// Of each chunk: plaintext length, how many files end in it.
    pub(super) chunks: Vec<(u32, u32)>,
    /// Of each job range: first index, count, first chunk, last chunk.
    pub(super) jobs: Vec<(u32, u32, u32, u32)>,
}

/// Bytes that must be refused.
#[derive(Serialize, Deserialize)]
pub(super) struct Refused<T> {
    pub(super) name: String,
    /// What this implementation says; another may say it differently.
    pub(super) message: String,
    #[serde(flatten)]
    pub(super) what: T,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderFile {
    pub(super) pool_identity: String,
    pub(super) uploader_identity: String,
    pub(super) accepted: Vec<HeaderCase>,
    pub(super) refused: Vec<Refused<RefusedHeader>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderCase {
    pub(super) name: String,
    pub(super) upload: UploadId,
    pub(super) key: Hex,
    pub(super) uploader: String,
    pub(super) releases: Vec<Digest>,
    pub(super) parameters: String,
    pub(super) chunk_size: u32,
    pub(super) not_after: u64,
    /// Name and length.
    pub(super) files: Vec<(Hex, u64)>,
    pub(super) plaintext: Hex,
    pub(super) sealed: Hex,
    pub(super) digest: Digest,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RefusedHeader {
    /// Absent where the age file itself is to be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plaintext: Option<Hex>,
    pub(super) sealed: Hex,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderTwoFile {
    pub(super) pool_identity: String,
    pub(super) uploader_identity: String,
    pub(super) organisation_identity: String,
    pub(super) accepted: Vec<HeaderTwoCase>,
    pub(super) refused: Vec<Refused<RefusedHeader>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderTwoCase {
    pub(super) name: String,
    pub(super) upload: UploadId,
    pub(super) key: Hex,
    pub(super) uploader: String,
    /// Releases and parameters.
    pub(super) tasks: Vec<(Vec<Digest>, String)>,
    pub(super) organisation: Vec<String>,
    pub(super) isolation: Vec<String>,
    pub(super) chunk_size: u32,
    pub(super) not_after: u64,
    /// Name and length.
    pub(super) files: Vec<(Hex, u64)>,
    pub(super) plaintext: Hex,
    pub(super) sealed: Hex,
    pub(super) digest: Digest,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BatchFile {
    pub(super) uploader_identity: String,
    pub(super) organisation_identity: String,
    pub(super) key: Hex,
    pub(super) hmac_key: Hex,
    pub(super) upload: UploadId,
    pub(super) header: Digest,
    /// Releases of each task.
    pub(super) tasks: Vec<Vec<Digest>>,
    /// Task and index of each job that the batch is for.
    pub(super) jobs: Vec<(u32, u32)>,
    /// Of each file.
    pub(super) length: u64,
    pub(super) sha256: Digest,
    pub(super) accepted: Vec<ResultCase>,
    pub(super) refused: Vec<Refused<ResultText>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChunkFile {
    pub(super) key: Hex,
    pub(super) upload: UploadId,
    pub(super) header: Digest,
    pub(super) accepted: Vec<ChunkCase>,
    pub(super) refused: Vec<Refused<PlacedChunk>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChunkCase {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) at: PlacedChunk,
    pub(super) codec: u8,
    pub(super) data: Hex,
    /// 33 bytes each, as in the plaintext.
    pub(super) encoded_verdicts: Hex,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PlacedChunk {
    pub(super) sequence: u32,
    pub(super) last: bool,
    pub(super) length: u32,
    pub(super) verdicts: u32,
    pub(super) sealed: Hex,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResultFile {
    pub(super) uploader_identity: String,
    pub(super) key: Hex,
    pub(super) hmac_key: Hex,
    pub(super) upload: UploadId,
    pub(super) header: Digest,
    pub(super) releases: Vec<Digest>,
    pub(super) index: u32,
    pub(super) length: u64,
    pub(super) sha256: Digest,
    pub(super) accepted: Vec<ResultCase>,
    pub(super) refused: Vec<Refused<ResultText>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResultCase {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) what: ResultText,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ResultText {
    pub(super) plaintext: String,
    pub(super) sealed: Hex,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StatementFile {
    pub(super) root_seed: Hex,
    pub(super) enrolment: String,
    pub(super) fingerprint: String,
    pub(super) now: u64,
    pub(super) lowest_serial: u64,
    pub(super) accepted: Vec<StatementCase>,
    pub(super) refused: Vec<Refused<RefusedStatement>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StatementCase {
    pub(super) name: String,
    pub(super) signed: SignedStatement,
    pub(super) pool: String,
    pub(super) recipient: String,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) serial: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RefusedStatement {
    pub(super) signed: SignedStatement,
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "vectors", name].iter().collect()
}

/// Reads a vector file.
pub(super) fn read<T: DeserializeOwned>(name: &str) -> T {
    let text = fs::read_to_string(path(name)).expect("the vector file is there");
    serde_json::from_str(&text).expect("the vector file has its form")
}

/// Writes a vector file.
pub(super) fn write<T: Serialize>(name: &str, content: &T) {
    let text = serde_json::to_string_pretty(content).expect("it is JSON");
    fs::write(path(name), text + "\n").expect("the vector file can be written");
}
