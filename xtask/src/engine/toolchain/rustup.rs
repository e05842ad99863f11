//! Rustup's own target, where it is installed or can be downloaded.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::TARGET;
use crate::program;

/// How long rustup may try before the other way is taken: a firewall may swallow its packets rather than refuse them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has the compiler on the path the target, or can rustup add it? Returns that compiler's release, or nothing. When it was
/// `asked` for by name, nothing is an error.
///
/// # Errors
///
/// When rustup was asked for and cannot, or the compiler on the path does not run.
pub(super) fn find_or_add(asked: bool) -> Result<Option<String>> {
    let release = program::output(Command::new("rustc").arg("--version"))?.trim().to_owned();
    if has_target()? {
        return Ok(Some(release));
    }
    if program::find("rustup").is_some() {
        filemill_text::tell!("engines: rustup target add {TARGET} (about 20 MB)");
        let added = program::run_within(Command::new("rustup").args(["target", "add", TARGET]), PATIENCE);
        match added {
            Ok(()) if has_target()? => return Ok(Some(release)),
            Ok(()) => filemill_text::tell!("engines: rustup added {TARGET}, but `rustc` on the path is not its own"),
            Err(error) => filemill_text::tell_lines(format_args!("engines: {error:#}")),
        }
    }
    if asked {
        bail!("rustup has no target `{TARGET}` and `FILEMILL_WASM_TOOLCHAIN` asks for it\nhint: unset that variable");
    }
    Ok(None)
}

fn has_target() -> Result<bool> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let dir = program::output(&mut rustc)?;
    Ok(super::has_standard_library(Path::new(dir.trim())))
}
