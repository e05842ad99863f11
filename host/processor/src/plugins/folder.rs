//! The folder that engines are dropped into: who may write to it decides what runs here.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// What a component's file name ends with.
const EXTENSION: &str = ".wasm";
/// The longest name without it, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// An open folder that nobody else can write to. Files are opened through it, so that a path that is replaced meanwhile leads
/// nowhere.
pub(crate) struct EngineFolder(OwnedFd);

/// Why a folder, or a file in it, is not used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFolderError {
    /// It is not there.
    #[error("`{}` is not there", .0.display())]
    Missing(PathBuf),
    /// The system refuses.
    #[error("`{}`: {why}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// How it failed.
        why: String,
    },
    /// Others could put an engine there.
    #[error("`{}` is not safe: {why}", path.display())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl EngineFolderError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing(_) => "make it, or name another with --engines",
            Self::Io { .. } => "check that the user who runs the processor may read it",
            Self::Unsafe { .. } => {
                "let it belong to the user who runs the processor or to root, writable by nobody else (chmod go-w), and be no link"
            }
        }
    }
}

/// What lies in the folder.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Files that are called like components, by name.
    pub(crate) found: Vec<Found>,
    /// Names of those that no engine can have.
    pub(crate) misnamed: Vec<String>,
    /// Names of files that are there but cannot be looked at now: nothing is known of them.
    pub(crate) unseen: Vec<String>,
}

/// A file that may be a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its name without `.wasm`.
    pub(crate) name: String,
    /// Changes whenever the file does.
    pub(crate) stamp: Stamp,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why the bytes of a file are not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It is being written, or went away: look again.
    Changing,
    /// The system does not give it at the moment: try again.
    NotNow(String),
    /// It is not what may be dropped in.
    Refused(String),
}

impl EngineFolder {
    /// Opens a folder that belongs to this user or to root, and that nobody else can write to.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineFolderError> {
        let io_error = |error: Errno| EngineFolderError::Io { path: path.to_owned(), why: error.to_string() };
        let refuse = |why| EngineFolderError::Unsafe { path: path.to_owned(), why };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => EngineFolderError::Missing(path.to_owned()),
            Errno::LOOP | Errno::NOTDIR => refuse("it is a symbolic link or not a folder"),
            error => io_error(error),
        })?;
        objection(&fstat(&folder).map_err(io_error)?).map_or(Ok(Self(folder)), |why| Err(refuse(why)))
    }

    /// The files there that are called like components.
    pub(crate) fn list(&self) -> io::Result<Listed> {
        let mut listed = Listed::default();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            match engine_name(entry.file_name()) {
                Named::Engine(name) => match statat(&self.0, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(about) => listed.found.push(Found { name, stamp: Stamp::of(&about) }),
                    // It went away meanwhile.
                    Err(Errno::NOENT) => {}
                    Err(_) => listed.unseen.push(name),
                },
                Named::Badly(name) => listed.misnamed.push(name),
                Named::Otherwise => {}
            }
        }
        listed.found.sort_by(|a, b| a.name.cmp(&b.name));
        listed.misnamed.sort();
        Ok(listed)
    }

    /// The bytes of a file in the state `found`.
    pub(crate) fn read(&self, found: &Found, max_bytes: usize) -> Result<Vec<u8>, NotTaken> {
        let refuse = |why: String| NotTaken::Refused(why);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file_name = format!("{}{EXTENSION}", found.name);
        let file = match openat(&self.0, file_name.as_str(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(NotTaken::Changing),
            Err(Errno::LOOP) => return Err(refuse("it is a symbolic link".to_owned())),
            Err(error) => return Err(failed("opened", error)),
        };
        let state = || fstat(&file).map_err(|error| failed("looked at", error));
        let about = state()?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(refuse("it is not a plain file".to_owned()));
        }
        if let Some(why) = objection(&about) {
            return Err(refuse(why.to_owned()));
        }
        if Stamp::of(&about) != found.stamp {
            return Err(NotTaken::Changing);
        }
        if u64::try_from(about.st_size).unwrap_or(u64::MAX) > max_bytes as u64 {
            return Err(refuse(format!("it has {} bytes, at most {max_bytes} are taken", about.st_size)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.st_size).unwrap_or(0));
        (&file)
            .take(max_bytes as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        // Whoever wrote to it while it was read has not finished; a clock that ticks slowly shows it by the length alone.
        let is_whole = u64::try_from(about.st_size).is_ok_and(|length| length == bytes.len() as u64);
        if is_whole && Stamp::of(&state()?) == found.stamp { Ok(bytes) } else { Err(NotTaken::Changing) }
    }
}

impl Stamp {
    pub(crate) fn of(about: &Stat) -> Self {
        // Fields have other types on other machines.
        #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
        Self {
            device: about.st_dev as u64,
            inode: about.st_ino as u64,
            bytes: about.st_size as i64,
            modified: (about.st_mtime as i64, about.st_mtime_nsec as i64),
            changed: (about.st_ctime as i64, about.st_ctime_nsec as i64),
        }
    }
}

/// What to make of a file that cannot be `done`: whether that says something about the file, or about this moment.
fn failed(done: &str, error: Errno) -> NotTaken {
    let passing = [
        Errno::AGAIN,
        Errno::BUSY,
        Errno::INTR,
        Errno::IO,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::STALE,
        Errno::TIMEDOUT,
    ];
    let why = format!("it cannot be {done}: {error}");
    if passing.contains(&error) { NotTaken::NotNow(why) } else { NotTaken::Refused(why) }
}

/// Why somebody else decides what stands there.
fn objection(about: &Stat) -> Option<&'static str> {
    if ![geteuid().as_raw(), 0].contains(&about.st_uid) {
        Some("it belongs to another user")
    } else if about.st_mode & 0o022 != 0 {
        Some("others may write to it")
    } else {
        None
    }
}

