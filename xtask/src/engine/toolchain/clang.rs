//! Which compiler builds guests of C: a wasi-sdk where `WASI_SDK_PATH` names one, else clang and the C library from Debian
//! packages, unpacked into a private folder.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cache;
use super::debian::packages;
use crate::program;

/// Version of what is unpacked below; a folder made by another one is not used.
const RECIPE: &str = "r1";

/// The compiler, the C library, and the compiler's own run-time library. The linker is Rust's.
const WANTED: [&str; 3] = ["clang-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];

/// A C compiler for wasm32, with a C library.
#[derive(Debug)]
pub(in super::super) struct Clang {
    program: PathBuf,
    /// Where headers and libraries are.
    sysroot: PathBuf,
    /// A folder of shared libraries that the compiler needs, where it is not installed.
    libraries: Option<PathBuf>,
    linkers: PathBuf,
}

impl Clang {
    /// Finds a compiler, or unpacks one, which needs a network once and says on standard error what it fetches.
    ///
    /// # Errors
    ///
    /// When there is none and none can be had.
    pub(in super::super) fn find_or_set_up() -> Result<Self> {
        let linkers = super::linkers()?;
        if let Some(sdk) = env::var_os("WASI_SDK_PATH").map(PathBuf::from) {
            let (program, sysroot) = (sdk.join("bin/clang"), sdk.join("share/wasi-sysroot"));
            if !program.is_file() || !sysroot.is_dir() {
                bail!("`WASI_SDK_PATH` names `{}`, which is no wasi-sdk\nhint: unset it, or correct it", sdk.display());
            }
            return Ok(Self { program, sysroot, libraries: None, linkers });
        }
        let prefix = cache::once("c-toolchain", RECIPE, |work| packages::fetch_and_unpack(&WANTED, work))
            .context("cannot set up a C compiler\nhint: or bring your own: a wasi-sdk, named by `WASI_SDK_PATH`")?;
        Ok(Self {
            program: prefix.join("usr/lib/llvm-19/bin/clang"),
            sysroot: prefix.join("usr"),
            libraries: Some(packages::libraries(&prefix)),
            linkers,
        })
    }

    /// A call of the compiler for wasm32, which links into a component.
    pub(in super::super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        program::search_first(&mut command, vec![self.linkers.join("gcc-ld")]);
        command.arg("--target=wasm32-wasi").arg(format!("--sysroot={}", self.sysroot.display()));
        command
    }

    /// The linker that turns what a guest links into a component.
    pub(in super::super) fn linker(&self) -> PathBuf {
        self.linkers.join("wasm-component-ld")
    }

    /// Its name and version, for a stamp.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub(in super::super) fn version(&self) -> Result<String> {
        program::output(self.command().arg("--version"))
    }
}
