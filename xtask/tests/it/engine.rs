//! The developer's loop of an engine, as a person goes through it: `new`, `build`, `test`, `run`, `check`, `watch`.
//!
//! Each step is the program itself, in a folder outside the checkout.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::{Binaries, Profile, Tree, wait};

/// A first build of everything may be part of it.
const LIMIT: Duration = Duration::from_secs(300);

/// What templates count where nothing is asked for: line ends.
const TWO_LINES: &str = "one\ntwo\n";

fn loop_of(language: &str) -> Result<()> {
    let desk = Desk::new()?;
    let engine = desk.make(language)?;

    let test = desk.xtask(&["test", &engine])?;
    assert_eq!(test.last_line(), "engine test: 2 passed, 0 failed", "{test:?}");

    let file = desk.write("two.txt", TWO_LINES)?;
    let run = desk.xtask(&["run", &engine, &file, "--param", "byte=111", "--json"])?;
    let said: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!(said["report"], serde_json::json!({"bytes": 8, "matches": 2}), "{said}");
    assert_eq!(said["log"][0]["message"], "counting byte 111");

    let check = desk.xtask(&["check", &engine, "--json"])?;
    let said: Value = serde_json::from_str(&check.stdout)?;
    assert_eq!(said["description"]["name"], "mine");
    assert!(said["imports"].as_array().is_some_and(|imports| {
        imports.iter().all(|import| import.as_str().is_some_and(|import| import.starts_with("filemill:engine/")))
    }));

    let refused = desk.call(&["run", &engine, &file, "--param", "byte=300", "--json"])?;
    assert_eq!(refused.code, Some(1), "a parameter that is out of range is a failure of the run: {refused:?}");
    let said: Value = serde_json::from_str(&refused.stdout)?;
    assert_eq!((&said["outcome"], &said["report"]), (&"failed".into(), &Value::Null), "{said}");
    Ok(())
}

#[test]
fn a_new_engine_in_rust_builds_and_passes_its_test_at_once() -> Result<()> {
    loop_of("rust")
}

#[test]
fn a_new_engine_in_c_builds_and_passes_its_test_at_once() -> Result<()> {
    loop_of("c")
}

#[test]
fn a_new_engine_in_python_builds_and_passes_its_test_at_once() -> Result<()> {
    loop_of("python")
}

#[test]
fn a_new_engine_in_javascript_builds_and_passes_its_test_at_once() -> Result<()> {
    loop_of("js")
}

#[test]
fn the_same_file_gives_the_same_report_by_both_contracts() -> Result<()> {
    let desk = Desk::new()?;
    for (name, content) in [("empty", ""), ("lines", TWO_LINES), ("long", &"a line of some length\n".repeat(200_000))] {
        let file = desk.write(name, content)?;
        let said = |engine: &str| -> Result<[Value; 3]> {
            let run = desk.xtask(&["run", engine, &file, "--json"])?;
            let said: Value = serde_json::from_str(&run.stdout)?;
            Ok(["outcome", "summary", "report"].map(|field| said[field].clone()))
        };
        assert_eq!(said("size")?, said("size-v2")?, "{name}");
    }
    Ok(())
}

#[test]
fn another_report_than_expected_is_shown_and_can_be_blessed() -> Result<()> {
    let desk = Desk::new()?;
    let engine = desk.make("c")?;
    let fixture = Path::new(&engine).join("fixtures/poem.txt");
    fs::write(&fixture, TWO_LINES.repeat(2))?;

    let test = desk.call(&["test", &engine])?;
    assert_eq!(test.code, Some(1));
    assert!(test.stdout.contains("FAILED mine/poem.txt"), "{test:?}");
    assert!(test.stdout.contains("-    \"matches\": 2\n+    \"bytes\": 16,\n+    \"matches\": 4\n"), "{test:?}");
    assert_eq!(test.last_line(), "engine test: 1 passed, 1 failed");

    let bless = desk.xtask(&["test", &engine, "--bless"])?;
    assert_eq!(bless.stdout, "blessed mine/poem.txt\nengine test: 2 passed, 0 failed, 1 blessed\n");
    assert_eq!(desk.xtask(&["test", &engine])?.last_line(), "engine test: 2 passed, 0 failed");

    fs::remove_file(&fixture)?;
    let test = desk.call(&["test", &engine])?;
    assert!(test.stderr.contains("poem.txt.expected.json` belongs to no file\nhint: "), "{test:?}");
    Ok(())
}

