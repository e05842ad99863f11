//! What went away comes back: downloads that are damaged, results that storage does not hand out for a while, a database that is restored
//! from a backup. Nothing is lost, nothing is told twice, and every wait says its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use filemill_api::UploadState;
use xtask::stack::ProcessorOptions;
use xtask::{Tree, engine, wait};

use crate::harness::{Backend, Between, Deed, LIMIT, Line, Person, Running, Stage};

/// A tar of a thousand files, of which an engine has more to say than fits into a result that comes with its event.
fn large_tar() -> Vec<u8> {
    let mut tar = Vec::new();
    for number in 0..1000_u32 {
        let name = format!(
            "{:0>16x}/{:0>80x}",
            number.wrapping_mul(0x9e37_79b9),
            u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        );
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        for (at, field) in
            [(100, "0000644\0"), (108, "0000000\0"), (116, "0000000\0"), (124, "00000000000\0"), (136, "00000000000\0")]
        {
            header[at..at + field.len()].copy_from_slice(field.as_bytes());
        }
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

/// A stage whose processors list archives, with proxies.
fn listing() -> Result<(Stage, Between)> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    for engine in engine::find_or_build(&Tree::locate()?, &["archive".into()])? {
        stage.stack().publish(&engine)?;
    }
    let between = stage.put_between()?;
    stage.processor(ProcessorOptions::default())?;
    Ok((stage, between))
}

fn start_listing(person: &Person, file: &Path) -> Result<Running> {
    let mut send = person.command();
    send.args(["send", "--json", "--engine", "archive", "--"]).arg(file);
    person.start(send)
}

#[test]
fn a_large_result_whose_downloads_are_damaged_is_waited_for_and_says_so() -> Result<()> {
    let (mut stage, between) = listing()?;
    let file = stage.folder("files")?.write("large.tar", large_tar())?;
    let ada = stage.person("ada")?;
    between.storage.rule(|asked| match asked.is_result_get() {
        true => Deed::Alter(|mut body| {
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
            body
        }),
        false => Deed::Pass,
    });
    let mut sending = start_listing(&ada, &file)?;
    sending.until_said("result still to fetch")?;
    let status = ada.say(["status"])?.well()?.out;
    assert!(status.contains("result still to fetch: "), "{status}");
    let asked = ada.say(["results", "--json"])?.well()?;
    assert!(asked.lines()?.is_empty() && asked.log.contains("result still to fetch"), "{asked:?}");
    assert!(between.storage.answered().iter().any(|one| one.asked.is_result_get()), "the result is not a large one");

    // A portal's page in its place, and nothing at all.
    between.storage.rule(|asked| match asked.is_result_get() {
        true => Deed::Alter(|_| b"<html>log in</html>".to_vec()),
        false => Deed::Pass,
    });
    assert!(ada.say(["results", "--json"])?.well()?.lines()?.is_empty());
    between.storage.rule(|asked| match asked.is_result_get() {
        true => Deed::Refuse(403),
        false => Deed::Pass,
    });
    assert!(ada.say(["results", "--json"])?.well()?.lines()?.is_empty());
    sending.expect_running()?;

    between.storage.pass();
    let lines = sending.end(LIMIT)?.well()?.lines()?;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].report.is_some(), "{lines:?}");
    assert_eq!(ada.say(["results", "--json"])?.well()?.lines()?.len(), 1);
    assert_eq!(ada.say(["status"])?.well()?.out, "");
    stage.end()
}

#[test]
fn a_large_result_whose_object_is_away_for_a_while_is_there_later() -> Result<()> {
    let (mut stage, between) = listing()?;
    let file = stage.folder("files")?.write("large.tar", large_tar())?;
    let ada = stage.person("ada")?;
    between.storage.rule(|asked| match asked.is_result_get() {
        true => Deed::Refuse(503),
        false => Deed::Pass,
    });
    let mut sending = start_listing(&ada, &file)?;
    sending.until_said("result still to fetch")?;
    sending.kill()?;
    between.storage.pass();
    let objects = stage.stack().dir().join("server/objects");
    let objects = if objects.is_dir() { objects } else { stage.stack().dir().join("server") };
    let object = find(&objects, "results")?.context("there is no result in storage")?;
    let away = object.with_extension("away");
    fs::rename(&object, &away)?;
    for _ in 0..2 {
        let asked = ada.say(["results", "--json"])?.well()?;
        assert!(asked.lines()?.is_empty() && asked.log.contains("result still to fetch"), "{asked:?}");
    }
    fs::rename(&away, &object)?;
    let lines = ada.say(["results", "--json"])?.well()?.lines()?;
    assert!(lines.len() == 1 && lines[0].report.is_some(), "{lines:?}");
    stage.end()
}

/// The folder called `name` below `folder`.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|found| found == name) {
                return Ok(Some(path));
            }
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The files of the stage's database.
fn database(stage: &mut Stage) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| stage.stack().dir().join(format!("server/filemill.sqlite{end}")))
}

