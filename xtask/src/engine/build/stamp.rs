//! What a component was made from, kept beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::engine::{manifest, source};
use crate::tree::files_under;

/// The digest of everything that a component is made from.
pub(super) struct Stamp(String);

impl Stamp {
    /// Of an engine's manifest and source, the contract in `wit`, and the tool of this `version`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(super) fn of(folder: &Path, wit: &Path, version: &str) -> Result<Self> {
        let mut digest = Sha256::new();
        part(&mut digest, version.as_bytes());
        for (root, wanted) in [(folder, &[manifest::FILE, "src"][..]), (wit, &[""])] {
            for path in files_under(root, &[&root.join(source::FIXTURES)])? {
                let leftover = path.components().any(|part| part.as_os_str() == "__pycache__");
                if leftover || !wanted.iter().any(|wanted| wanted.is_empty() || path.starts_with(wanted)) {
                    continue;
                }
                let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read `{}`", path.display()))?;
                part(&mut digest, path.as_os_str().as_encoded_bytes());
                part(&mut digest, &bytes);
            }
        }
        Ok(Self(HEXLOWER.encode(&digest.finalize())))
    }

    /// Whether the component at `output` is there, whole, and was made from this.
    pub(super) fn holds(&self, output: &Path) -> bool {
        let recorded = fs::read_to_string(place(output));
        recorded.is_ok_and(|recorded| self.beside(output).is_ok_and(|expected| expected == recorded))
    }

    /// Records that the component at `output` was made from this.
    ///
    /// # Errors
    ///
    /// When it cannot be read or the stamp not be written.
    pub(super) fn put(&self, output: &Path) -> Result<()> {
        let place = place(output);
        fs::write(&place, self.beside(output)?).with_context(|| format!("cannot write `{}`", place.display()))
    }

    fn beside(&self, output: &Path) -> Result<String> {
        let component = fs::read(output).with_context(|| format!("cannot read `{}`", output.display()))?;
        Ok(format!("{} {}\n", self.0, HEXLOWER.encode(&Sha256::digest(component))))
    }
}

fn place(output: &Path) -> PathBuf {
    output.with_extension("stamp")
}

fn part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_made_again_when_anything_it_is_made_from_changes() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (folder, wit, output) = (dir.path().join("e"), dir.path().join("wit"), dir.path().join("out.wasm"));
        for (path, text) in [("e/engine.toml", "1"), ("e/src/a.c", "2"), ("e/fixtures/x", "3"), ("wit/e.wit", "4")] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("folder");
            fs::write(path, text).expect("file");
        }
        let stamp = |version: &str| Stamp::of(&folder, &wit, version).expect("readable");
        assert!(!stamp("1").holds(&output), "nothing is built yet");
        fs::write(&output, "component").expect("file");
        stamp("1").put(&output).expect("written");
        assert!(stamp("1").holds(&output));
        assert!(!stamp("2").holds(&output), "another tool");

        fs::write(folder.join("fixtures/x"), "other").expect("file");
        assert!(stamp("1").holds(&output), "a fixture is no source");
        for changed in [folder.join("src/a.c"), folder.join("engine.toml"), wit.join("e.wit"), output.clone()] {
            let before = fs::read(&changed).expect("file");
            fs::write(&changed, "changed").expect("file");
            assert!(!stamp("1").holds(&output), "{}", changed.display());
            fs::write(&changed, before).expect("file");
        }
        fs::write(folder.join("src/b.c"), "").expect("file");
        assert!(!stamp("1").holds(&output), "one more file");
    }
}
