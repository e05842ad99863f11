//! Installing and uninstalling, below a prefix of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::{Binaries, Stack, StackOptions};

use crate::harness::{Ran, xtask};

/// A prefix, with somebody's own file in it.
struct Place {
    dir: tempfile::TempDir,
    foreign: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let foreign = dir.path().join("prefix/share/of-somebody-else");
        fs::create_dir_all(foreign.parent().context("it has one")?)?;
        fs::write(&foreign, "theirs")?;
        Ok(Self { dir, foreign })
    }

    fn prefix(&self) -> PathBuf {
        self.dir.path().join("prefix")
    }

    fn call(&self, what: &str) -> Result<Ran> {
        let prefix = self.prefix();
        let mut call = xtask(&[what, "--prefix", prefix.to_str().context("a plain path")?])?;
        let path = std::env::var("PATH")?;
        call.env("PATH", format!("{}:{path}", prefix.join("bin").display()));
        Ran::of(call)
    }

    /// As [`Self::call`], which must succeed; what it printed.
    fn well(&self, what: &str) -> Result<String> {
        let ran = self.call(what)?;
        ensure!(ran.code == Some(0), "{ran:?}");
        Ok(ran.out)
    }

    /// Every file below the prefix, with when it was written.
    fn files(&self) -> Result<BTreeMap<PathBuf, std::time::SystemTime>> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.prefix()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.path()),
                    false => drop(files.insert(entry.path(), entry.metadata()?.modified()?)),
                }
            }
        }
        Ok(files)
    }
}

fn run(program: &Path, args: &[&str]) -> Result<String> {
    // Nothing but the prefix is searched: what the programs need of each other they find there.
    let ran = Ran::of({
        let mut command = Command::new(program);
        command.args(args).env_clear().env("PATH", program.parent().context("a folder")?);
        command
    })?;
    ensure!(ran.code == Some(0), "{ran:?}");
    Ok(ran.out)
}

#[test]
fn what_is_installed_runs_with_nothing_but_the_prefix_and_is_removed_to_the_last_file() -> Result<()> {
    let place = Place::new()?;
    let said = place.well("install")?;
    let bin = place.prefix().join("bin");
    ensure!(said.contains(&format!("`{}` is on PATH", bin.display())), "{said}");
    ensure!(said.contains("systemctl --user link"), "systemd does not look in such a prefix: {said}");
    for program in ["filemill", "filemill-server", "filemill-processor"] {
        ensure!(run(&bin.join(program), &["--version"])?.starts_with(program));
        let mode = fs::metadata(bin.join(program))?.permissions().mode();
        ensure!(mode & 0o777 == 0o755, "{mode:o}");
    }

    // The server finds the processor's program beside itself, and so says what an engine is.
    let options = StackOptions::new(place.dir.path().join("stack"), Binaries::in_dir(&bin)?, Vec::new());
    let stack = Stack::start(StackOptions { processors: Vec::new(), ..options })?;
    let (state, engine) = (stack.dir().join("server"), place.prefix().join("share/filemill/engines/size.wasm"));
    let [state, engine] = [&state, &engine].map(|path| path.display().to_string());
    run(&bin.join("filemill-server"), &["release", "publish", "--embedded", &state, &engine])?;
    let listed = run(&bin.join("filemill-server"), &["release", "list", "--embedded", &state])?;
    ensure!(listed.contains("size"), "{listed}");
    stack.stop()?;

    let unit = fs::read_to_string(place.prefix().join("share/systemd/user/filemill-server.service"))?;
    ensure!(unit.contains(&format!("ExecStart=\"{}/filemill-server\" serve", bin.display())), "{unit}");

    place.well("uninstall")?;
    assert_eq!(place.files()?.into_keys().collect::<Vec<_>>(), std::slice::from_ref(&place.foreign));
    ensure!(!bin.exists() && fs::metadata(&state).is_ok(), "folders that were made are left, or data is gone");
    let again = place.call("uninstall")?;
    ensure!(again.code == Some(1) && again.log.contains("nothing was installed"), "{again:?}");
    Ok(())
}

#[test]
fn installing_again_replaces_what_was_installed_and_nothing_else() -> Result<()> {
    let place = Place::new()?;
    place.well("install")?;
    let before = place.files()?;
    place.well("install")?;
    assert_eq!(before.keys().collect::<Vec<_>>(), place.files()?.keys().collect::<Vec<_>>());

    // Somebody's own program of that name.
    let program = place.prefix().join("bin/filemill");
    fs::write(&program, "theirs")?;
    let before = place.files()?;
    let refused = place.call("install")?;
    ensure!(refused.code == Some(1) && refused.log.contains("bin/filemill`"), "{refused:?}");
    assert_eq!(before, place.files()?, "half of it was installed");
    let removed = place.call("uninstall")?;
    ensure!(removed.code == Some(0) && removed.log.contains("was changed"), "{removed:?}");
    assert_eq!(place.files()?.into_keys().collect::<Vec<_>>(), [program, place.foreign.clone()]);
    Ok(())
}
