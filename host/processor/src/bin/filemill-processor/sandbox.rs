//! What every command that runs engines sets up alike.

use std::path::Path;

use filemill_runtime::{CacheConfig, Compiler, CompilerProcess};

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
pub(crate) fn compiler(limits: &LimitsFile) -> Compiler {
    // Not its path: an update may replace the file there, and another version would compile for this one.
    let mut process = CompilerProcess::new("/proc/self/exe", [COMPILE]);
    limits.limit(&mut process);
    Compiler::Child(process)
}
