//! Engines that are dropped into a processor's folder: live within moments, replaced and removed while jobs run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask::engine::{self, Engine};
use xtask::stack::ProcessorOptions;
use xtask::{Tree, wait};

use crate::harness::{Backend, LIMIT, Person, Recorded, Running, Said, Stage, on_both};

on_both!(
    an_engine_is_dropped_in_replaced_and_removed_while_jobs_run,
    bad_files_in_the_folder_disturb_nothing,
    an_engine_that_reads_by_offset_gets_a_file_of_many_chunks,
);

/// Bytes a second of the slow uplink, and of a file that takes it some ten seconds.
const UPLINK: u32 = 20_000_000;
const LARGE: u64 = 200_000_000;

/// The folder `engines` beside the pool's, which a processor looks at unless it is told otherwise.
struct Folder(PathBuf);

impl Folder {
    fn of(stage: &mut Stage) -> Result<Self> {
        let path = stage.stack().dir().join("engines");
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    fn drop_in(&self, name: &str, component: &Path) -> Result<()> {
        fs::copy(component, self.0.join(name)).context("cannot copy the component")?;
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.0.join(name))?)
    }
}

/// Engines that the tests build once.
fn engines<const N: usize>(names: [&str; N]) -> Result<[Engine; N]> {
    let tree = Tree::locate()?;
    let found = engine::find_or_build(&tree, &names.map(str::to_owned))?;
    let of = |name: &str| found.iter().find(|engine| engine.name == name).cloned();
    let found: Vec<Engine> = names.into_iter().filter_map(of).collect();
    found.try_into().ok().context("an engine is missing")
}

fn start_sending(person: &Person, engine: &str, file: &Path) -> Result<Running> {
    let mut send = person.command();
    send.args(["send", "--json", "--engine", engine, "--"]).arg(file);
    person.start(send)
}

fn send(person: &Person, engine: &str, file: &Path) -> Result<Said> {
    start_sending(person, engine, file)?.end(LIMIT)
}

/// Waits until clients of the pool see exactly these local engines, as name and digest.
fn until_offered(person: &Person, expected: &[(&str, &Engine)]) -> Result<()> {
    let mut expected: Vec<(String, String)> =
        expected.iter().map(|(name, engine)| (format!("local/{name}"), engine.digest.clone())).collect();
    expected.sort();
    wait::until(&format!("the offer of {expected:?}"), LIMIT, || {
        let mut offered: Vec<(String, String)> = person
            .asker()
            .releases(xtask::stack::ORGANISATION)?
            .into_iter()
            .filter(|release| release.engine.starts_with("local/") && release.current)
            .map(|release| (release.engine, release.digest))
            .collect();
        offered.sort();
        Ok((offered == expected).then_some(()))
    })
}

fn an_engine_is_dropped_in_replaced_and_removed_while_jobs_run(backend: Backend) -> Result<()> {
    let [size, digest] = engines(["size", "digest"])?;
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    let folder = Folder::of(&mut stage)?;
    let recorded = stage.processor(ProcessorOptions::default())?;
    let ada = stage.person("ada")?;
    let files = stage.folder("files")?;
    let (large, small) = (files.write_incompressible("large", LARGE)?, files.write("small", b"one line\n")?);

    folder.drop_in("mine.wasm", &size.file)?;
    until_offered(&ada, &[("mine", &size)])?;
    let lines = send(&ada, "local/mine", &small)?.well()?.lines()?;
    assert_eq!((lines[0].engine.as_str(), lines[0].number("lines")), ("local/mine", Some(1)));

    // A job is in flight while the file is replaced: it ends on the release that it was sealed for.
    between.storage.limit_uplink(UPLINK);
    let in_flight = start_sending(&ada, "local/mine", &large)?;
    until_reading(&recorded, 2)?;
    folder.drop_in("mine.wasm", &digest.file)?;
    until_offered(&ada, &[("mine", &digest)])?;
    let lines = in_flight.end(LIMIT)?.well()?.lines()?;
    assert!(lines[0].number("lines").is_some(), "the old release counts lines: {:?}", lines[0]);
    let lines = send(&ada, "local/mine", &small)?.well()?.lines()?;
    assert!(lines[0].field("sha256").is_some(), "the new release makes digests: {:?}", lines[0]);

    // And so while it is removed.
    let in_flight = start_sending(&ada, "local/mine", &large)?;
    until_reading(&recorded, 4)?;
    folder.remove("mine.wasm")?;
    until_offered(&ada, &[])?;
    let lines = in_flight.end(LIMIT)?.well()?.lines()?;
    assert!(lines[0].field("sha256").is_some(), "{:?}", lines[0]);
    let refused = send(&ada, "local/mine", &small)?;
    assert_ne!(refused.code, Some(0));
    assert!(refused.log.contains("there is no engine `local/mine`"), "{}", refused.log);
    stage.end()
}

