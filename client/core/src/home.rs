//! The folder where a client keeps what it must remember.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Longest file of the home that is read whole, in bytes. What this program writes is far shorter.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The folder where a client keeps login, journal and, if allowed, its secret key. Only its owner may enter it.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
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
        let home = Self { path };
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

    /// Waits until no other program holds the lock of this name, and holds it until the file is dropped. Blocks.
    pub(crate) fn lock(&self, name: &str) -> Result<File, Error> {
        let path = self.path.join(name);
        let failed = |error: std::io::Error| Error::file("lock", &path, &error);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
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

/// Reads a short text file; `None` if there is none.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read", path, &error)),
    };
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| Error::file("read", path, &error))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(Error::Malformed { path: path.to_owned(), detail: "it is longer than 1 MiB".to_owned() });
    }
    Ok(Some(text))
}

/// Puts `text` in the place of a file that only its owner may read: all of it, or what was there before.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::file("write", path, &error);
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
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
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

    #[test]
    fn what_is_written_into_the_home_is_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home")).unwrap();
        write_private(&home.token(), "one").unwrap();
        write_private(&home.token(), "two").unwrap();
        assert_eq!(read_text(&home.token()).unwrap().as_deref(), Some("two"));
        assert_eq!(read_text(&home.config()).unwrap(), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(home.path()), mode(&home.token())), (0o700, 0o600));
        }
    }
}
