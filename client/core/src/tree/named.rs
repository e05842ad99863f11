//! Without a way to hold a folder, as good as it can be done: each part of a path is looked at before it is used.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::path::{Listing, link};
use crate::stat::{FileKind, Seen};

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn from_root(path: &Path) -> io::Result<Self> {
        // As a descriptor of a folder cannot be had of anything else: a file is reached from the folder that it is in.
        if !fs::symlink_metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self(path.to_owned()))
    }

    pub(super) fn look(&self, parts: &[&Path]) -> io::Result<Seen> {
        let Some((last, folders)) = parts.split_last() else {
            return Ok(Seen::from(&fs::symlink_metadata(&self.0)?));
        };
        Ok(Seen::from(&fs::symlink_metadata(self.resolve(folders)?.join(last))?))
    }

    pub(super) fn open(&self, parts: &[&Path]) -> io::Result<File> {
        File::open(self.resolve(parts)?)
    }

    pub(super) fn list(&self, parts: &[&Path]) -> io::Result<Listing> {
        let entries = fs::read_dir(self.resolve(parts)?)?;
        Ok(Box::new(entries.map(|entry| {
            let entry = entry?;
            let seen = entry.metadata().map(|metadata| Seen::from(&metadata));
            Ok((entry.file_name(), seen))
        })))
    }

    fn resolve(&self, parts: &[&Path]) -> io::Result<PathBuf> {
        let mut path = self.0.clone();
        for (index, part) in parts.iter().enumerate() {
            path.push(part);
            if Seen::from(&fs::symlink_metadata(&path)?).kind == FileKind::Link {
                return Err(link(index + 1));
            }
        }
        Ok(path)
    }
}
