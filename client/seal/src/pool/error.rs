//! Why an enrolment or a statement is refused.

use crate::bounds::{POOL_NAME_MAX_BYTES, STATEMENT_MAX_BYTES, STATEMENT_MAX_SECONDS};

/// Why an enrolment or a pool's statement is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// More than [`STATEMENT_MAX_BYTES`].
    #[error("statement or enrolment has {found} bytes, more than {STATEMENT_MAX_BYTES}")]
    TooLong {
        /// How many bytes.
        found: usize,
    },
    /// Not the JSON that it must be.
    #[error("statement or enrolment is malformed: {detail}")]
    Malformed {
        /// What is wrong, and where.
        detail: String,
    },
    /// A statement of a version that this one does not read.
    #[error("statement or enrolment has version {found}, this program reads version 1")]
    Version {
        /// The version.
        found: u64,
    },
    /// An enrolment of a version that this one does not read.
    #[error("enrolment has version {found}, this program reads versions 1 and 2")]
    EnrolmentVersion {
        /// The version.
        found: u64,
    },
    /// An enrolment that asks for a format which this one does not write.
    #[error("enrolment asks for headers of format {found} or newer, this program writes formats 1 and 2")]
    LowestFormat {
        /// The lowest format that it allows.
        found: u64,
    },
    /// Not a name that a pool can have.
    #[error("`{found}` is not a pool's name")]
    Name {
        /// The name, cut to 80 characters.
        found: String,
    },
    /// The root that was pinned did not sign it.
    #[error("the root of pool `{pool}` did not sign this recipient")]
    NotSigned {
        /// The pool that is pinned.
        pool: String,
    },
    /// For another pool of the same root.
    #[error("recipient is for pool `{found}`, not for `{expected}`")]
    OtherPool {
        /// The pool that is pinned.
        expected: String,
        /// The pool it names.
        found: String,
    },
    /// Valid for no time, or for more than [`STATEMENT_MAX_SECONDS`].
    #[error("recipient is valid from {not_before} to {not_after}, which is not 1 to {STATEMENT_MAX_SECONDS} seconds")]
    Lifetime {
        /// Seconds since 1970-01-01 UTC.
        not_before: u64,
        /// Seconds since 1970-01-01 UTC.
        not_after: u64,
    },
    /// Too early.
    #[error("the pool's recipient is valid from {not_before} on, now is {now} (seconds since 1970)")]
    NotYetValid {
        /// Seconds since 1970-01-01 UTC.
        not_before: u64,
        /// Seconds since 1970-01-01 UTC.
        now: u64,
    },
    /// Too late.
    #[error("the pool's recipient expired at {not_after}, now is {now} (seconds since 1970)")]
    Expired {
        /// Seconds since 1970-01-01 UTC.
        not_after: u64,
        /// Seconds since 1970-01-01 UTC.
        now: u64,
    },
    /// Older than one that was accepted.
    #[error("the pool's recipient has serial {found}, but {lowest} was already in use")]
    Superseded {
        /// The highest serial that was accepted.
        lowest: u64,
        /// Its serial.
        found: u64,
    },
}

impl PoolError {
    pub(super) fn malformed(error: serde_json::Error) -> Self {
        Self::Malformed { detail: error.to_string() }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::TooLong { .. } | Self::Malformed { .. } => "get it again from the pool's operator",
            Self::Version { .. } => "update this program",
            Self::EnrolmentVersion { .. } | Self::LowestFormat { .. } => {
                "update this program, or ask the pool's operator for an enrolment of version 1 or 2"
            }
            Self::Name { .. } => {
                return format!("a name has 1 to {POOL_NAME_MAX_BYTES} letters a to z or A to Z, digits, `.`, `_` or `-`");
            }
            Self::NotSigned { .. } | Self::OtherPool { .. } => {
                "the server offers a recipient of its own, or the pool has a new root: ask the pool's operator for the fingerprint"
            }
            Self::Lifetime { .. } => "sign it for at most 31 days",
            Self::NotYetValid { .. } => {
                "check this machine's clock; else a clock was ahead where it was signed: the pool's operator must sign a new recipient"
            }
            Self::Expired { .. } => "check this machine's clock; else the pool's operator must sign a new recipient",
            Self::Superseded { .. } => "the server offers a recipient that was replaced: tell the pool's operator",
        }
        .to_owned()
    }
}
