//! What the world does to an upload: storage that fails, files that change, disks that fill, tokens that end. Each is said,
//! with its subject, and no file is lost.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use xtask::stack::ProcessorOptions;
use xtask::wait;

use crate::harness::{Asked, Backend, Deed, LIMIT, Stage, incompressible, on_both};

on_both!(
    storage_that_fails_every_way_costs_no_file,
    a_file_that_changes_under_the_reader_is_sent_again_as_it_is,
    a_revoked_token_is_said_and_another_goes_on,
    a_server_that_is_down_is_named_and_waited_for,
    a_file_that_nobody_can_process_says_why_it_waits,
);

/// Fails the first requests for every object, each in another way.
fn faulty() -> impl Fn(&Asked) -> Deed + Send + Sync + 'static {
    let times: Mutex<HashMap<String, u32>> = Mutex::default();
    move |asked| {
        let Ok(mut times) = times.lock() else { return Deed::Pass };
        let time = times.entry(format!("{asked:?}")).or_default();
        *time += 1;
        match *time {
            1 => Deed::Refuse(503),
            2 => Deed::Cut,
            // An expired URL: another is asked for.
            3 => Deed::Refuse(403),
            _ => Deed::Pass,
        }
    }
}

fn storage_that_fails_every_way_costs_no_file(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    between.storage.rule(faulty());
    stage.processor(ProcessorOptions::default())?;
    let files = stage.folder("files")?;
    files.write_incompressible("large", 30 << 20)?;
    files.write_many(200, 10_000)?;
    let ada = stage.person("ada")?;
    let lines = ada.send([files.path()])?.well()?.lines()?;
    for line in &lines {
        assert_eq!(line.number("bytes"), Some(fs::metadata(line.file()?)?.len()), "{line:?}");
    }
    let results = ada.asker().results()?;
    assert_eq!((lines.len(), results.len()), (201, 201));
    assert!(results.values().all(|(_, times)| *times == 1));
    let failed = between.storage.answered().iter().filter(|one| one.status >= 400).count();
    assert!(failed > 10, "only {failed} requests failed: this tests nothing");
    stage.end()
}

fn a_file_that_changes_under_the_reader_is_sent_again_as_it_is(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    stage.processor(ProcessorOptions { slots: Some(1), ..ProcessorOptions::default() })?;
    let files = stage.folder("files")?;
    // So large that the client cannot have read their ends when the first chunk is stored.
    let large = |name: &str| files.write_incompressible(name, 14 << 23);
    let (shrinking, changing, vanishing) = (large("a-shrinking")?, large("b-changing")?, large("c-vanishing")?);
    let steady = files.write("d-steady", "one\n")?;
    between.storage.rule(|asked| match asked.is_chunk_put() {
        true => Deed::Hold,
        false => Deed::Pass,
    });
    let ada = stage.person("ada")?;
    for (file, change) in [(&shrinking, shrink as fn(&Path) -> Result<()>), (&changing, append), (&vanishing, remove)] {
        let mut sending = ada.start_sending([file, &steady])?;
        wait::until("an upload to be opened", LIMIT, || {
            sending.expect_running()?;
            Ok((!ada.asker().uploads()?.is_empty()).then_some(()))
        })?;
        change(file)?;
        between.storage.pass();
        let said = sending.end(LIMIT)?;
        let lines = said.lines()?;
        let of = |file: &PathBuf| {
            lines.iter().filter(|line| line.file().is_ok_and(|path| path == *file)).collect::<Vec<_>>()
        };
        assert_eq!(of(&steady).len(), 1, "{said:?}");
        let line = match of(file)[..] {
            [line] => line,
            _ => bail!("not one line about `{}`: {said:?}", file.display()),
        };
        match fs::metadata(file) {
            Ok(metadata) => assert_eq!(line.number("bytes"), Some(metadata.len()), "{line:?}"),
            Err(_) => assert!(line.report.is_none() && said.code == Some(1), "{said:?}"),
        }
        between.storage.rule(|asked| match asked.is_chunk_put() {
            true => Deed::Hold,
            false => Deed::Pass,
        });
    }
    between.storage.pass();
    stage.end()
}

fn shrink(file: &Path) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(file)?.set_len(20 << 20)?)
}

fn append(file: &Path) -> Result<()> {
    Ok(OpenOptions::new().append(true).open(file)?.write_all(b"and more")?)
}

fn remove(file: &Path) -> Result<()> {
    Ok(fs::remove_file(file)?)
}

