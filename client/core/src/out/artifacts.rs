//! Writing what an engine made: its names are hostile, and a link is never followed.

use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

use filemill_seal::{Artifact, is_artifact_name};

use super::{PART_PREFIX, PART_SUFFIX};

/// Writes artifacts into `folder`, which is made if there is none; says where each of them is. One that has a name already is
/// replaced. Blocks.
///
/// # Errors
///
/// The folder is a symbolic link or no folder; a name is not an artifact's; what the system says.
pub(super) fn keep(folder: &Path, artifacts: &[Artifact]) -> std::io::Result<Vec<PathBuf>> {
    // Checked when the result was opened; here it becomes a path.
    if let Some(bad) = artifacts.iter().find(|artifact| !is_artifact_name(&artifact.name)) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`{}` is no name of an artifact", bad.name.escape_debug()),
        ));
    }
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    write_all(folder, artifacts)?;
    Ok(artifacts.iter().map(|artifact| folder.join(&artifact.name)).collect())
}

/// Whole or not at all, as the results themselves.
#[cfg(unix)]
fn write_all(folder: &Path, artifacts: &[Artifact]) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, Mode, OFlags};

    // Everything is done within the opened folder: what becomes of its name meanwhile does not matter.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    for artifact in artifacts {
        let part = part();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &part, flags, Mode::RUSR | Mode::WUSR)?;
        let written = std::fs::File::from(file).write_all(&artifact.data);
        let placed = written.and_then(|()| Ok(rustix::fs::renameat(&folder, &part, &folder, &artifact.name)?));
        if let Err(error) = placed {
            let _ = rustix::fs::unlinkat(&folder, &part, AtFlags::empty());
            return Err(error);
        }
    }
    Ok(())
}

/// Without a way to hold the folder, as good as it can be done.
#[cfg(not(unix))]
fn write_all(folder: &Path, artifacts: &[Artifact]) -> std::io::Result<()> {
    if !std::fs::symlink_metadata(folder)?.is_dir() {
        return Err(Error::new(ErrorKind::NotADirectory, "it is no folder"));
    }
    for artifact in artifacts {
        let part = folder.join(part());
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&part);
        let placed = file
            .and_then(|mut file| file.write_all(&artifact.data))
            .and_then(|()| std::fs::rename(&part, folder.join(&artifact.name)));
        if let Err(error) = placed {
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
    }
    Ok(())
}

fn part() -> String {
    format!("{PART_PREFIX}{}{PART_SUFFIX}", filemill_seal::UploadId::random())
}
