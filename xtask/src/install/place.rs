//! Putting files where they are to be, whole or not at all, and taking away those that were put there.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::manifest::Manifest;

/// What a file is to hold.
#[derive(Debug)]
pub(super) struct Content {
    bytes: Vec<u8>,
    mode: u32,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub(super) digest: String,
}

impl Content {
    /// That of another file, which is a program.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn program(file: &Path) -> Result<Self> {
        Ok(Self::new(read(file)?, 0o755))
    }

    /// That of another file.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn file(file: &Path) -> Result<Self> {
        Ok(Self::new(read(file)?, 0o644))
    }

    /// A text.
    pub(super) fn text(text: String) -> Self {
        Self::new(text.into_bytes(), 0o644)
    }

    fn new(bytes: Vec<u8>, mode: u32) -> Self {
        let digest = digest_of(&bytes);
        Self { bytes, mode, digest }
    }
}

/// Puts `content` at `file`: written beside it and renamed, so that whoever runs or reads it has the one or the other.
///
/// # Errors
///
/// When the folder cannot be made or written to.
pub(super) fn put(file: &Path, content: &Content) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut new = tempfile::Builder::new()
            .prefix(".filemill-install-")
            .permissions(Permissions::from_mode(content.mode))
            .tempfile_in(folder)?;
        new.write_all(&content.bytes)?;
        // What this user's umask took away.
        new.as_file().set_permissions(Permissions::from_mode(content.mode))?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok(())
    };
    put().with_context(|| format!("cannot write `{}`", file.display()))
}

/// An error if there is something at `path`, below `prefix`, that is not as `manifest` says.
///
/// # Errors
///
/// That, and when it cannot be looked at.
pub(super) fn expect_free(prefix: &Path, path: &str, manifest: &Manifest) -> Result<()> {
    if state(prefix, path, manifest)? == State::Foreign {
        bail!(
            "`{}` is not as `cargo xtask install` left it, and stays\nhint: move it away, and install again",
            prefix.join(path).display()
        );
    }
    Ok(())
}

/// Removes `path`, below `prefix`, if it is as `manifest` says; one that is not stays, which is said. Whether it is removed.
///
/// # Errors
///
/// When it cannot be looked at or removed.
pub(super) fn remove(prefix: &Path, path: &str, manifest: &Manifest) -> Result<bool> {
    let file = prefix.join(path);
    match state(prefix, path, manifest)? {
        State::Absent => Ok(false),
        State::Foreign => {
            filemill_text::tell!("`{}` was changed since it was installed, and stays", file.display());
            Ok(false)
        }
        State::Ours => {
            fs::remove_file(&file).with_context(|| format!("cannot remove `{}`", file.display()))?;
            Ok(true)
        }
    }
}

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Absent,
    /// What was installed.
    Ours,
    /// Something else.
    Foreign,
}

fn state(prefix: &Path, path: &str, manifest: &Manifest) -> Result<State> {
    let file = prefix.join(path);
    match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::Absent),
        Err(error) => Err(error).with_context(|| format!("cannot look at `{}`", file.display())),
        Ok(metadata) if !metadata.is_file() => Ok(State::Foreign),
        Ok(_) => Ok(if manifest.has(path, &digest_of(&read(&file)?)) { State::Ours } else { State::Foreign }),
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))
}

fn digest_of(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_changed_or_put_there_is_neither_replaced_nor_removed() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let content = Content::text("ours".into());
        let mut manifest = Manifest::default();
        manifest.add("bin/a", content.digest.clone());
        expect_free(dir.path(), "bin/a", &manifest).expect("nothing is there");
        put(&dir.path().join("bin/a"), &content).expect("written");
        expect_free(dir.path(), "bin/a", &manifest).expect("it is ours");
        fs::write(dir.path().join("bin/a"), "theirs").expect("written");
        assert!(expect_free(dir.path(), "bin/a", &manifest).is_err());
        assert!(!remove(dir.path(), "bin/a", &manifest).expect("looked at"));
        fs::remove_file(dir.path().join("bin/a")).expect("removed");
        std::os::unix::fs::symlink("elsewhere", dir.path().join("bin/a")).expect("link");
        assert!(expect_free(dir.path(), "bin/a", &manifest).is_err(), "a link is not ours");
    }

    #[test]
    fn a_program_can_be_run_by_everybody_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let program = Content::program(Path::new("/bin/sh")).expect("there");
        for _ in 0..2 {
            put(&dir.path().join("bin/sh"), &program).expect("written");
        }
        let mode = fs::metadata(dir.path().join("bin/sh")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read_dir(dir.path().join("bin")).expect("there").count(), 1);
    }
}
