//! Which recipients belong to a pool: signed by its root, checked by every client.

mod enrolment;
mod error;
mod root;

use serde::{Deserialize, Serialize};

use crate::bounds::{POOL_NAME_MAX_BYTES, STATEMENT_MAX_BYTES, STATEMENT_MAX_SECONDS};
use crate::identity::Recipient;
pub use enrolment::Enrolment;
pub use error::PoolError;
pub use root::PoolRoot;

/// What is signed comes after this, so that a signature of the root stands for nothing else.
const CONTEXT: &[u8] = b"filemill/1 pool";

/// Largest integer that every JSON implementation keeps exactly.
const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;

/// One recipient of a pool, with its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Name of the pool: 1 to [`POOL_NAME_MAX_BYTES`] ASCII letters, digits, `.`, `_` and `-`.
    pub pool: String,
    /// The recipient.
    pub recipient: Recipient,
    /// Seconds since 1970-01-01 UTC; not valid earlier.
    pub not_before: u64,
    /// Seconds since 1970-01-01 UTC; not valid later. At most [`STATEMENT_MAX_SECONDS`] after `not_before`.
    pub not_after: u64,
    /// Grows with every new recipient, up to 2^53 − 1: a client refuses one lower than the highest it has accepted.
    pub serial: u64,
}

/// A statement as it is passed on: its exact text and the root's signature over it.
///
/// Nothing in it can be read before [`Enrolment::verify`] has checked it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    statement: String,
    signature: String,
}

/// A statement as JSON. The order of the fields is part of the format.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementText {
    filemill_pool: u64,
    pool: String,
    recipient: Recipient,
    not_before: u64,
    not_after: u64,
    serial: u64,
}

impl Statement {
    /// Checks what does not depend on time.
    fn check(&self) -> Result<(), PoolError> {
        check_name(&self.pool)?;
        let seconds = self.not_after.checked_sub(self.not_before).filter(|seconds| *seconds > 0);
        if seconds.is_none_or(|seconds| seconds > STATEMENT_MAX_SECONDS) {
            return Err(PoolError::Lifetime { not_before: self.not_before, not_after: self.not_after });
        }
        if self.serial > JSON_INTEGER_MAX || self.not_after > JSON_INTEGER_MAX {
            return Err(PoolError::Malformed { detail: "a number above 2^53 - 1".to_owned() });
        }
        Ok(())
    }

    fn to_text(&self) -> Result<String, PoolError> {
        self.check()?;
        serde_json::to_string(&StatementText {
            filemill_pool: 1,
            pool: self.pool.clone(),
            recipient: self.recipient.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
            serial: self.serial,
        })
        .map_err(PoolError::malformed)
    }

    /// Parses the text of a statement, whose signature was checked.
    pub(crate) fn from_text(text: &str) -> Result<Self, PoolError> {
        let version = Version::of(text, |fields| fields.filemill_pool)?;
        if version != 1 {
            return Err(PoolError::Version { found: version });
        }
        let text: StatementText = serde_json::from_str(text).map_err(PoolError::malformed)?;
        let statement = Self {
            pool: text.pool,
            recipient: text.recipient,
            not_before: text.not_before,
            not_after: text.not_after,
            serial: text.serial,
        };
        statement.check()?;
        Ok(statement)
    }
}

impl SignedStatement {
    /// The bytes that are signed.
    fn message(statement: &str) -> Result<Vec<u8>, PoolError> {
        if statement.len() > STATEMENT_MAX_BYTES {
            return Err(PoolError::TooLong { found: statement.len() });
        }
        Ok([CONTEXT, statement.as_bytes()].concat())
    }
}

/// Reads only the number that says which version a text is of, so that a newer one is called that, and not malformed.
#[derive(Deserialize)]
struct Version {
    filemill_pool: Option<u64>,
    filemill_enrolment: Option<u64>,
}

impl Version {
    fn of(text: &str, field: impl FnOnce(Self) -> Option<u64>) -> Result<u64, PoolError> {
        let fields: Self = serde_json::from_str(text).map_err(PoolError::malformed)?;
        field(fields).ok_or_else(|| PoolError::Malformed { detail: "the version is missing".to_owned() })
    }
}

fn check_name(name: &str) -> Result<(), PoolError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=POOL_NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(PoolError::Name { found: name.chars().take(80).collect() })
    }
}
