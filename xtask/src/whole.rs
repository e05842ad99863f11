//! Files that are there whole or not at all.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};

/// Puts `bytes` at `file` with this `mode`, whatever the umask: written beside it and renamed, so that whoever runs or reads it has the
/// one or the other. Makes its folder.
///
/// # Errors
///
/// When the folder cannot be made or written to.
pub(crate) fn put(file: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let put = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut new = tempfile::Builder::new().prefix(".filemill-new-").tempfile_in(folder)?;
        new.write_all(bytes)?;
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok(())
    };
    put().with_context(|| format!("cannot write `{}`", file.display()))
}
