//! Which places are free for what is installed, and taking away what was.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::content::{digest_of, read};
use super::manifest::Manifest;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::content::{Content, put};

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
}
