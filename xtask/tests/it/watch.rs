//! Folders that are watched: whatever way a file comes into them, it is sent once, whole.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::wait;

use crate::harness::{Backend, LIMIT, Line, Person, Running, Stage, on_both};

on_both!(every_way_into_a_watched_folder_is_noticed, a_watch_that_starts_again_sends_only_what_is_new,);

fn watch(person: &Person, folder: &std::path::Path, more: &[&str]) -> Result<Running> {
    let mut watch = person.command();
    watch.args(["watch", "--json"]).args(more).arg("--").arg(folder);
    person.start(watch)
}

/// Waits until exactly `expected` (path and bytes) are reported; a file may not be reported with another content.
fn until_reported(watching: &mut Running, expected: &BTreeMap<PathBuf, u64>) -> Result<()> {
    wait::until("the reports", LIMIT, || {
        watching.expect_running()?;
        let lines = watching.lines()?;
        Ok((lines.len() >= expected.len()).then_some(()))
    })
    .with_context(|| format!("reported: {:?}\nexpected: {expected:?}", watching.lines()))?;
    let mut found = BTreeMap::new();
    for line in watching.lines()? {
        assert!(found.insert(line.file()?, bytes(&line)?).is_none(), "reported twice: {line:?}");
    }
    assert_eq!(&found, expected);
    Ok(())
}

fn bytes(line: &Line) -> Result<u64> {
    line.number("bytes").with_context(|| format!("no report: {line:?}"))
}

fn every_way_into_a_watched_folder_is_noticed(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let watched = stage.folder("watched")?;
    let outside = stage.folder("outside")?;
    let ada = stage.person("ada")?;
    let mut expected = BTreeMap::new();
    expected.insert(watched.write("before", "was there before\n")?, 17);
    let mut watching = watch(&ada, watched.path(), &["--ignore", "*.tmp"])?;
    until_reported(&mut watching, &expected)?;

    // Written in one go; in a new folder; renamed into place; moved in with its folder; not wanted.
    expected.insert(watched.write("dropped", "dropped\n")?, 8);
    expected.insert(watched.write("new/folder/file", "deep\n")?, 5);
    watched.write("draft.tmp", "not this one\n")?;
    let part = outside.write("part", "renamed\n")?;
    fs::rename(part, watched.path().join("renamed"))?;
    expected.insert(watched.path().join("renamed"), 8);
    for index in 0..50 {
        outside.write(format!("moved/sub-{}/file-{index}", index % 5), format!("file {index:02}\n"))?;
        expected.insert(watched.path().join(format!("moved/sub-{}/file-{index}", index % 5)), 8);
    }
    fs::rename(outside.path().join("moved"), watched.path().join("moved"))?;

    // Being written: whoever writes keeps it open, and nothing half is sent.
    let growing = watched.path().join("growing");
    let mut writer = OpenOptions::new().create(true).append(true).open(&growing)?;
    writer.write_all(b"the first half, ")?;
    until_reported(&mut watching, &expected)?;
    writer.write_all(b"the second half\n")?;
    drop(writer);
    expected.insert(growing, 32);
    until_reported(&mut watching, &expected)?;

    let said = watching.interrupt()?;
    assert_eq!(said.lines()?.len(), expected.len());
    assert_eq!(ada.asker().results()?.len(), expected.len());
    stage.end()
}

#[test]
fn files_that_keep_coming_do_not_wait_for_each_other() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let watched = stage.folder("watched")?;
    let ada = stage.person("ada")?;
    let mut watching = watch(&ada, watched.path(), &[])?;
    let mut count = 0;
    // One with every look: fewer in all than a bundle has room for.
    wait::until("the first report", Duration::from_secs(30), || {
        watching.expect_running()?;
        watched.write(format!("{count}"), "one more\n")?;
        count += 1;
        Ok((!watching.lines()?.is_empty()).then_some(()))
    })
    .with_context(|| format!("{count} files came"))?;
    let expected = (0..count).map(|number| (watched.path().join(number.to_string()), 9)).collect();
    until_reported(&mut watching, &expected)?;
    watching.interrupt()?;
    stage.end()
}

/// Nobody but root can become another user, and only another user's files are closed to a client.
const NOBODY: u32 = 65534;

#[test]
fn half_a_file_of_another_user_who_pauses_is_never_sent() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return Ok(());
    }
    let mut stage = Stage::complete(Backend::Sqlite)?;
    // A client that cannot see who writes, and one that can.
    for (name, user) in [("nobody", Some(NOBODY)), ("root", None)] {
        let watched = stage.folder(name)?;
        let person = stage.person(name)?;
        let mut command = person.command();
        if let Some(user) = user {
            for folder in person.home().ancestors().take_while(|folder| *folder != std::env::temp_dir()) {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
            }
            // They may not get to where the programs were built.
            command = of_program(&command, &person.home().join("filemill"))?;
            give_to(person.home(), user)?;
            command.uid(user).gid(user);
        }
        command.args(["watch", "--json", "--"]).arg(watched.path());
        let mut watching = person.start(command)?;
        let mut expected = BTreeMap::from([(watched.write("before", "before\n")?, 7)]);
        until_reported(&mut watching, &expected)?;

        let path = watched.path().join("slow");
        let mut writer = File::create(&path)?;
        writer.write_all(b"the first half, ")?;
        // Whoever counts on a file's being whole because it has not changed for a while is wrong here.
        thread::sleep(Duration::from_secs(5));
        writer.write_all(b"the second half\n")?;
        drop(writer);
        expected.insert(path, 32);
        until_reported(&mut watching, &expected)?;
        watching.interrupt()?;
    }
    stage.end()
}

/// The same call of a copy of the program.
fn of_program(command: &Command, copy: &Path) -> Result<Command> {
    fs::copy(command.get_program(), copy)?;
    let mut of_copy = Command::new(copy);
    of_copy.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => of_copy.env(name, value),
            None => of_copy.env_remove(name),
        };
    }
    Ok(of_copy)
}

/// Makes `folder` and all in it a user's own.
fn give_to(folder: &Path, user: u32) -> Result<()> {
    chown(folder, Some(user), Some(user))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_to(&entry.path(), user)?;
        } else {
            chown(entry.path(), Some(user), Some(user))?;
        }
    }
    Ok(())
}

fn a_watch_that_starts_again_sends_only_what_is_new(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let watched = stage.folder("watched")?;
    let ada = stage.person("ada")?;
    let mut first = BTreeMap::new();
    first.insert(watched.write("one", "one\n")?, 4);
    first.insert(watched.write("two", "two two\n")?, 8);
    let mut watching = watch(&ada, watched.path(), &[])?;
    until_reported(&mut watching, &first)?;
    // As the power goes: nobody is told.
    watching.kill()?;

    let mut second = first;
    second.insert(watched.write("three", "three three\n")?, 12);
    second.insert(watched.write("one", "one, changed\n")?, 13);
    let mut watching = watch(&ada, watched.path(), &[])?;
    until_reported(&mut watching, &second)?;
    let lines = watching.interrupt()?.lines()?;
    let reused: Vec<&str> = lines.iter().filter(|line| line.reused).map(|line| line.path.as_str()).collect();
    assert!(matches!(reused[..], [path] if path.ends_with("/two")), "{reused:?}");
    assert_eq!(ada.asker().results()?.len(), 4);
    stage.end()
}
