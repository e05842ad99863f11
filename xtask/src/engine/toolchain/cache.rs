//! What is fetched or built once and kept under `$FILEMILL_CACHE`, whatever becomes of the checkout.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

/// The folder of the toolchain `name`, made by `recipe`, complete; sets it up first if need be, one process at a time.
///
/// `set_up` is given an empty folder to work in, and leaves what is to be kept in `prefix` there. The result takes its final
/// name when all is done: an interrupted set-up is never mistaken for a complete one. A folder made by another recipe is
/// not used.
///
/// # Errors
///
/// When there is nowhere to cache, and when the set-up fails.
pub(super) fn once(name: &str, recipe: &str, set_up: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = base()?.join(name);
    let done = cache.join(recipe);
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot create `{}`", cache.display()))?;
    let lock = cache.join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot write `{}`", lock.display()))?;
    lock.lock().context("cannot wait for another set-up of the toolchain")?;
    if done.is_dir() {
        return Ok(done);
    }
    let begun = Instant::now();
    let partial = cache.join("partial");
    if partial.exists() {
        filemill_text::tell!("engines: starting over where an earlier set-up was interrupted");
        remove(&partial)?;
    }
    let prefix = partial.join("prefix");
    fs::create_dir_all(&prefix).with_context(|| format!("cannot create `{}`", prefix.display()))?;
    set_up(&partial)?;
    fs::rename(&prefix, &done).with_context(|| format!("cannot move the toolchain to `{}`", done.display()))?;
    remove(&partial)?;
    filemill_text::tell!("engines: toolchain ready after {} s in `{}`", begun.elapsed().as_secs(), done.display());
    Ok(done)
}

/// `$FILEMILL_CACHE`, or `filemill` in the user's cache folder.
fn base() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("FILEMILL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("filemill")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/filemill")))
        .ok_or_else(|| anyhow!("there is no home folder to cache in\nhint: set `FILEMILL_CACHE` to a folder"))?;
    std::path::absolute(&base).with_context(|| format!("`{}` is no path", base.display()))
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))
}
