//! Making, reading and renewing a pool's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use filemill_seal::{Enrolment, Identity, PoolRoot, SignedStatement};

use super::draft::PoolDraft;
use super::error::PoolFolderError;
use super::files::{
    DAY_SECONDS, ENROLMENT, LIFETIME_DAYS, RECORD, ROOT, lock, now_seconds, read_record, sign, write_record,
};
use super::record::{Current, Held, Record};
use super::secret_file::{io_error, read, replace};

/// How long an identity is kept after its last statement ended: for what was sealed in the last minute and waits.
const KEPT_SECONDS: u64 = 31 * DAY_SECONDS;

/// An open pool folder. Holds the identities in memory; `Debug` shows public parts only.
#[derive(Debug)]
pub struct PoolFolder {
    dir: PathBuf,
    enrolment: Enrolment,
    identities: Vec<Identity>,
    signed: SignedStatement,
    serial: u64,
    not_before: u64,
    not_after: u64,
}

/// What a renewal does with the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Announces the same identity for longer.
    SameIdentity,
    /// Makes a new identity and announces that one; the former still opens headers that were sealed for it.
    NewIdentity,
}

impl PoolFolder {
    /// Makes a root, an identity and a first statement in `dir`, which is made with mode 0700 if it is missing. They are there
    /// together or not at all, also after a power cut.
    ///
    /// # Errors
    ///
    /// [`PoolFolderError::Exists`] where there is a pool already, [`PoolFolderError::NotEmpty`] where there is something else,
    /// [`PoolFolderError::Lifetime`] outside of [`LIFETIME_DAYS`], [`PoolFolderError::Pool`] for a name that no pool can have; else
    /// what the file system says. Nothing was written then.
    pub fn init(dir: &Path, name: &str, lifetime_days: u32) -> Result<Self, PoolFolderError> {
        let place = PoolDraft::make(dir, name, lifetime_days)?.put_in_place()?;
        Self::open(&place)
    }

    /// Reads the folder. Others than its owner must not be able to.
    ///
    /// # Errors
    ///
    /// [`PoolFolderError`] names the file and what is wrong with it.
    pub fn open(dir: &Path) -> Result<Self, PoolFolderError> {
        let record = read_record(dir)?;
        let enrolment_path = dir.join(ENROLMENT);
        let enrolment = Enrolment::from_json(read(&enrolment_path)?.trim_end())
            .map_err(|error| PoolFolderError::Malformed { path: enrolment_path, detail: error.to_string() })?;
        let identities = record.identities.iter().map(|held| read_identity(dir, held)).collect::<Result<_, _>>()?;
        let Current { not_before, not_after, serial, signed, .. } = record.current;
        Ok(Self { dir: dir.to_owned(), enrolment, identities, signed, serial, not_before, not_after })
    }

    /// Signs a new statement and reads the folder again. Identities whose last statement ended 31 days ago are deleted, if the
    /// former statement still holds.
    ///
    /// # Errors
    ///
    /// [`PoolFolderError::NoRoot`] where the root is kept elsewhere, [`PoolFolderError::Lifetime`]; else like
    /// [`open`](Self::open). On an error the folder is as it was.
    pub fn renew(&mut self, renewal: Renewal, lifetime_days: Option<u32>) -> Result<(), PoolFolderError> {
        self.renew_above(0, renewal, lifetime_days)
    }