/// Copies the database away, of a server that is stopped for it.
fn back_up(stage: &mut Stage) -> Result<Vec<Option<Vec<u8>>>> {
    stage.stack().server_mut().stop()?;
    let copies = database(stage).map(|file| fs::read(file).ok());
    stage.stack().server_mut().start_again()?;
    assert!(copies[0].as_ref().is_some_and(|copy| !copy.is_empty()), "the database is elsewhere");
    Ok(copies.into())
}

fn restore(stage: &mut Stage, copies: &[Option<Vec<u8>>]) -> Result<()> {
    stage.stack().server_mut().stop()?;
    for (file, copy) in database(stage).iter().zip(copies) {
        match copy {
            Some(copy) => fs::write(file, copy)?,
            None => drop(fs::remove_file(file)),
        }
    }
    stage.stack().server_mut().start_again()
}

fn watch(person: &Person, folder: &Path) -> Result<Running> {
    let mut watch = person.command();
    watch.args(["watch", "--json", "--"]).arg(folder);
    person.start(watch)
}

/// Waits until exactly `expected` (path and bytes) are reported, each once.
fn until_reported(watching: &mut Running, expected: &BTreeMap<PathBuf, u64>) -> Result<()> {
    wait::until("the reports", LIMIT, || {
        watching.expect_running()?;
        Ok((watching.lines()?.len() >= expected.len()).then_some(()))
    })
    .with_context(|| format!("reported: {:?}\nexpected: {expected:?}", watching.lines()))?;
    assert_eq!(&sizes(watching.lines()?)?, expected);
    Ok(())
}

fn sizes(lines: Vec<Line>) -> Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    for line in lines {
        let bytes = line.number("bytes").with_context(|| format!("no report: {line:?}"))?;
        assert!(found.insert(line.file()?, bytes).is_none(), "reported twice: {line:?}");
    }
    Ok(found)
}

#[test]
fn a_database_that_is_restored_silences_no_client_and_loses_no_file() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let watched = stage.folder("watched")?;
    let ada = stage.person("ada")?;
    let mut expected = BTreeMap::new();
    let mut drop_in = |name: &str, content: &str| -> Result<BTreeMap<PathBuf, u64>> {
        expected.insert(watched.write(name, content)?, content.len() as u64);
        Ok(expected.clone())
    };
    let before = drop_in("before", "1\n")?;
    let mut watching = watch(&ada, watched.path())?;
    until_reported(&mut watching, &before)?;
    let backup = back_up(&mut stage)?;

    let mut between = BTreeMap::new();
    for index in 0..20 {
        between = drop_in(&format!("between-{index}"), &format!("{index}, after the backup\n"))?;
    }
    until_reported(&mut watching, &between)?;
    // And one whose upload is complete, and whose result has not come when the database goes back.
    for processor in stage.stack().processors_mut() {
        processor.stop()?;
    }
    let waiting = drop_in("waiting", &"waiting\n".repeat(100_000))?;
    wait::until("the upload to be stored", LIMIT, || {
        let uploads = ada.asker().uploads()?;
        Ok(uploads.iter().any(|upload| upload.state == UploadState::Stored).then_some(()))
    })?;
    restore(&mut stage, &backup)?;
    stage.return_processors()?;
    until_reported(&mut watching, &waiting)?;

    // Events after it have numbers that were given before.
    let after = drop_in("after", "after the restore\n")?;
    until_reported(&mut watching, &after)?;
    assert_eq!(watching.interrupt()?.code, Some(0));
    let results = ada.say(["results", "--json"])?.well()?.lines()?;
    assert_eq!(sizes(results)?, after);
    let again = ada.send([watched.path()])?.well()?.lines()?;
    assert!(again.len() == after.len() && again.iter().all(|line| line.reused), "something was sent again: {again:?}");
    stage.end()
}

#[test]
fn a_database_that_is_restored_while_no_client_runs_silences_none() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let files = stage.folder("files")?;
    let ada = stage.person("ada")?;
    files.write("before", "1\n")?;
    ada.send([files.path()])?.well()?;
    let backup = back_up(&mut stage)?;
    for index in 0..10 {
        files.write(format!("between-{index}"), format!("{index}, after the backup\n"))?;
    }
    ada.send([files.path()])?.well()?;
    // Sent, and without a result when the database goes back.
    for processor in stage.stack().processors_mut() {
        processor.stop()?;
    }
    files.write("waiting", "waiting for its result\n")?;
    let sending = ada.start_sending([files.path()])?;
    wait::until("the upload to be stored", LIMIT, || {
        let uploads = ada.asker().uploads()?;
        Ok(uploads.iter().any(|upload| upload.state == UploadState::Stored).then_some(()))
    })?;
    sending.kill()?;
    restore(&mut stage, &backup)?;
    stage.return_processors()?;
    let resumed = ada.say(["resume", "--json"])?.well()?.lines()?;
    assert_eq!(sizes(resumed)?.into_values().collect::<Vec<_>>(), [23]);
    files.write("after", "after the restore\n")?;
    let lines = ada.send([files.path()])?.well()?.lines()?;
    assert_eq!(lines.len(), 13, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| !line.reused).count(), 1, "{lines:?}");
    assert_eq!(ada.say(["results", "--json"])?.well()?.lines()?.len(), 13);
    stage.end()
}
