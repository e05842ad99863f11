//! Which compiler builds guests of Rust: rustup's where it has the target or can get it, else one assembled from Debian
//! packages. Beside it, what the other languages need.

mod cache;
pub(super) mod clang;
mod debian;
pub(super) mod node;
pub(super) mod python;
mod rustup;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::program;

/// The machine that guests are built for: no operating system at all, so that nothing can be asked of one.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler that can build for [`TARGET`], and a linker that makes components.
#[derive(Debug)]
pub(super) struct Toolchain {
    name: String,
    cargo: PathBuf,
    /// A folder that replaces the system's compiler, where this is not rustup's.
    prefix: Option<PathBuf>,
    /// The folder of the linkers. They come with every Rust toolchain, whoever compiles.
    linkers: PathBuf,
}

impl Toolchain {
    /// Finds a toolchain, or sets one up, which needs a network once and says on standard error what it fetches.
    ///
    /// `FILEMILL_WASM_TOOLCHAIN` may ask for `rustup` or `debian`; without it the first that works is taken.
    ///
    /// # Errors
    ///
    /// When there is none and none can be had.
    pub(super) fn find_or_set_up() -> Result<Self> {
        let asked = env::var("FILEMILL_WASM_TOOLCHAIN").unwrap_or_default();
        let rustup = match asked.as_str() {
            "" | "rustup" => rustup::find_or_add(asked == "rustup")?,
            "debian" => None,
            other => {
                bail!("`FILEMILL_WASM_TOOLCHAIN` is `{other}`\nhint: `rustup`, `debian`, or unset")
            }
        };
        let linkers = linkers()?;
        Ok(match rustup {
            Some(release) => Self {
                name: format!("rustup's {release}"),
                cargo: env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
                prefix: None,
                linkers,
            },
            None => {
                let prefix = debian::find_or_set_up()?;
                Self {
                    name: format!("the toolchain in `{}`", prefix.display()),
                    cargo: prefix.join("usr/bin/cargo"),
                    prefix: Some(prefix),
                    linkers,
                }
            }
        })
    }

    /// What it is, for a person.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A call of its cargo, free of what the environment says about compilers and flags.
    pub(super) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        program::without_cargo_run(&mut command);
        for name in [
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTDOC",
            "RUSTFLAGS",
        ] {
            command.env_remove(name);
        }
        // As a flag the linker's path would change the release.
        let mut search = vec![self.linkers.join("gcc-ld")];
        if let Some(prefix) = &self.prefix {
            debian::enter(&mut command, prefix);
            search.push(prefix.join("usr/bin"));
        }
        program::search_first(&mut command, search);
        command
    }

    /// The linker that turns what a guest links into a component.
    pub(super) fn linker(&self) -> PathBuf {
        self.linkers.join("wasm-component-ld")
    }
}

/// The folder of the linkers that come with the Rust toolchain on the path: `wasm-component-ld`, and in `gcc-ld` the
/// `wasm-ld` that it looks for on the search path and calls first.
///
/// # Errors
///
/// When the toolchain is too old to have them.
pub(super) fn linkers() -> Result<PathBuf> {
    let sysroot = program::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = program::output(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` does not say which machine it is for")?;
    let linkers = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    if !linkers.join("wasm-component-ld").is_file() {
        bail!(
            "the Rust toolchain in `{}` has no `wasm-component-ld`\nhint: use rustup's toolchain, 1.81 or later",
            sysroot.trim()
        );
    }
    Ok(linkers)
}

/// Compiler flags that make what is built independent of where `folder` (called `name` instead) and cargo's downloads lie:
/// panics name source files, and a release is named by its bytes.
///
/// # Errors
///
/// When a path is not UTF-8.
pub(super) fn remap(folder: &Path, name: &str) -> Result<Vec<String>> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or(home).unwrap_or_default();
    // One folder a registry, named after its host. There is one by now: this program has dependencies.
    let registries = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().flatten();
    let mut flags = vec![format!("--remap-path-prefix={}={name}", utf8(folder)?)];
    for registry in registries {
        flags.push(format!("--remap-path-prefix={}=registry", utf8(&registry.path())?));
    }
    Ok(flags)
}

/// A path as text, for flags.
///
/// # Errors
///
/// When it is not UTF-8.
fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("`{}` is not UTF-8\nhint: build elsewhere", path.display()))
}

/// Whether the folder `libraries` holds a standard library to link guests with.
fn has_standard_library(libraries: &Path) -> bool {
    let Ok(entries) = fs::read_dir(libraries) else {
        return false;
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    ["libcore-", "libstd-"].iter().all(|start| {
        names.iter().any(|name| name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(".rlib")))
    })
}
