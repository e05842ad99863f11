//! The secret half of a pool: signs its recipients.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::HEXLOWER;
use zeroize::{Zeroize, Zeroizing};

use super::{Enrolment, PoolError, SignedStatement, Statement, check_name};
use crate::random::fill_random;

/// A pool's root: an Ed25519 key pair (RFC 8032) that signs which recipients belong to the pool.
///
/// Keep it offline or in the operator's secret store: neither server nor processors need it. `Debug` shows the public key.
pub struct PoolRoot {
    seed: Zeroizing<[u8; Self::BYTES]>,
    key: Ed25519KeyPair,
}

impl PoolRoot {
    /// Length of the seed in bytes.
    pub const BYTES: usize = 32;

    /// Makes a new root from the operating system's randomness.
    pub fn generate() -> Self {
        let mut seed = [0; Self::BYTES];
        fill_random(&mut seed);
        let root = Self::from_seed(&seed);
        seed.zeroize();
        root
    }

    /// From its seed, the secret key of RFC 8032. The caller wipes its own copy.
    pub fn from_seed(seed: &[u8; Self::BYTES]) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are an Ed25519 seed");
        Self { seed: Zeroizing::new(*seed), key }
    }

    /// The seed, to be kept secret.
    pub fn expose_seed(&self) -> &[u8; Self::BYTES] {
        &self.seed
    }

    /// What clients need to trust this root.
    ///
    /// # Errors
    ///
    /// [`PoolError::Name`] if `pool` cannot be a pool's name.
    pub fn enrolment(&self, pool: &str) -> Result<Enrolment, PoolError> {
        check_name(pool)?;
        Ok(Enrolment::from_parts(pool.to_owned(), self.public_key()))
    }

    /// Signs a statement. Let it be valid from some minutes ago: clients' clocks differ.
    ///
    /// # Errors
    ///
    /// [`PoolError::Name`], [`PoolError::Lifetime`] or [`PoolError::Malformed`] if clients would not accept it.
    pub fn sign(&self, statement: &Statement) -> Result<SignedStatement, PoolError> {
        self.sign_text(statement.to_text()?)
    }

    /// Signs a text that may be no statement.
    pub(crate) fn sign_text(&self, statement: String) -> Result<SignedStatement, PoolError> {
        let signature = self.key.sign(&SignedStatement::message(&statement)?);
        Ok(SignedStatement { statement, signature: HEXLOWER.encode(signature.as_ref()) })
    }

    fn public_key(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.key.public_key().as_ref());
        public
    }
}

impl fmt::Debug for PoolRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolRoot(of {})", HEXLOWER.encode(&self.public_key()))
    }
}
