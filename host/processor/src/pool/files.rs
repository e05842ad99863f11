//! What a pool's folder is made of: its files by name, its record, and the statement in it.

use std::fs::File;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use filemill_seal::{Identity, PoolRoot, Statement};

use super::error::PoolFolderError;
use super::record::{Current, Record};
use super::secret_file::{check_private, io_error, read, replace};

pub(super) const RECORD: &str = "pool.json";
pub(super) const ENROLMENT: &str = "enrolment.json";
pub(super) const ROOT: &str = "root.key";

/// How long a statement may live, in days. (A statement starts ten minutes in the past, and 31 days are the protocol's most.)
pub const LIFETIME_DAYS: std::ops::RangeInclusive<u32> = 1..=30;

/// In a day.
pub(super) const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Clients' clocks differ.
const BACKDATED_SECONDS: u64 = 600;

/// Keeps other processes from changing the folder until the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, PoolFolderError> {
    let file = File::open(dir).map_err(io_error(dir))?;
    file.lock().map_err(io_error(dir))?;
    Ok(file)
}

pub(super) fn sign(
    root: &PoolRoot,
    pool: &str,
    identity: &Identity,
    lifetime_days: u32,
    serial: u64,
    now: u64,
) -> Result<Current, PoolFolderError> {
    let statement = Statement {
        pool: pool.to_owned(),
        recipient: identity.recipient(),
        not_before: now.saturating_sub(BACKDATED_SECONDS),
        not_after: now + u64::from(lifetime_days) * DAY_SECONDS,
        serial,
    };
    let signed = root.sign(&statement)?;
    let Statement { recipient, not_before, not_after, .. } = statement;
    Ok(Current { recipient, not_before, not_after, serial, signed })
}

/// Reads what `pool.json` says.
pub(super) fn read_record(dir: &Path) -> Result<Record, PoolFolderError> {
    let path = dir.join(RECORD);
    if !path.exists() {
        return Err(PoolFolderError::Missing { dir: dir.to_owned() });
    }
    check_private(dir)?;
    let text = read(&path)?;
    let malformed = |detail: String| PoolFolderError::Malformed { path: path.clone(), detail };
    let record: Record = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    if record.filemill_pool_folder != 1 {
        return Err(malformed(format!("it has version {}, this program reads version 1", record.filemill_pool_folder)));
    }
    if record.current.not_after < record.current.not_before {
        return Err(malformed("its statement ends before it begins".to_owned()));
    }
    Ok(record)
}

pub(super) fn write_record(dir: &Path, record: &Record) -> Result<(), PoolFolderError> {
    let text = serde_json::to_string_pretty(record).expect("strings and numbers are valid JSON");
    replace(dir, RECORD, &text)
}

pub(super) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
