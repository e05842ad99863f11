//! What a file is to hold, put there whole or not at all.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::whole;

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
    whole::put(file, &content.bytes, content.mode)
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

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
