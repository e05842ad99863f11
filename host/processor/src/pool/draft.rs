//! A pool in the making: whole and on the disk before it stands where it is looked for.
//!
//! Its files are written into `.NAME.new` beside the pool's folder, which is renamed into place. Whatever is interrupted, there is a
//! pool, or there is none and nothing in the way of another: what an interrupted making left behind was never in use, and goes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use filemill_seal::{Enrolment, Identity, PoolRoot};

use super::error::PoolFolderError;
use super::files::{ENROLMENT, LIFETIME_DAYS, RECORD, ROOT, lock, now_seconds, sign, write_record};
use super::record::{Held, Record};
use super::secret_file::{check_private, io_error, make_folder, replace};

/// A pool that is whole, and not in its place yet.
pub(crate) struct PoolDraft {
    place: PathBuf,
    draft: PathBuf,
    enrolment: Enrolment,
    /// Keeps others from making the same; renaming does not let go of it.
    _lock: File,
}

impl PoolDraft {
    /// Makes a root, an identity and a first statement for a pool that is to stand at `dir`.
    ///
    /// # Errors
    ///
    /// As of `PoolFolder::init`.
    pub(crate) fn make(dir: &Path, name: &str, lifetime_days: u32) -> Result<Self, PoolFolderError> {
        if !LIFETIME_DAYS.contains(&lifetime_days) {
            return Err(PoolFolderError::Lifetime { days: lifetime_days });
        }
        let root = PoolRoot::generate();
        let enrolment = root.enrolment(name)?;
        check_vacant(dir)?;
        let (place, draft) = places(dir)?;
        let lock = lock_draft(&draft)?;
        let made = check_vacant(&place).and_then(|()| fill(&draft, name, lifetime_days, &root, &enrolment));
        if let Err(error) = made {
            // A disk that is full had no room for secrets; what is left of them is in nobody's way, but better gone.
            let _ = fs::remove_dir_all(&draft);
            return Err(error);
        }
        Ok(Self { place, draft, enrolment, _lock: lock })
    }

    /// What clients are to pin.
    pub(crate) fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Puts it into place, in one step and for good, and says where that is.
    ///
    /// # Errors
    ///
    /// What the file system says; nothing is left then.
    pub(crate) fn put_in_place(self) -> Result<PathBuf, PoolFolderError> {
        if let Err(error) = fs::rename(&self.draft, &self.place) {
            let _ = fs::remove_dir_all(&self.draft);
            return Err(io_error(&self.place)(error));
        }
        sync_parent(&self.place)?;
        Ok(self.place)
    }
}

/// Refuses a folder that holds a pool, a part of one, or anything else. One that is empty or not there is good.
///
/// # Errors
///
/// [`PoolFolderError::Exists`], [`PoolFolderError::NotEmpty`], or what the file system says.
pub(crate) fn check_vacant(dir: &Path) -> Result<(), PoolFolderError> {
    if let Some(file) = [RECORD, ROOT, ENROLMENT].into_iter().find(|file| dir.join(file).exists()) {
        return Err(PoolFolderError::Exists { dir: dir.to_owned(), file });
    }
    let mut entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io_error(dir))?,
    };
    if entries.next().is_some() {
        return Err(PoolFolderError::NotEmpty { dir: dir.to_owned() });
    }
    check_private(dir)
}

/// Takes a pool that nobody uses out of its place, in one step, and deletes it.
///
/// # Errors
///
/// What the file system says.
pub(crate) fn take_away(dir: &Path) -> Result<(), PoolFolderError> {
    let (place, draft) = places(dir)?;
    let _lock = lock_draft(&draft)?;
    clear(&draft)?;
    fs::rename(&place, &draft).map_err(io_error(&place))?;
    sync_parent(&place)?;
    fs::remove_dir_all(&draft).map_err(io_error(&draft))
}

/// Where a pool is to stand, and where it is made. Makes the folder above both.
fn places(dir: &Path) -> Result<(PathBuf, PathBuf), PoolFolderError> {
    // A link to an empty folder stays a link.
    let place = if dir.exists() { fs::canonicalize(dir).map_err(io_error(dir))? } else { dir.to_owned() };
    let Some(name) = place.file_name() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "a pool needs a folder with a name of its own");
        return Err(PoolFolderError::Io { path: dir.to_owned(), source });
    };
    let mut draft_name = std::ffi::OsString::from(".");
    draft_name.push(name);
    draft_name.push(".new");
    let parent = parent(&place);
    if !parent.exists() {
        make_folder(parent)?;
    }
    let draft = parent.join(draft_name);
    Ok((place, draft))
}

/// Makes the folder of the draft if it is not there, and locks it.
fn lock_draft(draft: &Path) -> Result<File, PoolFolderError> {
    loop {
        make_folder(draft)?;
        let lock = match lock(draft) {
            Err(PoolFolderError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            lock => lock?,
        };
        // Whoever was waited for has put it into place, or deleted it.
        let locked = lock.metadata().map_err(io_error(draft))?;
        if fs::metadata(draft).is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino())) {
            return Ok(lock);
        }
    }
}

