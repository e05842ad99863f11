//! Files the whole way, and back: what is reported equals what the folder holds, and the result is the owner's alone.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::wait;

use crate::harness::{Backend, Files, LIMIT, Line, Person, Said, Stage, newest_format, on_both};

on_both!(
    every_file_of_a_mixed_folder_is_reported_with_its_size,
    results_open_with_the_independent_age_tool_and_no_other_key,
    the_same_content_is_not_sent_twice_unless_asked,
    a_file_that_cannot_be_read_fails_alone,
);

/// A folder with everything that a folder may hold. Returns how many of it are files.
fn mixed(files: &Files) -> Result<usize> {
    files.write("empty", "")?;
    files.write("one byte", "x")?;
    files.write("two lines", "one\ntwo")?;
    files.write_incompressible("three chunks", (16 << 20) + 1)?;
    files.write("compressible", "the same line again\n".repeat(600_000))?;
    files.write("new\nline", "one\n")?;
    files.write(OsStr::from_bytes(b"latin1-\xe9\xff"), "two\n")?;
    files.write("deep/er/and/deeper/file", "three\n")?;
    files.write(format!("long-{}", "x".repeat(240)), "four\n")?;
    files.write_many(300, 20_000)?;
    symlink(".", files.path().join("loop"))?;
    symlink("empty", files.path().join("link"))?;
    symlink("nowhere", files.path().join("dangling"))?;
    let made = Command::new("mkfifo").arg(files.path().join("pipe")).status()?;
    anyhow::ensure!(made.success(), "`mkfifo` failed");
    fs::create_dir(files.path().join("empty folder"))?;
    Ok(309)
}

fn every_file_of_a_mixed_folder_is_reported_with_its_size(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let files = stage.folder("files")?;
    let count = mixed(&files)?;
    let all = files.all()?;
    assert_eq!(all.len(), count);
    let ada = stage.person("ada")?;
    let said = ada.send([files.path()])?.well()?;
    sizes_equal_stat(&all, &said.lines()?)?;
    let link = "ignored: link";
    for (skipped, why) in [("loop", link), ("link`", link), ("dangling", link), ("pipe", "it is a named pipe")] {
        let said_so = said.log.lines().any(|line| line.contains(skipped) && line.contains(why));
        assert!(said_so, "nothing is said of `{skipped}`: {}", said.log);
    }
    let lines = said.lines()?;
    for (name, count) in [("empty", 0), ("one byte", 1), ("two lines", 2), ("compressible", 600_000)] {
        let line = lines.iter().find(|line| line.path.ends_with(&format!("/{name}")));
        assert_eq!(line.and_then(|line| line.number("lines")), Some(count), "{name}");
    }
    assert_eq!(ada.asker().results()?.len(), count);
    assert!(ada.asker().uploads()?.is_empty());
    stage.end()
}

/// Each of `files` is in the report once, with the size that `stat` says and the engine counted.
fn sizes_equal_stat(files: &[PathBuf], lines: &[Line]) -> Result<()> {
    let mut left = BTreeMap::new();
    for file in files {
        left.insert(file.clone(), fs::metadata(file)?.len());
    }
    for line in lines {
        let size = left.remove(&line.file()?).with_context(|| format!("not a file, or twice: {line:?}"))?;
        assert_eq!((line.size, line.number("bytes")), (size, Some(size)), "{line:?}");
        assert_eq!((line.engine.as_str(), line.status.as_str()), ("size", "succeeded"), "{line:?}");
    }
    assert!(left.is_empty(), "no line about {left:?}");
    Ok(())
}

fn results_open_with_the_independent_age_tool_and_no_other_key(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let files = stage.folder("files")?;
    let secret = files.write("folder/secret", "one\ntwo\n")?;
    let keys = stage.folder("keys")?;
    let out = stage.folder("out")?;
    let (ada, bob) = (stage.person("ada")?, stage.person("bob")?);
    send_to(&ada, files.path(), out.path())?.well()?;
    let key = |person: &Person, name: &str| -> Result<PathBuf> {
        let exported = person.say(["key", "export"])?.well()?.out;
        keys.write(name, exported)
    };
    let (own, other) = (key(&ada, "own")?, key(&bob, "other")?);

    let sealed = out.path().join("folder/secret.age");
    let opened = age(&own, &sealed)?;
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let text = String::from_utf8(opened.stdout)?;
    let (first, json) = text.split_once('\n').context("a result has a first line")?;
    assert!(first.starts_with(&format!("filemill-result/{} ", newest_format())), "{first}");
    let result: Value = serde_json::from_str(json)?;
    assert_eq!((&result["outcome"], &result["report"]["lines"]), (&"succeeded".into(), &2.into()));
    assert_eq!(result["input"]["length"], fs::metadata(&secret)?.len());

    assert!(!age(&other, &sealed)?.status.success(), "another key opens it");
    let opened = ada.say([OsStr::new("open"), sealed.as_os_str()])?.well()?;
    assert!(opened.out.contains("succeeded"), "{}", opened.out);
    let refused = bob.say([OsStr::new("open"), sealed.as_os_str()])?;
    assert_ne!(refused.code, Some(0));
    assert!(!refused.out.contains("succeeded"), "{}", refused.out);
    stage.end()
}

