//! What every command that runs engines sets up alike.

use std::path::Path;

use anyhow::Context as _;
use filemill_host::{CacheConfig, Compiler, CompilerProcess};

use super::limits::LimitsFile;

/// Compiled engines that are kept, in bytes: some hundred Rust engines, or ten that embed an interpreter.
const CACHE_BYTES: u64 = 1 << 30;

/// The command that the compiling process is started with.
pub(crate) const COMPILE: &str = "compile-component";

/// A cache of compiled engines below `dir`.
pub(crate) fn cache(dir: &Path) -> CacheConfig {
    CacheConfig { folder: dir.join("compiled"), key_file: dir.join("compiled.key"), max_bytes: CACHE_BYTES }
}

/// This very program, as the compiler.
///
/// # Errors
///
/// When the system does not tell where it is.
pub(crate) fn compiler(limits: &LimitsFile) -> anyhow::Result<Compiler> {
    // The link to the running program itself: it stays what it is while an update replaces the file.
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let mut process = CompilerProcess::new(program, [COMPILE]);
    limits.limit(&mut process);
    Ok(Compiler::Child(process))
}
