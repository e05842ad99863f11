//! The folder where a client keeps what it must remember.

mod lock;
mod waiting;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use waiting::Waiting;

/// Longest file of the home that is read whole, in bytes. What this program writes is far shorter.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The folder where a client keeps login, journal and, if allowed, its secret key. Only its owner may enter it.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    waiting: Option<Waiting>,
}

impl Home {
    /// The home that FILEMILL_HOME names, else the platform's folder for application data.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if neither is known or the folder cannot be made.
    pub fn from_environment() -> Result<Self, Error> {
        let path = match std::env::var_os("FILEMILL_HOME") {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => data_folder().ok_or_else(|| Error::File {
                action: "find",
                path: PathBuf::from("FILEMILL_HOME"),
                detail: "neither it nor the user's own folder is set".to_owned(),
            })?,
        };
        Self::at(path)
    }

    /// The home in the folder `path`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it cannot be made, or made private.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let path = std::path::absolute(&path).map_err(|error| Error::file("find", &path, &error))?;
        let home = Self { path, waiting: None };
        home.make_folder(&home.path)?;
        home.make_folder(&home.sessions())?;
        Ok(home)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.path.join("token")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path.join("identity.txt")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// Where each running program holds a lock, so that others can tell which uploads are orphans.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    fn make_folder(&self, path: &Path) -> Result<(), Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| Error::file("make the folder", path, &error))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;

            // It may have been made by somebody else, with the usual mode.
            let mode = fs::metadata(path).map_err(|error| Error::file("read", path, &error))?.permissions().mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                    .map_err(|error| Error::file("make private", path, &error))?;
            }
        }
        Ok(())
    }
}

/// Does what may block, on a thread for that.
pub(crate) async fn on_thread<T: Send + 'static>(
    home: &Home,
    work: impl FnOnce(&Home) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let home = home.clone();
    tokio::task::spawn_blocking(move || work(&home)).await.map_err(|_| Error::Stopped)?
}

/// Opens a file. A pipe in its place would keep this program waiting, and no signal would end it.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.cast_signed());
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is no file")) }
}

/// Reads a short text file of the home; `None` if there is none.
///
/// # Errors
///
/// [`Error::Malformed`] for what this program cannot have written, [`Error::File`] if it cannot be read.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let file = match open_regular(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read", path, &error)),
    };
    let malformed = |detail| Error::Malformed { path: path.to_owned(), detail };
    read_bounded(file, path, FILE_MAX_BYTES, malformed).map(Some)
}

/// Reads a text file that the user names, of so many bytes at most. It may be a pipe, such as a shell makes of `<(…)`: whoever
/// drops this need not wait for it.
///
/// # Errors
///
/// [`Error::File`] if it cannot be read, is longer, or is no text in UTF-8.
pub async fn read_given(path: &Path, bytes_max: u64) -> Result<String, Error> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let file = File::open(&path).map_err(|error| Error::file("read", &path, &error))?;
        let unfit = |detail| Error::File { action: "read", path: path.clone(), detail };
        read_bounded(file, &path, bytes_max, unfit)
    });
    read.await.map_err(|_| Error::Stopped)?
}

fn read_bounded(file: File, path: &Path, bytes_max: u64, unfit: impl FnOnce(String) -> Error) -> Result<String, Error> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| Error::file("read", path, &error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(unfit(format!("it is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| unfit("it is not text in UTF-8".to_owned()))
}

/// What is to lie at a path, whole and on the disk. Nothing of it stays if it is dropped.
pub(crate) struct Prepared {
    part: PathBuf,
    path: PathBuf,
    is_put: bool,
}

impl Prepared {
    /// Puts it there.
    pub(crate) fn put(mut self) -> Result<(), Error> {
        let put = fs::rename(&self.part, &self.path).map_err(|error| Error::file("write", &self.path, &error));
        self.is_put = put.is_ok();
        put
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.is_put {
            // It may hold a secret.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Puts `text` in the place of a file that only its owner may read: all of it, or what was there before.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    prepare_private(path, text)?.put()
}

/// Writes beside it what is to take the place of a file that only its owner may read.
pub(crate) fn prepare_private(path: &Path, text: &str) -> Result<Prepared, Error> {
    let failed = |error: std::io::Error| Error::file("write", path, &error);
    if text.len() as u64 > FILE_MAX_BYTES {
        let detail = format!("it would be longer than {FILE_MAX_BYTES} bytes, and could not be read again");
        return Err(Error::File { action: "write", path: path.to_owned(), detail });
    }
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part).map_err(failed)?;
    let prepared = Prepared { part, path: path.to_owned(), is_put: false };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(prepared)
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn data_folder() -> Option<PathBuf> {
    let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| Some(std::env::home_dir()?.join(".local/share"))).map(|folder| folder.join("filemill"))
}

#[cfg(target_vendor = "apple")]
fn data_folder() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join("Library/Application Support/filemill"))
}

#[cfg(windows)]
fn data_folder() -> Option<PathBuf> {
    std::env::var_os("LOCALAPPDATA").map(|folder| PathBuf::from(folder).join("filemill"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_file_of_the_home_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        for path in [home.config(), home.path().join("key.lock")] {
            let pipe = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, 0o600.into(), 0).unwrap();
        }
        let read = read_text(&home.config()).unwrap_err().to_string();
        assert!(read.ends_with("it is no file"), "{read}");
        let locked = home.lock("key.lock").unwrap_err().to_string();
        assert!(locked.ends_with("it is no file"), "{locked}");
    }

    #[test]
    fn what_is_written_into_the_home_is_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home")).unwrap();
        write_private(&home.token(), "one").unwrap();
        write_private(&home.token(), "two").unwrap();
        assert_eq!(read_text(&home.token()).unwrap().as_deref(), Some("two"));
        assert_eq!(read_text(&home.config()).unwrap(), None);
        // What could not be read again does not take its place.
        let [longest, longer] = [0, 1].map(|more| "a".repeat((FILE_MAX_BYTES + more) as usize));
        write_private(&home.token(), &longest).unwrap();
        let error = write_private(&home.token(), &longer).unwrap_err().to_string();
        assert!(error.ends_with("could not be read again"), "{error}");
        assert_eq!(read_text(&home.token()).unwrap(), Some(longest));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(home.path()), mode(&home.token())), (0o700, 0o600));
        }
    }
}
