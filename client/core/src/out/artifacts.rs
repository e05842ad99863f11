//! Writing what an engine made: its names are hostile, a link is never followed, and nothing is replaced.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

use filemill_seal::{Artifact, is_artifact_name};

use super::{NAMES_MAX, PART_PREFIX, PART_SUFFIX, holds};

/// Names that Windows keeps for devices, with and without an ending.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The same, with a digit behind them.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Writes artifacts into `folder`, which is made if there is none; says where each of them is. One whose name is taken by
/// something else gets a number, as in `plot (2).svg`; one that is there already stays as it is. Blocks.
///
/// # Errors
///
/// The folder is a symbolic link or no folder; a name is not an artifact's; what the system says.
pub(super) fn keep(path: &Path, artifacts: &[Artifact]) -> Result<Vec<PathBuf>> {
    // Checked when the result was opened; here it becomes a path.
    if let Some(bad) = artifacts.iter().find(|artifact| !is_artifact_name(&artifact.name)) {
        let message = format!("`{}` is no name of an artifact", bad.name.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let folder = Folder::open(path)?;
    // On some file systems two names that differ in case are one. In the order of the report, so that each artifact gets the
    // same name every time.
    let mut given = HashSet::new();
    let mut kept = Vec::with_capacity(artifacts.len());
    for artifact in artifacts {
        let name = keep_one(&folder, artifact, &mut given)?;
        kept.push(path.join(name));
    }
    Ok(kept)
}

/// Says what it is called.
fn keep_one(folder: &Folder, artifact: &Artifact, given: &mut HashSet<String>) -> Result<String> {
    let wanted = harmless(&artifact.name);
    for number in 1..=NAMES_MAX {
        let name = numbered(&wanted, number);
        if given.contains(&name.to_ascii_lowercase()) {
            continue;
        }
        if folder.add(&name, &artifact.data)? {
            given.insert(name.to_ascii_lowercase());
            return Ok(name);
        }
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("too many files are called `{wanted}`")))
}

/// A name that is a file's everywhere: on Windows some are devices, and dots at the end are dropped.
fn harmless(name: &str) -> String {
    let trimmed = name.trim_end_matches('.');
    let ending = if trimmed.len() < name.len() { "_" } else { "" };
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let with_digit =
        |device: &str| stem.strip_prefix(device).is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']));
    let device = DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.into_iter().any(with_digit);
    format!("{}{trimmed}{ending}", if device { "_" } else { "" })
}

/// `plot.svg`, `plot (2).svg`, …
fn numbered(name: &str, number: u32) -> String {
    match (number, name.rsplit_once('.')) {
        (1, _) => name.to_owned(),
        (_, Some((stem, ending))) => format!("{stem} ({number}).{ending}"),
        (_, None) => format!("{name} ({number})"),
    }
}

/// An opened folder: what becomes of its name meanwhile does not matter.
#[cfg(unix)]
struct Folder(std::os::fd::OwnedFd);

#[cfg(unix)]
impl Folder {
    fn open(path: &Path) -> Result<Self> {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Makes a file of this name, whole or not at all. `false` if there is something else of that name; `true` if there is
    /// a file with these bytes, now or before.
    fn add(&self, name: &str, data: &[u8]) -> Result<bool> {
        use rustix::fs::AtFlags;
        use rustix::io::Errno;

        if let Some(same) = self.has(name, data)? {
            return Ok(same);
        }
        let part = part();
        let written = self.create(&part).and_then(|mut file| file.write_all(data));
        // Unlike a rename this takes nobody's place.
        let placed = written.map(|()| rustix::fs::linkat(&self.0, &part, &self.0, name, AtFlags::empty()));
        let _ = rustix::fs::unlinkat(&self.0, &part, AtFlags::empty());
        match placed? {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(self.has(name, data)?.unwrap_or(false)),
            // A file system without links.
            Err(_) => {
                let mut file = match self.create(name) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                    other => other?,
                };
                file.write_all(data).inspect_err(|_| {
                    let _ = rustix::fs::unlinkat(&self.0, name, AtFlags::empty());
                })?;
                Ok(true)
            }
        }
    }

    /// Whether the file of this name holds these bytes; `None` if there is nothing of that name.
    fn has(&self, name: &str, data: &[u8]) -> Result<Option<bool>> {
        use rustix::fs::{Mode, OFlags};
        use rustix::io::Errno;

        // A pipe does not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(holds(File::from(file), data).unwrap_or(false))),
            Err(Errno::NOENT) => Ok(None),
            // A link, a socket, somebody else's: there is something.
            Err(_) => Ok(Some(false)),
        }
    }

    fn create(&self, name: &str) -> Result<File> {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?))
    }
}

/// Without a way to hold the folder, as good as it can be done.
#[cfg(not(unix))]
struct Folder(PathBuf);

#[cfg(not(unix))]
impl Folder {
    fn open(path: &Path) -> Result<Self> {
        if !std::fs::symlink_metadata(path)?.is_dir() {
            return Err(Error::new(ErrorKind::NotADirectory, "it is no folder"));
        }
        Ok(Self(path.to_owned()))
    }

    fn add(&self, name: &str, data: &[u8]) -> Result<bool> {
        let path = self.0.join(name);
        if let Ok(metadata) = std::fs::symlink_metadata(&path) {
            return Ok(metadata.is_file() && File::open(&path).and_then(|file| holds(file, data)).unwrap_or(false));
        }
        let part = self.0.join(part());
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&part)
            .and_then(|mut file| file.write_all(data));
        let placed = written.and_then(|()| std::fs::hard_link(&part, &path));
        let _ = std::fs::remove_file(&part);
        match placed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn part() -> String {
    format!("{PART_PREFIX}{}{PART_SUFFIX}", filemill_seal::UploadId::random())
}
