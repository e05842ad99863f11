//! What `pool.json` says.

use filemill_seal::{Recipient, SignedStatement};
use serde::{Deserialize, Serialize};

/// The state of a pool's folder.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Version of this file, 1.
    pub(super) filemill_pool_folder: u32,
    /// Lifetime of a new statement.
    pub(super) lifetime_days: u32,
    /// The newest statement.
    pub(super) current: Current,
    /// Identities that open headers, the newest last.
    pub(super) identities: Vec<Held>,
}

/// The newest statement, and what it says.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Current {
    pub(super) recipient: Recipient,
    /// Seconds since 1970-01-01 UTC.
    pub(super) not_before: u64,
    /// Seconds since 1970-01-01 UTC.
    pub(super) not_after: u64,
    pub(super) serial: u64,
    pub(super) signed: SignedStatement,
}

/// One identity.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    /// Serial of the statement that announced it first; names its file.
    pub(super) serial: u64,
    pub(super) recipient: Recipient,
    /// Seconds since 1970-01-01 UTC: end of the last statement that announced it.
    pub(super) not_after: u64,
}

impl Held {
    pub(super) fn file_name(&self) -> String {
        format!("identity-{}.age-key", self.serial)
    }
}
