//! `cargo xtask` itself, called as a person would.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use xtask::{Binaries, Profile, Tree};

/// How a call ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) log: String,
}

/// A call in the root of the checkout, which finds the product's programs and builds none.
pub(crate) fn xtask(args: &[&str]) -> Result<Command> {
    let tree = Tree::locate()?;
    let binaries = Binaries::find_or_build(&tree, Profile::Dev)?;
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.args(args).current_dir(tree.root()).env("FILEMILL_BIN_DIR", binaries.dir()).stdin(Stdio::null());
    Ok(xtask)
}

impl Ran {
    /// Runs `command` to its end.
    pub(crate) fn of(mut command: Command) -> Result<Self> {
        let Output { status, stdout, stderr } = command.output().context("cannot start the program")?;
        Ok(Self { code: status.code(), out: String::from_utf8(stdout)?, log: String::from_utf8(stderr)? })
    }
}
