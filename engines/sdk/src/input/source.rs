//! Where an input's bytes come from.

use super::InputError;

/// A hash that the host computes natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256, as in FIPS 180-4.
    Sha256,
    /// BLAKE3 with its default length.
    Blake3,
}

/// Where an input's bytes come from: the host, or what a test or a benchmark puts in its place. `max` is never 0.
pub trait Source {
    /// The next bytes, at least 1 and at most `max`; none is the end.
    ///
    /// # Errors
    ///
    /// When the bytes end early.
    fn read(&mut self, max: u64) -> Result<Vec<u8>, InputError>;

    /// The length in bytes, as announced.
    fn size(&self) -> u64;

    /// Bytes from `offset` on, at most `max`; none at and beyond the end.
    ///
    /// # Errors
    ///
    /// Where the source reads in order only, as this default does.
    fn read_at(&mut self, _offset: u64, _max: u64) -> Result<Vec<u8>, InputError> {
        Err(InputError::Other("this input is read in order only".into()))
    }

    /// Hashes what `read` passes from now on.
    ///
    /// # Errors
    ///
    /// Where the source computes no hashes, as this default.
    fn hash(&mut self, _algorithm: HashAlgorithm) -> Result<(), InputError> {
        Err(InputError::Other("this input computes no hashes".into()))
    }

    /// The hash of everything.
    ///
    /// # Errors
    ///
    /// Where the source computes no hashes, as this default.
    fn digest(&mut self, _algorithm: HashAlgorithm) -> Result<[u8; 32], InputError> {
        Err(InputError::Other("this input computes no hashes".into()))
    }
}
