//! The engines of release 0.1.0, as components built then: today's host takes the same bytes, and says the same of the same files.
//!
//! `released/0.1.0.tar.zst` has of each engine `NAME.wasm`, what 0.1.0's processor said of it (`NAME.described.json`), and in `NAME/` the files that it was tested
//! with then, as the fixtures of `engines/` lie: `FILE`, `FILE.params.json`, and in `FILE.expected.json` what 0.1.0's processor printed. None of it is made
//! again. `released/0.1.0.sha256` names the components by their digests, as a server does that published them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use xtask::engine::Engine;
use xtask::{Binaries, Profile, Tree};

use crate::harness::{Backend, LIMIT, Stage};

const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/released/0.1.0.tar.zst");
const DIGESTS: &str = include_str!("released/0.1.0.sha256");
/// The versions of the contract that 0.1.0 knew.
const CONTRACTS: [&str; 2] = ["1.0.0", "2.0.0"];
/// What a run comes to. Not what it cost: that is another each time.
const COMPARED: [&str; 7] = ["outcome", "summary", "report", "findings", "artifacts", "failure", "log"];
/// Of C and Rust, and of each contract: those that are published. A stage has a `size` already.
const PUBLISHED: [&str; 4] = ["archive", "bytes-c", "size-v2", "table"];
const EXPECTED: &str = ".expected.json";
const PARAMETERS: &str = ".params.json";

/// The engines, unpacked.
struct Released {
    folder: TempDir,
}

/// A file that an engine was run over then, and what came of it.
struct Fixture {
    file: PathBuf,
    parameters: String,
    expected: Value,
}

impl Released {
    fn unpack() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("filemill-released-").tempdir()?;
        let mut tar = Command::new("tar").arg("-x").current_dir(folder.path()).stdin(Stdio::piped()).spawn()?;
        let packed = File::open(ARCHIVE).with_context(|| format!("cannot open `{ARCHIVE}`"))?;
        let mut pipe = tar.stdin.take().context("its input is a pipe")?;
        let copied = zstd::stream::copy_decode(packed, &mut pipe);
        drop(pipe);
        ensure!(tar.wait()?.success(), "`{ARCHIVE}` is not unpacked");
        copied?;
        Ok(Self { folder })
    }

    /// By name, with the digest that is recorded.
    fn engines(&self) -> Vec<(String, &'static str)> {
        recorded().into_iter().map(|(file, digest)| (file.trim_end_matches(".wasm").to_owned(), digest)).collect()
    }

    fn component(&self, engine: &str) -> PathBuf {
        self.folder.path().join(format!("{engine}.wasm"))
    }

    fn described(&self, engine: &str) -> Result<Value> {
        read(&self.folder.path().join(format!("{engine}.described.json")))
    }

    fn fixtures(&self, engine: &str) -> Result<Vec<Fixture>> {
        let mut fixtures = Vec::new();
        for path in files(&self.folder.path().join(engine))? {
            let text = path.to_str().context("a path in UTF-8")?;
            let Some(file) = text.strip_suffix(EXPECTED) else { continue };
            let parameters = PathBuf::from(format!("{file}{PARAMETERS}"));
            let parameters = if parameters.exists() { fs::read_to_string(parameters)? } else { "{}".into() };
            fixtures.push(Fixture { file: file.into(), parameters, expected: read(&path)? });
        }
        Ok(fixtures)
    }
}

/// Component and digest, from the list.
fn recorded() -> BTreeMap<String, &'static str> {
    let lines = DIGESTS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once("  ")).map(|(digest, file)| (file.to_owned(), digest)).collect()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Value> {
    serde_json::from_slice(&fs::read(path)?).with_context(|| format!("`{}`", path.display()))
}

/// Today's processor program.
struct Host {
    program: PathBuf,
    cache: TempDir,
}

impl Host {
    fn new() -> Result<Self> {
        let program = Binaries::find_or_build_processor(&Tree::locate()?, Profile::Dev)?;
        // A temporary folder is its owner's alone, as a cache has to be.
        Ok(Self { program, cache: tempfile::tempdir()? })
    }