    /// Like [`renew`](Self::renew), with a serial above `serial` too: one that the root has signed elsewhere, when this folder is a copy
    /// or was restored.
    ///
    /// # Errors
    ///
    /// Like [`renew`](Self::renew).
    pub fn renew_above(
        &mut self,
        serial: u64,
        renewal: Renewal,
        lifetime_days: Option<u32>,
    ) -> Result<(), PoolFolderError> {
        let _lock = lock(&self.dir)?;
        let mut record = read_record(&self.dir)?;
        // Another processor may have renewed it between our look and the lock.
        let serial = record.current.serial.max(serial).saturating_add(1);
        record.lifetime_days = lifetime_days.unwrap_or(record.lifetime_days);
        if !LIFETIME_DAYS.contains(&record.lifetime_days) {
            return Err(PoolFolderError::Lifetime { days: record.lifetime_days });
        }
        let root = read_root(&self.dir)?;
        let identity = match renewal {
            Renewal::NewIdentity => Identity::generate(),
            Renewal::SameIdentity => read_identity(&self.dir, newest(&self.dir, &record)?)?,
        };
        let held_before = record.current.not_before..=record.current.not_after;
        let now = now_seconds();
        record.current = sign(&root, self.enrolment.pool(), &identity, record.lifetime_days, serial, now)?;
        let not_after = record.current.not_after;
        match record.identities.iter_mut().find(|held| held.recipient == identity.recipient()) {
            Some(held) => held.not_after = held.not_after.max(not_after),
            None => {
                let held = Held { serial, recipient: identity.recipient(), not_after };
                replace(&self.dir, &held.file_name(), &identity.expose_secret())?;
                record.identities.push(held);
            }
        }
        // Whoever signs at another time than while a statement holds may have a wrong clock: a deleted identity is gone for good.
        let (kept, gone) = record
            .identities
            .into_iter()
            .partition(|held| !held_before.contains(&now) || held.not_after.saturating_add(KEPT_SECONDS) > now);
        record.identities = kept;
        write_record(&self.dir, &record)?;
        let gone: Vec<Held> = gone;
        for held in gone {
            let path = self.dir.join(held.file_name());
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
        *self = Self::open(&self.dir)?;
        Ok(())
    }

    /// Renews the statement if that is due and the root is here; says whether it did.
    ///
    /// # Errors
    ///
    /// Like [`renew`](Self::renew).
    pub fn renew_if_due(&mut self) -> Result<bool, PoolFolderError> {
        if !self.is_due() || !self.has_root() {
            return Ok(false);
        }
        // Another processor of the pool that shares the folder may have been first.
        *self = Self::open(&self.dir)?;
        if !self.is_due() {
            return Ok(true);
        }
        self.renew(Renewal::SameIdentity, None)?;
        Ok(true)
    }

    /// Whether half of the statement's life is over, or it has not begun.
    pub fn is_due(&self) -> bool {
        self.is_early() || now_seconds() > self.not_before + (self.not_after - self.not_before) / 2
    }

    /// Whether the statement is not valid yet: a clock that was ahead signed it. It is replaced, and not waited for.
    pub fn is_early(&self) -> bool {
        now_seconds() < self.not_before
    }

    /// How long the statement is still valid; `None` if it expired.
    pub fn remaining(&self) -> Option<Duration> {
        self.not_after.checked_sub(now_seconds()).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// Whether statements can be signed here.
    pub fn has_root(&self) -> bool {
        self.dir.join(ROOT).exists()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Name and root of the pool: what clients pin.
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Identities that open headers, the newest last.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The newest statement, as it is published.
    pub fn signed(&self) -> &SignedStatement {
        &self.signed
    }

    /// Serial of the newest statement.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// When the newest statement ends, in seconds since 1970-01-01 UTC.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }
}

fn newest<'a>(dir: &Path, record: &'a Record) -> Result<&'a Held, PoolFolderError> {
    record.identities.iter().find(|held| held.recipient == record.current.recipient).ok_or_else(|| {
        PoolFolderError::Malformed { path: dir.join(RECORD), detail: "the announced identity is not listed".to_owned() }
    })
}

fn read_identity(dir: &Path, held: &Held) -> Result<Identity, PoolFolderError> {
    let path = dir.join(held.file_name());
    let malformed = |detail: String| PoolFolderError::Malformed { path: path.clone(), detail };
    let identity: Identity = read(&path)?.trim_end().parse().map_err(|error| malformed(format!("{error}")))?;
    if identity.recipient() != held.recipient {
        return Err(malformed(format!("it is not the identity of `{}`", held.recipient)));
    }
    Ok(identity)
}

fn read_root(dir: &Path) -> Result<PoolRoot, PoolFolderError> {
    let path = dir.join(ROOT);
    if !path.exists() {
        return Err(PoolFolderError::NoRoot { dir: dir.to_owned() });
    }
    let mut seed = [0; PoolRoot::BYTES];
    let text = read(&path)?;
    let text = text.trim_end();
    if text.len() != 2 * seed.len() || HEXLOWER.decode_mut(text.as_bytes(), &mut seed).is_err() {
        let detail = format!("it is not {} hex characters", 2 * seed.len());
        return Err(PoolFolderError::Malformed { path, detail });
    }
    Ok(PoolRoot::from_seed(&seed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::secret_file::check_private;
    use super::*;

    fn pool() -> (tempfile::TempDir, PoolFolder) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let folder = PoolFolder::init(&dir.path().join("pool"), "lab", 7).expect("pool");
        (dir, folder)
    }

    #[test]
    fn what_init_makes_is_private_and_accepted_by_clients() {
        let (_dir, folder) = pool();
        let statement = folder.enrolment().verify(folder.signed(), now_seconds(), 0).expect("statement");
        assert_eq!((statement.pool.as_str(), statement.serial), ("lab", 1));
        assert_eq!(statement.recipient, folder.identities()[0].recipient());
        for entry in fs::read_dir(folder.dir()).expect("folder") {
            let mode = entry.expect("entry").metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        check_private(folder.dir()).expect("0700");
    }

    #[test]
    fn a_pool_is_never_overwritten() {
        let (_dir, folder) = pool();
        let error = PoolFolder::init(folder.dir(), "lab", 7).expect_err("exists");
        assert!(matches!(error, PoolFolderError::Exists { .. }), "{error}");
    }

    #[test]
    fn a_rotation_keeps_the_former_identity_and_raises_the_serial() {
        let (_dir, mut folder) = pool();
        let first = folder.identities()[0].recipient();
        folder.renew(Renewal::NewIdentity, None).expect("rotated");
        folder.renew(Renewal::SameIdentity, Some(30)).expect("renewed");
        let recipients: Vec<_> = folder.identities().iter().map(Identity::recipient).collect();
        assert_eq!((recipients.len(), &recipients[0]), (2, &first));
        let statement = folder.enrolment().verify(folder.signed(), now_seconds(), 2).expect("statement");
        assert_eq!((statement.serial, &statement.recipient), (3, &recipients[1]));
    }

    #[test]
    fn a_fresh_statement_is_not_renewed() {
        let (_dir, mut folder) = pool();
        assert!(!folder.renew_if_due().expect("not due"));
        assert_eq!(folder.serial(), 1);
    }

    /// The folder, with a newest statement that a clock signed which was `ahead` by so many seconds.
    fn signed_by_another_clock(folder: &PoolFolder, ahead: i64) -> PoolFolder {
        let (dir, mut record) = (folder.dir(), read_record(folder.dir()).expect("a record"));
        let root = read_root(dir).expect("the root");
        let identity = folder.identities().last().expect("an identity");
        let now = now_seconds().checked_add_signed(ahead).expect("a time");
        record.current = sign(&root, "lab", identity, 7, record.current.serial + 1, now).expect("a statement");
        for held in &mut record.identities {
            held.not_after = record.current.not_after;
        }
        write_record(dir, &record).expect("written");
        PoolFolder::open(dir).expect("the folder")
    }

    const YEAR: i64 = 365 * DAY_SECONDS as i64;

    #[test]
    fn a_statement_from_the_future_is_replaced_and_not_waited_for() {
        let (_dir, folder) = pool();
        let mut folder = signed_by_another_clock(&folder, YEAR);
        assert_eq!((folder.serial(), folder.is_early()), (2, true));
        folder.enrolment().verify(folder.signed(), now_seconds(), 1).expect_err("no client takes it now");
        assert!(folder.renew_if_due().expect("it is due"));
        assert_eq!((folder.serial(), folder.is_early(), folder.identities().len()), (3, false, 1));
        folder.enrolment().verify(folder.signed(), now_seconds(), 2).expect("clients take this one");
    }

    #[test]
    fn a_clock_that_is_far_ahead_deletes_no_identity() {
        let (_dir, mut folder) = pool();
        folder.renew(Renewal::NewIdentity, None).expect("rotated");
        // Seen from now, the statement was signed a year ago: so a clock sees it that is a year ahead.
        let mut folder = signed_by_another_clock(&folder, -YEAR);
        folder.renew(Renewal::SameIdentity, None).expect("renewed");
        assert_eq!(folder.identities().len(), 2, "whether they are old is for a renewal in time to say");
        folder.renew(Renewal::SameIdentity, None).expect("renewed");
        assert_eq!(folder.identities().len(), 1);
    }

    #[test]
    fn a_serial_that_was_signed_elsewhere_is_passed_over() {
        let (_dir, mut folder) = pool();
        folder.renew_above(9, Renewal::SameIdentity, None).expect("renewed");
        assert_eq!(folder.serial(), 10);
        folder.renew_above(3, Renewal::SameIdentity, None).expect("renewed");
        assert_eq!(folder.serial(), 11);
    }

    #[test]
    fn without_the_root_nothing_is_signed() {
        let (_dir, mut folder) = pool();
        fs::remove_file(folder.dir().join(ROOT)).expect("removed");
        assert!(!folder.has_root());
        let error = folder.renew(Renewal::SameIdentity, None).expect_err("no root");
        assert!(matches!(error, PoolFolderError::NoRoot { .. }), "{error}");
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let (_dir, folder) = pool();
        fs::set_permissions(folder.dir(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let error = PoolFolder::open(folder.dir()).expect_err("exposed");
        assert!(matches!(error, PoolFolderError::Exposed { mode: 0o755, .. }), "{error}");
    }

    #[test]
    fn a_lifetime_that_clients_would_refuse_is_refused_here() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for days in [0, 31] {
            let error = PoolFolder::init(&dir.path().join("pool"), "lab", days).expect_err("lifetime");
            assert!(matches!(error, PoolFolderError::Lifetime { .. }), "{error}");
        }
    }
}
