//! A toolchain out of Debian packages, for a machine that reaches its package sources but not rustup's.
//!
//! The packages are unpacked into a private folder; nothing is installed, and rustup's toolchain stays as it is. They bring
//! the standard library's source but none built for wasm32, so that is built once. The folder takes its final name when
//! all is done: an interrupted set-up is never mistaken for a complete one.

mod packages;

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::{TARGET, has_standard_library, remap};
use crate::program;

/// Version of the recipe below; a folder made by another one is not used.
const RECIPE: &str = "r1";

/// What the packages put beside the compiler and nobody needs once the standard library is built.
const SUPERFLUOUS: [&str; 5] = ["usr/src", "usr/share", "usr/lib/rustlib/src", "usr/lib/rustlib/etc", "etc"];

/// The folder of the toolchain, complete; sets it up first if need be, one process at a time.
///
/// # Errors
///
/// When packages cannot be found or fetched, or the standard library does not build.
pub(super) fn find_or_set_up() -> Result<PathBuf> {
    let cache = cache()?;
    let done = cache.join(RECIPE);
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
    set_up(&cache, &done).with_context(|| {
        format!("cannot set up a toolchain for {TARGET}\nhint: or bring your own: `rustup target add {TARGET}`")
    })?;
    Ok(done)
}

/// Lets `command` use the compiler in `prefix` instead of the system's.
pub(super) fn enter(command: &mut Command, prefix: &Path) {
    command
        .env("LD_LIBRARY_PATH", libraries(prefix))
        .env("RUSTC", prefix.join("usr/bin/rustc"))
        .env("RUSTDOC", prefix.join("usr/bin/rustdoc"))
        .env_remove("RUSTUP_TOOLCHAIN");
}

/// `$FILEMILL_CACHE/wasm-toolchain`, or the same under the user's cache folder.
fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("FILEMILL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("filemill")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/filemill")))
        .ok_or_else(|| anyhow!("there is no home folder to cache in\nhint: set `FILEMILL_CACHE` to a folder"))?;
    let base = std::path::absolute(&base).with_context(|| format!("`{}` is no path", base.display()))?;
    Ok(base.join("wasm-toolchain"))
}

fn set_up(cache: &Path, done: &Path) -> Result<()> {
    let begun = Instant::now();
    let partial = cache.join("partial");
    if partial.exists() {
        eprintln!("engines: starting over where an earlier set-up was interrupted");
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove `{}`", partial.display()))?;
    }
    let archives = partial.join("archives");
    let prefix = partial.join("prefix");
    for dir in [&archives, &prefix] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    }

    packages::fetch(&archives)?;
    eprintln!("engines: unpacking into `{}` (nothing is installed)", cache.display());
    packages::unpack(&archives, &prefix)?;
    eprintln!("engines: building the standard library for {TARGET}, once (about a minute)");
    build_standard_library(&partial, &prefix)?;
    for superfluous in SUPERFLUOUS {
        let path = prefix.join(superfluous);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }

    fs::rename(&prefix, done).with_context(|| format!("cannot move the toolchain to `{}`", done.display()))?;
    fs::remove_dir_all(&partial).with_context(|| format!("cannot remove `{}`", partial.display()))?;
    eprintln!("engines: toolchain ready after {} s in `{}`", begun.elapsed().as_secs(), done.display());
    Ok(())
}

/// Builds the standard library from the source in `prefix`, as bitcode too (without it a guest cannot be optimised as a
/// whole), and puts it where the compiler in `prefix` looks for it.
fn build_standard_library(work: &Path, prefix: &Path) -> Result<()> {
    let seed = work.join("seed");
    fs::create_dir_all(seed.join("src"))?;
    let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(seed.join("Cargo.toml"), manifest)?;
    fs::write(seed.join("src/lib.rs"), "")?;

    let mut cargo = Command::new(prefix.join("usr/bin/cargo"));
    program::without_cargo_run(&mut cargo);
    enter(&mut cargo, prefix);
    let mut flags = vec!["-Cembed-bitcode=yes".to_owned()];
    flags.extend(remap(prefix, "rust")?);
    cargo
        .current_dir(&seed)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .args(["build", "--release", "--target", TARGET, "--target-dir", "target"])
        .args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features="]);
    program::run(&mut cargo)?;

    let library = prefix.join("usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&library)?;
    let built = seed.join("target").join(TARGET).join("release/deps");
    for entry in fs::read_dir(&built).with_context(|| format!("cannot list `{}`", built.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            continue;
        };
        if name.ends_with(".rlib") && !name.starts_with("libseed-") {
            fs::copy(&path, library.join(name)).with_context(|| format!("cannot copy `{}`", path.display()))?;
        }
    }
    if !has_standard_library(&library) {
        return Err(anyhow!("cargo built no standard library in `{}`", built.display()));
    }
    Ok(())
}

/// Where Debian puts the shared libraries of this machine's kind.
fn libraries(prefix: &Path) -> PathBuf {
    prefix.join(format!("usr/lib/{}-linux-gnu", env::consts::ARCH))
}
