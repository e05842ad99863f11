//! The bytes of a chunk: what stands in front of the ciphertext, and what is authenticated with it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::error::ChunkError;
use super::shape::ChunkShape;
use crate::data_key::DataKey;
use crate::identifiers::{Digest, UploadId};
use crate::random::fill_random;

const MAGIC: [u8; 4] = *b"FMC1";
const LAST: u8 = 1;

/// Codec of data that is stored as it is.
pub(super) const STORED: u8 = 0;

/// Codec of data that is one Zstandard frame.
pub(super) const ZSTANDARD: u8 = 1;

/// Magic, codec, flags, sequence number, plaintext length: what is authenticated, but not encrypted.
const FIELDS_BYTES: usize = 14;
const NONCE_BYTES: usize = 12;

/// What stands in front of the ciphertext.
pub(super) const PREFIX_BYTES: usize = FIELDS_BYTES + NONCE_BYTES;

/// What stands behind it.
pub(super) const TAG_BYTES: usize = 16;

const CONTEXT: [u8; 16] = *b"filemill/1 chunk";
const ASSOCIATED_BYTES: usize = CONTEXT.len() + UploadId::BYTES + Digest::BYTES + FIELDS_BYTES;

/// The data key of an upload, with what binds each chunk to that upload.
pub(super) struct ChunkKey {
    key: LessSafeKey,
    pub(super) upload: UploadId,
    header: Digest,
}

impl ChunkKey {
    pub(super) fn new(key: &DataKey, upload: UploadId, header: Digest) -> Self {
        let key =
            UnboundKey::new(&AES_256_GCM, key.expose_bytes()).expect("a data key has the length of an AES-256 key");
        Self { key: LessSafeKey::new(key), upload, header }
    }

    /// Writes the prefix into the first [`PREFIX_BYTES`] of `chunk`, encrypts what stands behind it, and appends the tag.
    ///
    /// The nonce is random (NIST SP 800-38D §8.2.2, RBG-based construction): one key seals at most 2^20 chunks, each again
    /// after a resume perhaps, which is far below the 2^32 messages that the bound on collisions allows.
    pub(super) fn seal_in_place(&self, shape: &ChunkShape, codec: u8, chunk: &mut Vec<u8>) {
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut nonce);
        chunk[0..4].copy_from_slice(&MAGIC);
        chunk[4] = codec;
        chunk[5] = flags(shape);
        chunk[6..10].copy_from_slice(&shape.sequence.to_be_bytes());
        chunk[10..FIELDS_BYTES].copy_from_slice(&shape.length.to_be_bytes());
        chunk[FIELDS_BYTES..PREFIX_BYTES].copy_from_slice(&nonce);
        let associated = Aad::from(self.associated_data(&chunk[..FIELDS_BYTES]));
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), associated, &mut chunk[PREFIX_BYTES..])
            .expect("AES-GCM encrypts up to 64 GiB, a chunk has far less");
        chunk.extend_from_slice(tag.as_ref());
    }

    /// Decrypts what stands behind the prefix of `sealed`, whose fields were checked.
    pub(super) fn decrypt_in_place(&self, sealed: &mut [u8]) -> Result<(), ChunkError> {
        let associated = Aad::from(self.associated_data(&sealed[..FIELDS_BYTES]));
        let nonce = Nonce::try_assume_unique_for_key(&sealed[FIELDS_BYTES..PREFIX_BYTES])
            .map_err(|_| ChunkError::NotAuthentic)?;
        self.key
            .open_in_place(nonce, associated, &mut sealed[PREFIX_BYTES..])
            .map(|_| ())
            .map_err(|_| ChunkError::NotAuthentic)
    }

    fn associated_data(&self, fields: &[u8]) -> [u8; ASSOCIATED_BYTES] {
        let mut associated = [0; ASSOCIATED_BYTES];
        let (context, rest) = associated.split_at_mut(CONTEXT.len());
        let (upload, rest) = rest.split_at_mut(UploadId::BYTES);
        let (header, rest) = rest.split_at_mut(Digest::BYTES);
        context.copy_from_slice(&CONTEXT);
        upload.copy_from_slice(self.upload.as_bytes());
        header.copy_from_slice(self.header.as_bytes());
        rest.copy_from_slice(fields);
        associated
    }
}

/// Compares all that can be seen before decryption with what it must be, and returns the codec.
///
/// A chunk that passes has its prefix, room for its verdicts, and its tag.
pub(super) fn check_fields(shape: &ChunkShape, sealed: &[u8]) -> Result<u8, ChunkError> {
    let shortest = PREFIX_BYTES + shape.verdicts_bytes() + TAG_BYTES;
    let longest = shape.sealed_max_bytes();
    let wrong_length = ChunkError::Length { shortest, longest, found: sealed.len() };
    let Some((fields, _)) = sealed.split_first_chunk::<FIELDS_BYTES>() else {
        return Err(wrong_length);
    };
    let [m0, m1, m2, m3, codec, flag_bits, s0, s1, s2, s3, l0, l1, l2, l3] = *fields;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(ChunkError::NotAChunk);
    }
    if flag_bits & !LAST != 0 {
        return Err(ChunkError::Flags { found: flag_bits });
    }
    let sequence = u32::from_be_bytes([s0, s1, s2, s3]);
    if sequence != shape.sequence {
        return Err(ChunkError::Sequence { expected: shape.sequence, found: sequence });
    }
    if flag_bits != flags(shape) {
        return Err(ChunkError::Last { expected: shape.last });
    }
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if length != shape.length {
        return Err(ChunkError::PlaintextLength { expected: shape.length, found: length });
    }
    // What is stored has one possible length; what is compressed is shorter, else it would have been stored.
    let fits = match codec {
        STORED => sealed.len() == longest,
        ZSTANDARD => (shortest..longest).contains(&sealed.len()),
        _ => return Err(ChunkError::Codec { found: codec }),
    };
    if fits { Ok(codec) } else { Err(wrong_length) }
}

fn flags(shape: &ChunkShape) -> u8 {
    if shape.last { LAST } else { 0 }
}