enum Named {
    Engine(String),
    /// It is called `.wasm`, but so that no release can be named after it.
    Badly(String),
    /// Something else, which may lie here.
    Otherwise,
}

fn engine_name(file_name: &CStr) -> Named {
    let text = file_name.to_string_lossy();
    // Hidden files are what programs write before they rename it.
    let Some(name) = text.strip_suffix(EXTENSION).filter(|name| !name.starts_with('.') && !name.is_empty()) else {
        return Named::Otherwise;
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() <= NAME_MAX_BYTES && name.bytes().all(plain) {
        Named::Engine(name.to_owned())
    } else {
        Named::Badly(text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        chmod(dir.path(), 0o755);
        dir
    }

    fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        chmod(&path, 0o644);
    }

    fn open(dir: &tempfile::TempDir) -> EngineFolder {
        EngineFolder::open(dir.path()).expect("a safe folder")
    }

    fn only(folder: &EngineFolder) -> Found {
        let Listed { found, .. } = folder.list().expect("listed");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let dir = folder();
        for mode in [0o775, 0o757, 0o777] {
            chmod(dir.path(), mode);
            let refused = EngineFolder::open(dir.path()).err();
            assert!(matches!(refused, Some(EngineFolderError::Unsafe { .. })), "{mode:o}: {refused:?}");
        }
        chmod(dir.path(), 0o755);
        let link = dir.path().join("link");
        symlink(dir.path(), &link).expect("linked");
        assert!(matches!(EngineFolder::open(&link), Err(EngineFolderError::Unsafe { .. })));
        assert!(matches!(EngineFolder::open(&dir.path().join("no")), Err(EngineFolderError::Missing(_))));
    }

    #[test]
    fn only_files_that_are_called_like_components_are_found() {
        let dir = folder();
        for name in ["size.wasm", "a b.wasm", ".hidden.wasm", "README.md", ".wasm"] {
            write(&dir, name, b"x");
        }
        let Listed { found, misnamed, unseen } = open(&dir).list().expect("listed");
        assert!(unseen.is_empty());
        assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["size"]);
        assert_eq!(misnamed, ["a b.wasm"]);
    }

    #[test]
    fn links_pipes_and_files_that_others_can_write_to_are_refused() {
        let dir = folder();
        let elsewhere = folder();
        write(&elsewhere, "real.wasm", b"x");
        let path = dir.path().join("it.wasm");
        let refused = |dir| {
            let folder = open(dir);
            let found = only(&folder);
            matches!(folder.read(&found, 100), Err(NotTaken::Refused(_)))
        };
        symlink(elsewhere.path().join("real.wasm"), &path).expect("linked");
        assert!(refused(&dir), "a link");
        std::fs::remove_file(&path).expect("removed");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
        assert!(refused(&dir), "a pipe");
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a folder");
        assert!(refused(&dir), "a folder");
        std::fs::remove_dir(&path).expect("removed");
        write(&dir, "it.wasm", b"x");
        chmod(&path, 0o666);
        assert!(refused(&dir), "writable by all");
        chmod(&path, 0o644);
        assert!(!refused(&dir));
        write(&dir, "it.wasm", &[0; 101]);
        assert!(refused(&dir), "too long");
    }

    #[test]
    fn what_the_system_refuses_for_the_moment_says_nothing_about_the_file() {
        for error in [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR] {
            assert!(matches!(failed("opened", error), NotTaken::NotNow(_)), "{error}");
        }
        assert!(matches!(failed("opened", Errno::ACCESS), NotTaken::Refused(_)));
    }

    #[test]
    fn a_file_that_changed_since_it_was_listed_is_not_taken() {
        let dir = folder();
        write(&dir, "it.wasm", b"one");
        let folder = open(&dir);
        let found = only(&folder);
        assert_eq!(folder.read(&found, 100), Ok(b"one".to_vec()));
        write(&dir, "it.wasm", b"other");
        assert_eq!(folder.read(&found, 100), Err(NotTaken::Changing));
        std::fs::remove_file(dir.path().join("it.wasm")).expect("removed");
        assert_eq!(folder.read(&found, 100), Err(NotTaken::Changing));
    }
}