#[test]
fn what_is_saved_is_built_and_tested_again() -> Result<()> {
    let desk = Desk::new()?;
    let engine = desk.make("c")?;
    let log = desk.folder.path().join("watch.log");
    let mut watch = desk.command(&["watch", &engine]);
    watch.stdout(fs::File::create(&log)?).stderr(fs::File::options().append(true).open(&log)?);
    let mut watch = Ended(watch.spawn()?);

    let mut until = |text: &str| {
        wait::until(&format!("`{text}` in the watch's output"), LIMIT, || {
            if let Some(status) = watch.0.try_wait()? {
                bail!("watch ended ({status}): {}", fs::read_to_string(&log)?);
            }
            Ok(fs::read_to_string(&log)?.contains(text).then_some(()))
        })
    };
    until("engine test: 2 passed, 0 failed")?;
    until("waiting for a change")?;

    // A mistake is told, and ends nothing; what puts it right is tested again.
    let source = Path::new(&engine).join("src/engine.c");
    let good = fs::read_to_string(&source)?;
    fs::write(&source, good.replace("matches in", "hits in"))?;
    until("-  \"summary\": \"2 matches in 73 bytes\",\n+  \"summary\": \"2 hits in 73 bytes\",")?;
    fs::write(&source, "not C")?;
    until("does not build")?;
    fs::write(&source, good.replace("matches in", "found in"))?;
    until("2 found in 73 bytes")
}

#[test]
fn a_name_or_a_folder_that_cannot_be_is_refused_before_anything_is_made() -> Result<()> {
    let desk = Desk::new()?;
    let dir = desk.folder.path().display().to_string();
    for (name, why) in [("Mine", "cannot be an engine's name"), ("test", "compilers use it themselves")] {
        let new = desk.call(&["new", name, "--lang", "c", "--dir", &dir])?;
        assert_eq!(new.code, Some(1));
        assert!(new.stderr.contains(why), "{new:?}");
    }
    desk.make("c")?;
    let again = desk.call(&["new", "mine", "--lang", "python", "--dir", &dir])?;
    assert!(again.stderr.contains("there is already something at"), "{again:?}");
    let taken = desk.call(&["new", "size", "--lang", "c"])?;
    assert!(taken.stderr.contains("there is already something at"), "{taken:?}");
    Ok(())
}

/// A developer's place: a temporary folder, the program, and the host.
struct Desk {
    folder: tempfile::TempDir,
    processor: PathBuf,
}

impl Desk {
    fn new() -> Result<Self> {
        let processor = Binaries::find_or_build_processor(&Tree::locate()?, Profile::Dev)?;
        Ok(Self { folder: tempfile::tempdir()?, processor })
    }

    /// Makes the engine `mine` here and returns its path.
    fn make(&self, language: &str) -> Result<String> {
        let dir = self.folder.path().canonicalize()?;
        self.xtask(&["new", "mine", "--lang", language, "--dir", dir.to_str().context("not UTF-8")?])?;
        Ok(dir.join("mine").display().to_string())
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("engine").args(args).stdin(Stdio::null());
        if let Some(dir) = self.processor.parent() {
            command.env("FILEMILL_BIN_DIR", dir);
        }
        command
    }

    fn call(&self, args: &[&str]) -> Result<Said> {
        let mut command = self.command(args);
        let Output { status, stdout, stderr } = command.output().context("cannot start xtask")?;
        Ok(Said { code: status.code(), stdout: String::from_utf8(stdout)?, stderr: String::from_utf8(stderr)? })
    }

    /// As [`Self::call`], which must succeed.
    fn xtask(&self, args: &[&str]) -> Result<Said> {
        let said = self.call(args)?;
        if said.code != Some(0) {
            bail!("engine {args:?} failed: {said:?}");
        }
        Ok(said)
    }
}

/// What a call said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// A process that is ended when the test is.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
