//! Files that only their owner can read, replaced in one step.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::error::PoolFolderError;

/// No file of a pool's folder is longer.
const MAX_BYTES: u64 = 64 << 10;

/// Makes `dir` with mode 0700, or takes it as it is if only its owner can use it.
pub(crate) fn make_folder(dir: &Path) -> Result<(), PoolFolderError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
    check_private(dir)
}

/// Refuses what others than its owner can read or write.
pub(crate) fn check_private(path: &Path) -> Result<(), PoolFolderError> {
    let mode = fs::metadata(path).map_err(io_error(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(PoolFolderError::Exposed { path: path.to_owned(), mode }) }
}

/// Reads a private file of at most 64 KiB.
pub(crate) fn read(path: &Path) -> Result<String, PoolFolderError> {
    check_private(path)?;
    let mut text = String::new();
    let file = File::open(path).map_err(io_error(path))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(io_error(path))?;
    if text.len() as u64 > MAX_BYTES {
        let detail = format!("it is longer than {MAX_BYTES} bytes");
        return Err(PoolFolderError::Malformed { path: path.to_owned(), detail });
    }
    Ok(text)
}

/// Replaces `dir/name` by a file of mode 0600, in one step and for good: a reader sees the old text or the new one, also
/// after a power cut.
pub(crate) fn replace(dir: &Path, name: &str, text: &str) -> Result<(), PoolFolderError> {
    let path = dir.join(name);
    let new = dir.join(format!(".{name}.new"));
    write_new(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(io_error(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error(dir))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // One that an interrupted call left behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> PoolFolderError + '_ {
    |source| PoolFolderError::Io { path: path.to_owned(), source }
}