/// Waits until the processor has read from that many files.
fn until_reading(recorded: &Recorded, files: usize) -> Result<()> {
    wait::until("the engine to read", LIMIT, || Ok((recorded.all("job first byte")?.len() >= files).then_some(())))
}

fn bad_files_in_the_folder_disturb_nothing(backend: Backend) -> Result<()> {
    let [size] = engines(["size"])?;
    let mut stage = Stage::new(backend)?;
    let folder = Folder::of(&mut stage)?;
    let component = fs::read(&size.file)?;
    fs::write(folder.0.join("garbage.wasm"), b"#!/bin/sh\n")?;
    fs::write(folder.0.join("cut.wasm"), &component[..component.len() / 2])?;
    fs::write(folder.0.join("README.md"), b"not an engine")?;
    std::os::unix::fs::symlink(&size.file, folder.0.join("link.wasm"))?;
    folder.drop_in("open.wasm", &size.file)?;
    fs::set_permissions(folder.0.join("open.wasm"), fs::Permissions::from_mode(0o666))?;
    folder.drop_in("good.wasm", &size.file)?;

    let recorded = stage.processor(ProcessorOptions::default())?;
    let ada = stage.person("ada")?;
    until_offered(&ada, &[("good", &size)])?;
    for (name, why) in [
        ("garbage", "not WebAssembly"),
        ("cut", "cut off"),
        ("link", "symbolic link"),
        ("open", "others may write to it"),
    ] {
        recorded.until_logged(&format!("`{name}.wasm` is not offered: "))?;
        recorded.until_logged(why)?;
    }
    let small = stage.folder("files")?.write("small", b"one line\n")?;
    let lines = send(&ada, "local/good", &small)?.well()?.lines()?;
    assert_eq!(lines[0].number("bytes"), Some(9));

    // A folder that others can write to gives nothing; what is offered from before goes on.
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777))?;
    recorded.until_logged("others may write to it (hint: ")?;
    folder.drop_in("late.wasm", &size.file)?;
    let lines = send(&ada, "local/good", &small)?.well()?.lines()?;
    assert_eq!(lines[0].number("bytes"), Some(9));
    until_offered(&ada, &[("good", &size)])?;
    stage.end()
}

fn an_engine_that_reads_by_offset_gets_a_file_of_many_chunks(backend: Backend) -> Result<()> {
    let [archive] = engines(["archive"])?;
    let mut stage = Stage::new(backend)?;
    let folder = Folder::of(&mut stage)?;
    folder.drop_in("archive.wasm", &archive.file)?;
    stage.processor(ProcessorOptions::default())?;
    let ada = stage.person("ada")?;
    until_offered(&ada, &[("archive", &archive)])?;
    let files = stage.folder("files")?;
    // Stored members of 7 MB: some eight chunks, with the directory at the end.
    let zip = files.path().join("many.zip");
    zip_of(&zip, 8, 7_000_000)?;
    let lines = send(&ada, "local/archive", &zip)?.well()?.lines()?;
    let report = lines[0].report.as_ref().context("a report")?;
    assert!(report.to_string().contains("member-7"), "{report}");
    stage.end()
}

/// A zip archive of `count` members of `bytes` bytes each that do not compress.
fn zip_of(path: &Path, count: usize, bytes: usize) -> Result<()> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(fs::File::create(path)?);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for member in 0..count {
        zip.start_file(format!("member-{member}"), options)?;
        zip.write_all(&crate::harness::incompressible(bytes)?)?;
    }
    zip.finish()?;
    Ok(())
}