    /// What it prints of `engine COMMAND …`.
    fn says(&self, command: &str, arguments: &[&Path], options: &[&str]) -> Result<Map<String, Value>> {
        let mut program = Command::new(&self.program);
        // Limits of this machine's installation are not those of then.
        let settings =
            env::vars_os().map(|(name, _)| name).filter(|name| name.as_encoded_bytes().starts_with(b"FILEMILL_"));
        for name in settings {
            program.env_remove(name);
        }
        program.args(["engine", command]).args(arguments).args(options).arg("--json");
        program.arg("--cache-dir").arg(self.cache.path()).stdin(Stdio::null());
        let output = program.output()?;
        // 0 with a report, 1 without.
        let ran = output.status.code().is_some_and(|code| code < 2);
        ensure!(ran, "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

#[test]
fn the_components_of_0_1_0_are_those_whose_digests_are_recorded() -> Result<()> {
    let released = Released::unpack()?;
    let mut found = Vec::new();
    for path in files(released.folder.path())? {
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, HEXLOWER.encode(&Sha256::digest(fs::read(&path)?))));
        }
    }
    let recorded: Vec<_> = recorded().into_iter().map(|(file, digest)| (file, digest.to_owned())).collect();
    assert_eq!(found, recorded);
    assert_eq!(found.len(), 9);
    Ok(())
}

#[test]
fn engines_of_0_1_0_say_of_themselves_and_of_files_what_they_said_then() -> Result<()> {
    let (released, host) = (Released::unpack()?, Host::new()?);
    let (mut contracts, mut runs) = (BTreeSet::new(), 0);
    for (engine, digest) in released.engines() {
        let component = released.component(&engine);
        let checked = host.says("check", &[&component], &[]).with_context(|| format!("engine `{engine}`"))?;
        assert_eq!(checked["digest"], digest, "{engine}");
        let then = released.described(&engine)?;
        for field in ["contract", "imports", "description"] {
            assert_eq!(checked.get(field), then.get(field), "{field} of {engine}");
        }
        contracts.insert(checked["contract"].as_str().context("a version")?.to_owned());
        for Fixture { file, parameters, expected } in released.fixtures(&engine)? {
            let said = host.says("run", &[&component, &file], &["--parameters", &parameters])?;
            for field in COMPARED {
                assert_eq!(said.get(field), expected.get(field), "{field} of {engine} over {}", file.display());
            }
            runs += 1;
        }
    }
    assert!(contracts.iter().eq(&CONTRACTS), "{contracts:?}");
    assert_eq!(runs, 113);
    Ok(())
}

#[test]
fn engines_of_0_1_0_are_published_by_their_digests_and_run_for_whoever_sends_files() -> Result<()> {
    let released = Released::unpack()?;
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let ada = stage.person("ada")?;
    for (engine, digest) in released.engines().into_iter().filter(|(engine, _)| PUBLISHED.contains(&engine.as_str())) {
        let file = released.component(&engine);
        let description = &released.described(&engine)?["description"];
        let version = description["version"].as_str().context("a version")?.to_owned();
        let size_bytes = file.metadata()?.len();
        stage.stack().publish(&Engine { name: engine.clone(), version, file, digest: digest.into(), size_bytes })?;
        let listed = ada.asker().releases(xtask::stack::ORGANISATION)?;
        let release = listed.iter().find(|release| release.engine == engine).context("it is published")?;
        assert_eq!((release.digest.as_str(), release.current), (digest, true), "{engine}");

        let is_plain = |fixture: &Fixture| fixture.parameters == "{}" && fixture.expected["outcome"] == "succeeded";
        let fixture = released.fixtures(&engine)?.into_iter().find(is_plain).context("one that succeeds")?;
        let mut send = ada.command();
        send.args(["send", "--json", "--engine", &engine, "--"]).arg(&fixture.file);
        let said = ada.start(send)?.end(LIMIT)?.well()?;
        let [line] = &said.lines()?[..] else { panic!("one file: {}", said.out) };
        assert_eq!(line.engine, engine);
        assert_eq!(line.report.as_ref(), fixture.expected.get("report"), "{engine} over {}", fixture.file.display());
    }
    stage.end()
}
