//! Which Debian packages make up a toolchain, fetched and unpacked into a private folder.
//!
//! Only a few names are given; apt itself says what else a machine like this one lacks, so that a new version of a compiler
//! or of a library it needs changes nothing here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::program;

/// Downloads the packages `wanted`, and what they need, and unpacks them into `prefix` in the folder `work`.
///
/// # Errors
///
/// When this is no Debian, its sources do not have them, a download fails, or the disk is full.
pub(in super::super) fn fetch_and_unpack(wanted: &[&str], work: &Path) -> Result<()> {
    let (archives, prefix) = (work.join("archives"), work.join("prefix"));
    fs::create_dir_all(&archives).with_context(|| format!("cannot create `{}`", archives.display()))?;
    fetch(wanted, &archives)?;
    filemill_text::tell!("engines: unpacking into `{}` (nothing is installed)", work.display());
    unpack(&archives, &prefix)
}

/// Where Debian puts the shared libraries of this machine's kind.
pub(in super::super) fn libraries(prefix: &Path) -> PathBuf {
    prefix.join(format!("usr/lib/{}-linux-gnu", env::consts::ARCH))
}

/// Downloads the packages into `archives`.
///
/// # Errors
///
/// When this is no Debian, its sources do not have them, or a download fails.
fn fetch(wanted: &[&str], archives: &Path) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg"] {
        if program::find(tool).is_none() {
            bail!("`{tool}` is not on the path: this is no Debian or Ubuntu");
        }
    }
    for name in wanted {
        if candidate(name)?.is_none() {
            update_lists(name)?;
        }
    }
    let packages = needed(wanted)?;
    let mut total = 0;
    let mut lines = Vec::new();
    for (name, version) in &packages {
        let size = size_bytes(name, version)?;
        total += size;
        lines.push(format!("  {:6.1} MB  {name} {version}", megabytes(size)));
    }
    filemill_text::tell!(
        "engines: fetching {} packages, {:.0} MB, from this machine's apt sources:",
        lines.len(),
        megabytes(total)
    );
    filemill_text::tell_lines(lines.join("\n"));

    let mut apt = apt("apt-get");
    apt.current_dir(archives).args(["download", "--quiet"]);
    if program::is_root() {
        apt.args(["-o", "APT::Sandbox::User=root"]); // its own user cannot write here
    }
    apt.args(packages.iter().map(|(name, version)| format!("{name}={version}")));
    program::run(&mut apt)
}

/// Unpacks every package of `archives` into `prefix`, and removes it.
///
/// # Errors
///
/// When a package is damaged or the disk is full.
fn unpack(archives: &Path, prefix: &Path) -> Result<()> {
    for entry in fs::read_dir(archives).with_context(|| format!("cannot list `{}`", archives.display()))? {
        let archive = entry?.path();
        program::run(Command::new("dpkg").arg("-x").arg(&archive).arg(prefix))?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove `{}`", archive.display()))?;
    }
    Ok(())
}

/// The packages to fetch, with their versions: what installing the wanted ones would add to this machine, and the compiler's
/// own, whether or not they are installed.
fn needed(wanted: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut install = apt("apt-get");
    install.args(["install", "--simulate", "--no-install-recommends"]).args(wanted);
    let mut packages = would_install(&program::output(&mut install)?);
    let mut own: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = own.pop() {
        own.extend(standard_library(&program::output(apt("apt-cache").args(["depends", &name]))?));
        if let Entry::Vacant(missing) = packages.entry(name) {
            let name = missing.key();
            let version = candidate(name)?.ok_or_else(|| anyhow!("apt's sources have no package `{name}`"))?;
            missing.insert(version);
        }
    }
    Ok(packages)
}

/// Name and version of each package that `apt-get install --simulate` would install.
fn would_install(simulation: &str) -> BTreeMap<String, String> {
    let parse = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let (_, version) = rest.split_once('(')?;
        let version = version.split_whitespace().next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    simulation.lines().filter_map(parse).collect()
}

/// The packages of the standard library among what `apt-cache depends` lists. Their names move with the compiler's version.
fn standard_library(depends: &str) -> impl Iterator<Item = String> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|name| name.starts_with("libstd-rust"))
        .map(str::to_owned)
}

/// The version of `name` that apt would install, if its lists know one.
fn candidate(name: &str) -> Result<Option<String>> {
    let policy = program::output(apt("apt-cache").args(["policy", name]))?;
    Ok(policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|version| *version != "(none)")
        .map(str::to_owned))
}

/// Size of a package's file in bytes.
fn size_bytes(name: &str, version: &str) -> Result<u64> {
    let record = program::output(apt("apt-cache").args(["show", &format!("{name}={version}")]))?;
    record
        .lines()
        .find_map(|line| line.strip_prefix("Size: "))
        .and_then(|size| size.trim().parse().ok())
        .ok_or_else(|| anyhow!("apt does not know the size of `{name}` {version}"))
}

fn update_lists(lacking: &str) -> Result<()> {
    if !program::is_root() {
        bail!("apt's package lists are missing or lack `{lacking}`\nhint: run `apt-get update` as root");
    }
    filemill_text::tell!("engines: apt-get update (its package lists are missing)");
    program::run(apt("apt-get").args(["update", "--quiet"]))?;
    if candidate(lacking)?.is_none() {
        bail!("apt's sources have no package `{lacking}`\nhint: Debian 12 has it, in its security updates too");
    }
    Ok(())
}

/// One of apt's programs, with output that can be parsed.
fn apt(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_a_simulated_installation() {
        let simulation = "The following NEW packages will be installed:\n  rustc-web\n\
            Inst libllvm22 (1:22.1.8-1~deb12u1 Debian-Security:12/oldstable-security [amd64])\n\
            Inst libssl3 [3.0.1-1] (3.0.19-1 Debian:12.15/oldstable [amd64]) []\n\
            Remv rustc [1.63.0]\n\
            Conf libllvm22 (1:22.1.8-1~deb12u1 Debian-Security:12/oldstable-security [amd64])\n";
        let packages = would_install(simulation);
        let expected = [("libllvm22", "1:22.1.8-1~deb12u1"), ("libssl3", "3.0.19-1")];
        assert_eq!(packages, expected.map(|(name, version)| (name.into(), version.into())).into());
    }

    #[test]
    fn the_standard_library_is_found_whatever_its_version() {
        let depends = "libstd-rust-web-dev\n  Depends: libstd-rust-web-1.97\n  Conflicts: <rustup>\n  Depends: libc6\n";
        assert_eq!(standard_library(depends).collect::<Vec<_>>(), ["libstd-rust-web-1.97"]);
    }
}
