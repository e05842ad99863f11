//! Files to send.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder with files that a test made.
pub(crate) struct Files {
    path: PathBuf,
}

impl Files {
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders before it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let file = self.path.join(name);
        let folder = file.parent().context("a file has a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&file, content).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(file)
    }

    /// Writes a file that does not compress.
    pub(crate) fn write_incompressible(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let file = self.path.join(name);
        let written = io::copy(&mut random()?.take(bytes), &mut File::create(&file)?)?;
        anyhow::ensure!(written == bytes, "wrote {written} of {bytes} bytes");
        Ok(file)
    }

    /// Writes `count` files, 0 to `largest` bytes long, that do not compress, in a handful of folders.
    pub(crate) fn write_many(&self, count: usize, largest: usize) -> Result<()> {
        for index in 0..count {
            let content = incompressible(index * 7919 % (largest + 1))?;
            self.write(format!("folder-{}/file-{index:05}", index % 7), content)?;
        }
        Ok(())
    }

    /// Every plain file below the folder, sorted.
    pub(crate) fn all(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Bytes that do not compress.
pub(crate) fn incompressible(bytes: usize) -> Result<Vec<u8>> {
    let mut content = vec![0; bytes];
    random()?.read_exact(&mut content)?;
    Ok(content)
}

fn random() -> Result<File> {
    File::open("/dev/urandom").context("no random bytes")
}
