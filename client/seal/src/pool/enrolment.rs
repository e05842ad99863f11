//! The public half of a pool: what a client pins.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::{PoolError, SignedStatement, Statement, Version, check_name};
use crate::bounds::STATEMENT_MAX_BYTES;
use crate::format::Format;
use crate::identifiers::{Sha256, parse_hex};

/// A pool's name and the public key of its root, as a client got them out of band; never from the server.
///
/// One of version 2 also says which format of headers is the lowest that may be sent to the pool; one of version 1 says nothing of that.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolment {
    pool: String,
    root: [u8; 32],
    lowest_format: Option<Format>,
}

/// An enrolment of version 1 as JSON. The order of the fields is part of the format.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolmentText {
    filemill_enrolment: u64,
    pool: String,
    root: String,
}

/// One of version 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolmentTextTwo {
    filemill_enrolment: u64,
    pool: String,
    root: String,
    lowest_format: u64,
}

impl Enrolment {
    pub(super) fn from_parts(pool: String, root: [u8; 32]) -> Self {
        Self { pool, root, lowest_format: None }
    }

    /// The same, which asks for headers of this format or newer ones: of version 2.
    #[must_use]
    pub fn with_lowest_format(self, lowest: Format) -> Self {
        Self { lowest_format: Some(lowest), ..self }
    }

    /// Parses an enrolment file.
    ///
    /// # Errors
    ///
    /// [`PoolError::TooLong`] above [`STATEMENT_MAX_BYTES`], [`PoolError::EnrolmentVersion`], [`PoolError::Name`],
    /// [`PoolError::LowestFormat`] for a format that this program does not write, or [`PoolError::Malformed`] for anything else that is
    /// not an enrolment.
    pub fn from_json(text: &str) -> Result<Self, PoolError> {
        if text.len() > STATEMENT_MAX_BYTES {
            return Err(PoolError::TooLong { found: text.len() });
        }
        let (pool, root, lowest_format) = match Version::of(text, |fields| fields.filemill_enrolment)? {
            1 => {
                let EnrolmentText { pool, root, .. } = serde_json::from_str(text).map_err(PoolError::malformed)?;
                (pool, root, None)
            }
            2 => {
                let text: EnrolmentTextTwo = serde_json::from_str(text).map_err(PoolError::malformed)?;
                let unknown = PoolError::LowestFormat { found: text.lowest_format };
                (text.pool, text.root, Some(Format::from_number(text.lowest_format).ok_or(unknown)?))
            }
            found => return Err(PoolError::EnrolmentVersion { found }),
        };
        check_name(&pool)?;
        let root =
            parse_hex(&root).map_err(|error| PoolError::Malformed { detail: format!("the root's key: {error}") })?;
        Ok(Self { pool, root, lowest_format })
    }

    /// The enrolment file: one line of JSON, without a line feed. Of version 1 where it says nothing of formats, so that earlier programs
    /// read it.
    pub fn to_json(&self) -> String {
        let (pool, root) = (self.pool.clone(), HEXLOWER.encode(&self.root));
        let text = match self.lowest_format {
            None => serde_json::to_string(&EnrolmentText { filemill_enrolment: 1, pool, root }),
            Some(lowest) => {
                let lowest_format = lowest.number();
                serde_json::to_string(&EnrolmentTextTwo { filemill_enrolment: 2, pool, root, lowest_format })
            }
        };
        text.expect("numbers and strings are valid JSON")
    }

    /// Name of the pool.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The root's public key.
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// The lowest format of headers that may be sent to the pool, whatever a server says of its processors; `None` if the enrolment is of
    /// version 1, which says nothing of that.
    pub fn lowest_format(&self) -> Option<Format> {
        self.lowest_format
    }

    /// Whether both are of one pool with one root, whatever else they say.
    pub fn is_same_pool(&self, other: &Self) -> bool {
        (&self.pool, &self.root) == (&other.pool, &other.root)
    }

    /// Six groups of four characters for people to compare, over the telephone for example: the first 120 bits of
    /// SHA-256 over `"filemill/1 fingerprint"`, the root's key and the pool's name, in lower-case base32 (RFC 4648).
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"filemill/1 fingerprint");
        hash.update(&self.root);
        hash.update(self.pool.as_bytes());
        let characters = BASE32_NOPAD.encode(&hash.finish().as_bytes()[..15]).to_lowercase();
        let (groups, _) = characters.as_bytes().as_chunks::<4>();
        groups
            .iter()
            .map(|group| group.iter().copied().map(char::from).collect::<String>())
            .collect::<Vec<_>>()
            .join("-")
    }

    /// Checks that the pinned root signed the statement, for this pool, and that it is valid at `now` (seconds since
    /// 1970-01-01 UTC). `lowest_serial` is the highest serial that was accepted before, 0 if there was none.
    ///
    /// # Errors
    ///
    /// Each reason to refuse it is a [`PoolError`] of its own. Nothing is to be sealed for its recipient then.
    pub fn verify(&self, signed: &SignedStatement, now: u64, lowest_serial: u64) -> Result<Statement, PoolError> {
        let statement = self.verify_at_any_time(signed)?;
        if now < statement.not_before {
            return Err(PoolError::NotYetValid { not_before: statement.not_before, now });
        }
        if now > statement.not_after {
            return Err(PoolError::Expired { not_after: statement.not_after, now });
        }
        if statement.serial < lowest_serial {
            return Err(PoolError::Superseded { lowest: lowest_serial, found: statement.serial });
        }
        Ok(statement)
    }

    /// Checks that the pinned root signed the statement, for this pool. It may be over, not have begun, or be replaced: it says what
    /// the root has signed, and is nothing to seal for.
    ///
    /// # Errors
    ///
    /// Each reason to refuse it is a [`PoolError`] of its own.
    pub fn verify_at_any_time(&self, signed: &SignedStatement) -> Result<Statement, PoolError> {
        let message = SignedStatement::message(&signed.statement)?;
        let signature: [u8; 64] = parse_hex(&signed.signature).map_err(|_| self.not_signed())?;
        UnparsedPublicKey::new(&ED25519, self.root).verify(&message, &signature).map_err(|_| self.not_signed())?;

        let statement = Statement::from_text(&signed.statement)?;
        if statement.pool != self.pool {
            return Err(PoolError::OtherPool { expected: self.pool.clone(), found: statement.pool });
        }
        Ok(statement)
    }

    fn not_signed(&self) -> PoolError {
        PoolError::NotSigned { pool: self.pool.clone() }
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment")
            .field("pool", &self.pool)
            .field("root", &HEXLOWER.encode(&self.root))
            .field("lowest_format", &self.lowest_format)
            .finish()
    }
}
