//! Running other programs, and saying which one failed and what it said.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// Runs `command` to its end; its output goes to standard error, for a person to see.
///
/// # Errors
///
/// When it cannot be started, or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    succeeded(command, status, "")
}

/// As [`run`], but ends `command` after `limit`.
///
/// # Errors
///
/// As [`run`], and when the limit has passed.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let what = format!("{} to end", shown(command));
    let ended = wait::until(&what, limit, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill().and_then(|()| child.wait()).with_context(|| format!("cannot end {}", shown(command)))?;
    }
    succeeded(command, ended?, "")
}

/// Runs `command` to its end and returns what it wrote to standard output. What it wrote to standard error is part of the
/// error when it fails, and is dropped otherwise.
///
/// # Errors
///
/// When it cannot be started, fails, or writes something else than UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    succeeded(command, output.status, &String::from_utf8_lossy(&output.stderr))?;
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote something else than text", shown(command)))
}

/// Cargo, as it was called for this program, but without what `cargo run` adds to the environment: build scripts that
/// watch those variables would run anew at every call.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    without_cargo_run(&mut command);
    command
}

/// Removes from the environment of `command` what `cargo run` and `cargo test` put there for this program alone.
pub(crate) fn without_cargo_run(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let for_us = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "NEXTEST"]
            .iter()
            .any(|start| text.starts_with(start));
        if for_us || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
}

/// Removes the product's settings from the environment of `command`: what this machine's user has set for an installation of
/// theirs must not reach a private one. The log's level is not such a setting.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let setting = name.to_str().is_some_and(|name| name.starts_with("FILEMILL_"));
        if setting && name != "FILEMILL_LOG" {
            command.env_remove(&name);
        }
    }
}

/// Lets `command` look for programs in `folders` before the search path.
pub(crate) fn search_first(command: &mut Command, folders: Vec<PathBuf>) {
    let rest = env::var_os("PATH").unwrap_or_default();
    // Fails for a folder with a `:` in its name alone, which cannot be searched.
    if let Ok(path) = env::join_paths(folders.into_iter().chain(env::split_paths(&rest))) {
        command.env("PATH", path);
    }
}

/// Where `name` is on the search path, if it is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether a person at a terminal reads standard error.
pub(crate) fn has_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// Whether this process may install packages.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The command as a person would type it, in backticks.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    format!("`{text}`")
}

fn succeeded(command: &Command, status: ExitStatus, said: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let said = said.trim();
    let separator = if said.is_empty() { "" } else { ":\n" };
    bail!("{} failed ({status}){separator}{said}", shown(command));
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo went wrong >&2; exit 3"]);
        let error = output(&mut command).expect_err("it fails").to_string();
        assert!(
            error.contains("`sh -c") && error.contains("exit status: 3") && error.contains("went wrong"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let mut command = Command::new("sleep");
        let error = run_within(command.arg("60"), Duration::ZERO).expect_err("ended");
        assert!(error.to_string().contains("for `sleep 60` to end"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = run(&mut Command::new("filemill-no-such-program")).expect_err("cannot start");
        assert!(format!("{error:#}").contains("cannot start `filemill-no-such-program`"), "{error:#}");
        assert_eq!(find("filemill-no-such-program"), None);
        assert!(find("sh").is_some());
    }
}
