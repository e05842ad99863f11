//! A toolchain out of Debian packages, for a machine that reaches its package sources but not rustup's.
//!
//! The packages are unpacked into a private folder; nothing is installed, and rustup's toolchain stays as it is. They bring
//! the standard library's source but none built for wasm32, so that is built once.

pub(super) mod packages;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use super::{TARGET, cache, has_standard_library, remap};
use crate::program;

/// Version of the recipe below; a folder made by another one is not used.
const RECIPE: &str = "r1";

/// The compiler that Debian keeps current for its browsers, its cargo, and the source of its standard library.
const WANTED: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What the packages put beside the compiler and nobody needs once the standard library is built.
const SUPERFLUOUS: [&str; 5] = ["usr/src", "usr/share", "usr/lib/rustlib/src", "usr/lib/rustlib/etc", "etc"];

/// The folder of the toolchain, complete; sets it up first if need be.
///
/// # Errors
///
/// When packages cannot be found or fetched, or the standard library does not build.
pub(super) fn find_or_set_up() -> Result<PathBuf> {
    cache::once("wasm-toolchain", RECIPE, |work| {
        set_up(work).with_context(|| {
            format!("cannot set up a toolchain for {TARGET}\nhint: or bring your own: `rustup target add {TARGET}`")
        })
    })
}

/// Lets `command` use the compiler in `prefix` instead of the system's.
pub(super) fn enter(command: &mut Command, prefix: &Path) {
    command
        .env("LD_LIBRARY_PATH", packages::libraries(prefix))
        .env("RUSTC", prefix.join("usr/bin/rustc"))
        .env("RUSTDOC", prefix.join("usr/bin/rustdoc"))
        .env_remove("RUSTUP_TOOLCHAIN");
}

fn set_up(work: &Path) -> Result<()> {
    let prefix = work.join("prefix");
    packages::fetch_and_unpack(&WANTED, work)?;
    filemill_text::tell!("engines: building the standard library for {TARGET}, once (about a minute)");
    build_standard_library(work, &prefix)?;
    for superfluous in SUPERFLUOUS {
        let path = prefix.join(superfluous);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
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
