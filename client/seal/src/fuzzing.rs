//! What lies behind encryption and signatures, for tests and fuzz targets only: no input gets past those by chance.

use zeroize::Zeroizing;

use crate::chunk::{ChunkSealer, ChunkShape};
use crate::data_key::DataKey;
use crate::format::Format;
use crate::header::{Header, HeaderError};
use crate::identifiers::UploadId;
use crate::pool::{PoolError, PoolRoot, SignedStatement, Statement};
use crate::result::{
    ResultBody, ResultError, UnverifiedBatch, UnverifiedResult, authenticated, authenticated_batch, json,
};

/// Decodes the plaintext of a header.
pub fn decode_header(plaintext: &[u8]) -> Result<Header, HeaderError> {
    Header::decode(plaintext)
}

/// Encodes a header without checking it. Its number of files, names and so on may be out of bounds.
pub fn encode_header(header: &Header) -> Vec<u8> {
    header.encode().to_vec()
}

/// The JSON of a result of format 1, without checking it.
pub fn result_json(body: &ResultBody) -> String {
    json(body)
}

/// Parses the plaintext of a result, as far as is done before it is verified.
pub fn parse_result(plaintext: &[u8]) -> Result<UnverifiedResult, ResultError> {
    UnverifiedResult::parse(Zeroizing::new(plaintext.to_vec()))
}

/// Parses the plaintext of a batch, as far as is done before it is verified.
pub fn parse_batch(plaintext: &[u8]) -> Result<UnverifiedBatch, ResultError> {
    UnverifiedBatch::parse(plaintext)
}

/// Puts in front of `body` the first line of a result of that upload.
pub fn authenticate_result(body: &[u8], key: &DataKey, upload: &UploadId, format: Format) -> Vec<u8> {
    authenticated(body, key, upload, format)
}

/// The same batch, each of whose members has the authenticator that is right for its text; `None` where it is not parsed as a batch.
pub fn authenticate_batch(plaintext: &[u8], key: &DataKey) -> Option<Vec<u8>> {
    authenticated_batch(plaintext, key)
}

/// Parses the text of a statement, as is done once its signature was checked.
pub fn parse_statement(text: &str) -> Result<Statement, PoolError> {
    Statement::from_text(text)
}

/// Signs any text as if it were a statement.
pub fn sign_anything(root: &PoolRoot, text: &str) -> Result<SignedStatement, PoolError> {
    root.sign_text(text.to_owned())
}

/// Seals any plaintext as a chunk of any codec.
pub fn seal_anything(sealer: &ChunkSealer, shape: &ChunkShape, codec: u8, plaintext: &[u8]) -> Vec<u8> {
    sealer.seal_anything(shape, codec, plaintext)
}
