//! What is installed by apt where it is missing: only as root, and only on a system that has it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::program;

/// Installs Debian packages for `what`, and says so.
///
/// # Errors
///
/// When this user may not, there is no apt, or it fails.
pub(crate) fn install(what: &str, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !program::is_root() || program::find("apt-get").is_none() {
        bail!("{what} is not installed\nhint: install it (on Debian: `apt-get install {names}`, as root)");
    }
    filemill_text::tell!("apt-get install {names} ({what} is missing)");
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    if program::run(&mut apt).is_err() {
        filemill_text::tell!("apt-get update (its package lists may be old)");
        program::run(Command::new("apt-get").args(["update", "--quiet"]))?;
        program::run(&mut apt)?;
    }
    Ok(())
}
