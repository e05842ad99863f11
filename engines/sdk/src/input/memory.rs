//! Bytes in memory, in place of a host's input.

use super::{HashAlgorithm, InputError, Source};

/// Bytes in memory.
pub(crate) struct Memory {
    bytes: Vec<u8>,
    position: usize,
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, position: 0 }
    }

    fn piece(&self, offset: usize, max: u64) -> Vec<u8> {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let take = usize::try_from(max).map_or(rest.len(), |max| max.min(rest.len()));
        rest[..take].to_vec()
    }
}

impl Source for Memory {
    fn read(&mut self, max: u64) -> Result<Vec<u8>, InputError> {
        let piece = self.piece(self.position, max);
        self.position += piece.len();
        Ok(piece)
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, offset: u64, max: u64) -> Result<Vec<u8>, InputError> {
        Ok(usize::try_from(offset).map_or_else(|_| Vec::new(), |offset| self.piece(offset, max)))
    }

    fn hash(&mut self, _algorithm: HashAlgorithm) -> Result<(), InputError> {
        Ok(())
    }

    fn digest(&mut self, algorithm: HashAlgorithm) -> Result<[u8; 32], InputError> {
        self.position = self.bytes.len();
        digest(algorithm, &self.bytes)
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn digest(algorithm: HashAlgorithm, bytes: &[u8]) -> Result<[u8; 32], InputError> {
    Ok(match algorithm {
        HashAlgorithm::Sha256 => hmac_sha256::Hash::hash(bytes),
        HashAlgorithm::Blake3 => blake3::hash(bytes).into(),
    })
}

/// A component has no need of them: what is in its memory is not the file.
#[cfg(target_arch = "wasm32")]
fn digest(_algorithm: HashAlgorithm, _bytes: &[u8]) -> Result<[u8; 32], InputError> {
    Err(InputError::Other("bytes in memory are hashed only in tests".into()))
}
