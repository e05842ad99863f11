//! `cargo xtask install` and `uninstall`: the programs to where a shell finds them, with engines and systemd units.
//!
//! | below the prefix | what |
//! | --- | --- |
//! | `bin/` | `filemill`, `filemill-server`, `filemill-processor`; the server looks for the processor's program beside its own |
//! | `share/filemill/engines/` | the engines, which `filemill-server serve --embedded` publishes |
//! | `share/systemd/user/` | units of `deploy/systemd/`, where systemd looks for those of a user's own programs |
//! | `share/filemill/installed.txt` | what of all that was put there: its manifest |
//!
//! Each file is written beside its place and renamed into it. What was not put there by this command, or was changed since, is
//! neither replaced nor removed. Data (keys, journals, databases) lies elsewhere and stays.

mod content;
mod manifest;
mod place;
mod units;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use filemill_text::Lines;

use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::tree::Tree;
use content::Content;
use manifest::Manifest;

/// Where the engines go, below the prefix.
const ENGINES: &str = "share/filemill/engines";

/// Where.
#[derive(Debug, Args)]
pub struct InstallOptions {
    /// Install below this folder: DIR/bin, DIR/share (default: ~/.local)
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// Installs what was built for releases, in place of what an earlier call installed, and says what is where.
///
/// # Errors
///
/// When something does not build, a file is in the way that this command did not put there, or a folder cannot be written to.
pub fn install(options: &InstallOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let prefix = prefix(options)?;
    let wanted = wanted(&tree, &prefix)?;
    let former = Manifest::read(&prefix)?;
    // Before anything is written: half an installation helps nobody.
    for path in wanted.keys() {
        place::expect_free(&prefix, path, &former)?;
    }
    let mut manifest = Manifest::default();
    for (path, content) in &wanted {
        manifest.add(path, content.digest.clone());
    }
    manifest.add_folders(&prefix, &former);
    // Whatever happens from here on, what is there is in the manifest, as it was or as it is to be.
    former.with(&manifest).write(&prefix)?;
    for (path, content) in &wanted {
        content::put(&prefix.join(path), content)?;
    }
    let obsolete: Vec<&str> = former.files().filter(|path| !wanted.contains_key(*path)).collect();
    for path in obsolete {
        place::remove(&prefix, path, &former)?;
    }
    manifest.write(&prefix)?;
    say_installed(&prefix, &wanted)
}

/// Removes what [`install`] put below the prefix.
///
/// # Errors
///
/// When nothing was installed there, or something cannot be removed.
pub fn uninstall(options: &InstallOptions) -> Result<()> {
    let prefix = prefix(options)?;
    let manifest = Manifest::read(&prefix)?;
    anyhow::ensure!(
        !manifest.is_empty(),
        "nothing was installed in `{}`\nhint: name the folder with `--prefix`",
        prefix.display()
    );
    let mut removed = 0;
    for path in manifest.files() {
        removed += usize::from(place::remove(&prefix, path, &manifest)?);
    }
    Manifest::remove(&prefix)?;
    for folder in manifest.folders() {
        // One that holds something else stays.
        let _ = fs::remove_dir(prefix.join(folder));
    }
    let mut out = Lines::on_stdout();
    out.line(format_args!("removed {removed} files from `{}`; keys, journals and databases stay", prefix.display()))?;
    out.line("a service that still runs ends with: systemctl --user disable --now filemill-server filemill-processor")?;
    Ok(out.flush()?)
}

fn prefix(options: &InstallOptions) -> Result<PathBuf> {
    let prefix = match &options.prefix {
        Some(prefix) => prefix.clone(),
        None => {
            let home = env::var_os("HOME").filter(|home| !home.is_empty());
            Path::new(&home.context("`HOME` is not set\nhint: name a folder with `--prefix`")?).join(".local")
        }
    };
    Ok(std::path::absolute(prefix)?)
}

/// What is to be below the prefix, by path.
fn wanted(tree: &Tree, prefix: &Path) -> Result<BTreeMap<String, Content>> {
    let engines = engine::find_or_build(tree, &engine::IN_RUST.map(str::to_owned))?;
    let Binaries { server, processor, client } = Binaries::find_or_build(tree, Profile::Release)?;
    let mut wanted = BTreeMap::new();
    for file in [client, server, processor] {
        let name = file.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        wanted.insert(format!("bin/{name}"), Content::program(&file)?);
    }
    for engine in engines {
        wanted.insert(format!("{ENGINES}/{}.wasm", engine.name), Content::file(&engine.file)?);
    }
    for (name, text) in units::all(tree, prefix)? {
        wanted.insert(format!("{}/{name}", units::FOLDER), Content::text(text));
    }
    Ok(wanted)
}

fn say_installed(prefix: &Path, wanted: &BTreeMap<String, Content>) -> Result<()> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in wanted.keys() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders.entry(folder).or_default().push(name);
    }
    let mut out = Lines::on_stdout();
    for (folder, names) in folders {
        out.line(format_args!("{}  {}", prefix.join(folder).display(), names.join(" ")))?;
    }
    let bin = prefix.join("bin");
    if is_searched(&bin) {
        out.line(format_args!("`{}` is on PATH: `filemill --help` begins", bin.display()))?;
    } else {
        out.line(format_args!("`{}` is not on PATH; put it there, in ~/.profile for the next logins:", bin.display()))?;
        out.line(format_args!("  export PATH=\"{}:$PATH\"", bin.display()))?;
    }
    for line in units::how_to_enable(prefix) {
        out.line(line)?;
    }
    Ok(out.flush()?)
}

/// Whether a shell looks for programs in `bin`.
fn is_searched(bin: &Path) -> bool {
    let bin = fs::canonicalize(bin).unwrap_or_else(|_| bin.to_owned());
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| fs::canonicalize(folder).is_ok_and(|folder| folder == bin))
}