fn fill(
    draft: &Path,
    name: &str,
    lifetime_days: u32,
    root: &PoolRoot,
    enrolment: &Enrolment,
) -> Result<(), PoolFolderError> {
    clear(draft)?;
    let identity = Identity::generate();
    let current = sign(root, name, &identity, lifetime_days, 1, now_seconds())?;
    let held = Held { serial: 1, recipient: identity.recipient(), not_after: current.not_after };
    replace(draft, ROOT, &HEXLOWER.encode(root.expose_seed()))?;
    replace(draft, &held.file_name(), &identity.expose_secret())?;
    replace(draft, ENROLMENT, &format!("{}\n", enrolment.to_json()))?;
    write_record(draft, &Record { filemill_pool_folder: 1, lifetime_days, current, identities: vec![held] })
}

/// Removes what an interrupted making left behind.
fn clear(draft: &Path) -> Result<(), PoolFolderError> {
    for entry in fs::read_dir(draft).map_err(io_error(draft))? {
        let path = entry.map_err(io_error(draft))?.path();
        fs::remove_file(&path).map_err(io_error(&path))?;
    }
    Ok(())
}

fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_parent(place: &Path) -> Result<(), PoolFolderError> {
    let parent = parent(place);
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(io_error(parent))
}

#[cfg(test)]
mod tests {
    use super::super::folder::PoolFolder;
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("entry").file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = fs::read_dir(dir).expect("the folder").map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_pool_is_there_as_a_whole_or_not_at_all_and_what_was_interrupted_is_in_nobodys_way() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pool = dir.path().join("keys/pool");
        let draft = PoolDraft::make(&pool, "lab", 7).expect("made");
        assert!(!pool.exists(), "not in its place yet");
        let first = draft.enrolment().clone();
        // The program is killed here.
        drop(draft);
        fs::write(dir.path().join("keys/.pool.new/.pool.json.new"), "half a rec").expect("written");
        fs::remove_file(dir.path().join("keys/.pool.new/pool.json")).expect("removed");
        let second = PoolFolder::init(&pool, "lab", 7).expect("made, as if nothing had been");
        assert_ne!(second.enrolment(), &first);
        assert_eq!(names(&pool), ["enrolment.json", "identity-1.age-key", "pool.json", "root.key"]);
        assert_eq!(names(&dir.path().join("keys")), ["pool"]);
    }

    #[test]
    fn where_it_cannot_be_made_nothing_is_left() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pool = dir.path().join("pool");
        let draft = PoolDraft::make(&pool, "lab", 7).expect("made");
        // As a disk's fault would: something else is in its place now.
        fs::write(&pool, "").expect("written");
        draft.put_in_place().expect_err("no folder");
        assert_eq!(names(dir.path()), ["pool"]);
    }

    #[test]
    fn a_folder_that_is_there_already_is_taken_if_it_is_empty_and_left_alone_otherwise() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (empty, full, link) = (dir.path().join("empty"), dir.path().join("full"), dir.path().join("link"));
        make_folder(&empty).expect("made");
        std::os::unix::fs::symlink(&empty, &link).expect("linked");
        PoolFolder::init(&link, "lab", 7).expect("made where the link leads");
        assert!(PoolFolder::open(&empty).is_ok() && link.is_symlink());
        make_folder(&full).expect("made");
        fs::write(full.join("notes"), "").expect("written");
        let error = PoolFolder::init(&full, "lab", 7).expect_err("not empty");
        assert!(matches!(error, PoolFolderError::NotEmpty { .. }), "{error}");
        assert_eq!(names(dir.path()), ["empty", "full", "link"]);
    }

    #[test]
    fn a_part_of_a_pool_is_never_taken_for_an_interrupted_making() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pool = dir.path().join("pool");
        PoolFolder::init(&pool, "lab", 7).expect("made");
        fs::remove_file(pool.join(RECORD)).expect("lost");
        let error = PoolFolder::init(&pool, "lab", 7).expect_err("a part is there");
        assert!(matches!(error, PoolFolderError::Exists { file: ROOT, .. }), "{error}");
        let error = PoolFolder::open(&pool).expect_err("no record");
        assert!(error.hint().contains("restore the folder"), "{}", error.hint());
    }

    #[test]
    fn many_who_make_the_same_pool_at_once_make_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pool = dir.path().join("pool");
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| PoolFolder::init(&pool, "lab", 7))).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic").ok()).collect()
        });
        let there = PoolFolder::open(&pool).expect("the pool");
        assert_eq!(made.iter().map(PoolFolder::enrolment).collect::<Vec<_>>(), [there.enrolment()]);
        assert_eq!(names(dir.path()), ["pool"]);
    }

    #[test]
    fn a_pool_that_is_taken_away_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pool = dir.path().join("pool");
        PoolFolder::init(&pool, "lab", 7).expect("made");
        take_away(&pool).expect("taken away");
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}