fn a_revoked_token_is_said_and_another_goes_on(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let file = stage.folder("files")?.write("file", "one\n")?;
    let ada = stage.person("ada")?;
    let tokens = stage.administer(&["token", "list"])?;
    let row = tokens.lines().find(|line| line.contains("\tada\t")).context("ada has a token")?;
    let id = row.split('\t').next().context("a token has a number")?;
    stage.administer(&["token", "revoke", id])?;
    wait::until("the token to be refused", LIMIT, || Ok(ada.asker().uploads().is_err().then_some(())))?;
    let said = ada.send([&file])?;
    assert_ne!(said.code, Some(0));
    assert!(said.log.contains("does not accept the token"), "{}", said.log);
    assert!(said.log.contains("filemill login"), "no hint: {}", said.log);
    let ada = stage.person("ada")?;
    ada.send([&file])?.well()?;
    stage.end()
}

fn a_server_that_is_down_is_named_and_waited_for(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    let file = stage.folder("files")?.write("file", "one\n")?;
    let ada = stage.person("ada")?;
    let server = stage.stack().addresses().listening.clone();
    stage.stack().server_mut().kill()?;
    let mut sending = ada.start_sending([&file])?;
    sending.until_said(&format!("server `{server}` cannot be reached"))?;
    stage.stack().server_mut().start_again()?;
    sending.end(LIMIT)?.well()?;
    stage.end()
}

fn a_file_that_nobody_can_process_says_why_it_waits(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    stage.absent_processor()?;
    let file = stage.folder("files")?.write("file", "one\n")?;
    let ada = stage.person("ada")?;
    let sending = ada.start_sending([&file])?;
    let reasons = ["no processor can run this release", "waiting for a turn"];
    wait::until("the reason", LIMIT, || {
        let status = ada.say(["status"])?.well()?.out;
        Ok(reasons.iter().any(|reason| status.contains(reason)).then_some(()))
    })?;
    stage.return_processors()?;
    sending.end(LIMIT)?.well()?;
    let status = ada.say(["status"])?.well()?.out;
    assert!(!reasons.iter().any(|reason| status.contains(reason)), "{status}");
    stage.end()
}

#[test]
fn storage_that_stays_busy_is_named_and_waited_for() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let between = stage.put_between()?;
    between.storage.rule(|_| Deed::Refuse(503));
    let file = stage.folder("files")?.write("file", "one\n")?;
    let ada = stage.person("ada")?;
    let mut sending = ada.start_sending([&file])?;
    sending.until_said(&format!("storage `{}` keeps failing: SlowDown: ", between.storage.origin()))?;
    // Half a minute and more.
    wait::until("many attempts", LIMIT, || Ok((between.storage.answered().len() > 26).then_some(())))?;
    sending.expect_running()?;
    between.storage.pass();
    let lines = sending.end(LIMIT)?.well()?.lines()?;
    assert_eq!((lines[0].number("lines"), ada.asker().results()?.len()), (Some(1), 1));
    stage.end()
}

/// A small disk.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one of `bytes` at `at`; `None` where this process may not.
    fn mount(at: &Path, bytes: u64) -> Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "filemill-test"]).arg(at);
        let mounted = mount.output().context("cannot start `mount`")?.status.success();
        Ok(mounted.then(|| Self { at: at.to_owned() }))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("`{}` is still mounted", self.at.display());
        }
    }
}

#[test]
fn a_full_disk_under_the_journal_is_said_and_loses_nothing() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let home = stage.stack().dir().join("ada");
    let Some(disk) = Disk::mount(&home, 24 << 20)? else {
        eprintln!("skipped: this process may not mount a disk");
        return stage.end();
    };
    let ada = stage.person("ada")?;
    let files = stage.folder("files")?;
    files.write_many(4000, 200)?;
    // Leaves less than the journal of these files needs.
    let ballast = home.join("ballast");
    let free = rustix::fs::statvfs(&home)?;
    let free = usize::try_from(free.f_bavail * free.f_frsize)?;
    fs::write(&ballast, incompressible(free.saturating_sub(300 << 10))?)?;
    let said = ada.send([files.path()])?;
    assert_ne!(said.code, Some(0), "it fitted: {}", said.out.len());
    assert!(said.log.contains("no room left for the journal"), "{}", said.log);
    assert!(said.log.contains("free some space"), "no hint: {}", said.log);

    fs::remove_file(&ballast)?;
    let lines = ada.send([files.path()])?.well()?.lines()?;
    assert_eq!(lines.len(), 4000);
    let results = ada.asker().results()?;
    assert!(results.values().all(|(_, times)| *times == 1));
    let distinct: std::collections::BTreeSet<_> = lines.iter().map(|line| line.path.clone()).collect();
    assert_eq!(distinct.len(), 4000);
    drop(disk);
    stage.end()
}