fn send_to(person: &Person, folder: &Path, out: &Path) -> Result<Said> {
    let mut send = person.command();
    send.args(["send", "--json", "--out"]).arg(out).arg("--").arg(folder);
    person.start(send)?.end(LIMIT)
}

/// Opens a sealed result with the `age` tool, which is installed first where it is missing and this is root.
fn age(key: &Path, sealed: &Path) -> Result<Output> {
    let open = || {
        let mut age = Command::new("age");
        age.args(["--decrypt", "--identity"]).arg(key).arg(sealed).output()
    };
    match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut install = Command::new("apt-get");
            install.args(["install", "--yes", "--quiet", "--no-install-recommends", "age"]);
            let hint = "install `age` (on Debian: `apt-get install age`, as root)";
            let installed = install.env("DEBIAN_FRONTEND", "noninteractive").output().context(hint)?;
            anyhow::ensure!(installed.status.success(), "{hint}: {}", String::from_utf8_lossy(&installed.stderr));
            open()
        }
        opened => opened,
    }
    .context("cannot start `age`")
}

fn the_same_content_is_not_sent_twice_unless_asked(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let files = stage.folder("files")?;
    files.write("a", "one\n")?;
    files.write("b", "one\ntwo\n")?;
    let ada = stage.person("ada")?;
    let first = ada.send([files.path()])?.well()?.lines()?;
    assert_eq!((first.len(), ada.asker().results()?.len()), (2, 2));

    // The same files; another name for the same content; new content.
    files.write("copy of b", "one\ntwo\n")?;
    let second = ada.send([files.path()])?.well()?.lines()?;
    sizes_equal_stat(&files.all()?, &second)?;
    assert_eq!((second.len(), ada.asker().results()?.len()), (3, 2));
    files.write("a", "another\n")?;
    let third = ada.send([files.path()])?.well()?.lines()?;
    sizes_equal_stat(&files.all()?, &third)?;
    assert_eq!((third.len(), ada.asker().results()?.len()), (3, 3));

    let mut again = ada.command();
    again.args(["send", "--json", "--again", "--"]).arg(files.path());
    let fourth = ada.start(again)?.end(LIMIT)?.well()?.lines()?;
    sizes_equal_stat(&files.all()?, &fourth)?;
    assert_eq!((fourth.len(), ada.asker().results()?.len()), (3, 6));
    stage.end()
}

fn a_file_that_cannot_be_read_fails_alone(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let files = stage.folder("files")?;
    let good = files.write("good", "one\n")?;
    let locked = files.write("locked", "two\n")?;
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000))?;
    let missing = files.path().join("missing");
    let ada = stage.person("ada")?;
    let said = ada.start(without_override(&ada, &[files.path(), &missing]))?.end(LIMIT)?;
    assert_eq!(said.code, Some(1), "{said:?}");
    let lines = said.lines()?;
    let of = |file: &Path| lines.iter().find(|line| line.file().is_ok_and(|path| path == file));
    assert_eq!(of(&good).and_then(|line| line.number("lines")), Some(1));
    for (file, why) in [(&locked, "permission denied"), (&missing, "does not exist")] {
        let line = of(file).with_context(|| format!("no line about `{}`: {said:?}", file.display()))?;
        assert_ne!(line.status, "succeeded");
        let message = line.message.clone().unwrap_or_default().to_lowercase();
        assert!(message.contains(why), "{line:?}");
    }
    assert_eq!(lines.len(), 3);
    wait::until("no upload to be left", LIMIT, || Ok(ada.asker().uploads()?.is_empty().then_some(())))?;
    stage.end()
}

/// A call that sends `paths` without root's right to read what is locked.
fn without_override(person: &Person, paths: &[&Path]) -> Command {
    let send = person.command();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--inh-caps=-all", "--"]);
    command.arg(send.get_program());
    for (name, value) in send.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.args(["send", "--json", "--"]).args(paths);
    command
}
