//! The files that the demo shows: a few of every kind that the engines read, as a person might have them.
//!
//! Some are fixtures of engines, which those engines' tests check, some are texts of this repository, and what a fixture is too small
//! for is [made](super::made). Each of them gets a report: a file that is broken on purpose is for tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::made;
use crate::tree::Tree;

/// The engine that suits a file's name.
pub(super) const AUTO: &str = "auto";

/// One file of the set.
#[derive(Debug)]
pub(super) struct Chosen {
    /// What it is called.
    pub(super) name: &'static str,
    /// The engine that it is sent to.
    pub(super) engine: &'static str,
    content: Content,
}

/// What is in a file.
#[derive(Debug)]
enum Content {
    /// What is in this file of the repository.
    Of(&'static str),
    /// What this writes.
    Made(fn() -> String),
}

const fn fixture(name: &'static str, engine: &'static str, path: &'static str) -> Chosen {
    Chosen { name, engine, content: Content::Of(path) }
}

const fn made(name: &'static str, engine: &'static str, make: fn() -> String) -> Chosen {
    Chosen { name, engine, content: Content::Made(make) }
}

/// The files, in the order in which they are shown. `digest`, `scan` and `size` read any file, so that those are sent to them by name.
pub(super) const SET: [Chosen; 20] = [
    fixture("mountains.png", AUTO, "engines/image/fixtures/rgb.png"),
    fixture("harbour.jpg", AUTO, "engines/image/fixtures/gps.jpg"),
    fixture("banner.webp", AUTO, "engines/image/fixtures/lossy.webp"),
    fixture("loading.gif", AUTO, "engines/image/fixtures/animated.gif"),
    made("weather.csv", AUTO, made::weather),
    fixture("customers.csv", AUTO, "engines/table/fixtures/people.csv"),
    fixture("events.jsonl", AUTO, "engines/table/fixtures/events.jsonl"),
    fixture("backup.tar.gz", AUTO, "engines/archive/fixtures/plain.tar.gz"),
    fixture("website.zip", AUTO, "engines/archive/fixtures/plain.zip"),
    fixture("from-a-stranger.zip", AUTO, "engines/archive/fixtures/ratio.zip"),
    made("server.log", AUTO, made::server_log),
    fixture("letter.txt", AUTO, "engines/text/fixtures/windows-1252.txt"),
    fixture("story.txt", AUTO, "engines/text/fixtures/shift-jis.txt"),
    fixture("deploy.env", AUTO, "engines/text/fixtures/secrets.env"),
    fixture("count.rs", AUTO, "engines/size/src/count.rs"),
    fixture("README.md", AUTO, "README.md"),
    fixture("invoice.doc", "scan", "engines/scan/fixtures/macro.doc"),
    fixture("installer.sh", "scan", "engines/scan/fixtures/installer.sh"),
    fixture("firmware.img", "digest", "engines/digest/fixtures/text-noise-zeros.bin"),
    fixture("wordlist.txt", "size", "engines/size/fixtures/long.txt"),
];

/// Writes the files into `folder`, in place of what is there, and returns where they are, in the order of [`SET`].
///
/// # Errors
///
/// When the repository lacks one, or the folder cannot be written to.
pub(super) fn write(tree: &Tree, folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let write = |chosen: &Chosen| {
        let bytes = match chosen.content {
            Content::Made(make) => make().into_bytes(),
            Content::Of(path) => {
                let path = tree.root().join(path);
                fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?
            }
        };
        let file = folder.join(chosen.name);
        fs::write(&file, bytes).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(file)
    };
    SET.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_has_a_name_of_its_own_and_something_in_it() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let files = write(&Tree::locate().expect("a checkout"), dir.path()).expect("written");
        let names: BTreeSet<_> = SET.iter().map(|chosen| chosen.name).collect();
        assert_eq!(names.len(), SET.len());
        for file in files {
            assert!(fs::metadata(&file).expect("there").len() > 0, "{}", file.display());
        }
    }
}
