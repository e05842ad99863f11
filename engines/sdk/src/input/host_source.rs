//! The host's input of contract 1.

use super::{HashAlgorithm, InputError, Source};
use crate::bindings::v1::filemill::engine::host;

/// The host's input.
pub(crate) struct HostSource {
    input: host::Input,
    size: u64,
}

impl HostSource {
    /// `size` is the announced length, which the host has told already.
    pub(crate) fn new(input: host::Input, size: u64) -> Self {
        Self { input, size }
    }
}

impl Source for HostSource {
    fn read(&mut self, max: u64) -> Result<Vec<u8>, InputError> {
        Ok(self.input.read(max)?)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, max: u64) -> Result<Vec<u8>, InputError> {
        Ok(self.input.read_at(offset, max)?)
    }

    fn hash(&mut self, algorithm: HashAlgorithm) -> Result<(), InputError> {
        Ok(self.input.hash(algorithm.into())?)
    }

    fn digest(&mut self, algorithm: HashAlgorithm) -> Result<[u8; 32], InputError> {
        let digest = self.input.digest(algorithm.into())?;
        digest.try_into().map_err(|_| InputError::Other("the host's digest has not 32 bytes".into()))
    }
}

impl From<host::InputError> for InputError {
    fn from(error: host::InputError) -> Self {
        match error {
            host::InputError::Void(why) => Self::Void(why),
            host::InputError::Cancelled => Self::Cancelled,
            host::InputError::Other(why) => Self::Other(why),
        }
    }
}

impl From<HashAlgorithm> for host::HashAlgorithm {
    fn from(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256,
            HashAlgorithm::Blake3 => Self::Blake3,
        }
    }
}
