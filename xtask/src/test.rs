//! `cargo xtask test`: every test, with everything it needs built and started first.
//!
//! The tests find what they need through three variables: `FILEMILL_BIN_DIR` (the product's programs),
//! `FILEMILL_ENGINES_DIR` (the components) and `FILEMILL_TEST_POSTGRES_URL` (the administrator of a private PostgreSQL, in
//! which each test makes a database of its own).

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::postgres::Postgres;
use crate::program;
use crate::tree::Tree;

/// What to test.
#[derive(Debug, Args)]
pub struct TestOptions {
    /// Passed to the test runner (`cargo nextest run`, or `cargo test` where nextest is not installed)
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs the command. The runner's summary of the workspace's tests comes last, also when one failed: the exit code says it.
///
/// # Errors
///
/// When something does not build or start, or an engine's test or an example fails.
pub fn run(options: &TestOptions) -> Result<ExitCode> {
    let tree = Tree::locate()?;
    engine::build(&tree, &[])?;
    let binaries = phase("programs", || Binaries::build(&tree, Profile::Dev))?;
    phase("engines' own tests", || program::run(&mut guests(&tree)))?;
    phase("engines over their fixtures", || engine::test_all(&tree, &binaries.processor))?;
    let postgres = phase("PostgreSQL", Postgres::start)?;

    let equip = |mut command: Command| {
        command
            .current_dir(tree.root())
            .env("FILEMILL_BIN_DIR", binaries.dir())
            .env("FILEMILL_ENGINES_DIR", tree.engines())
            .env("FILEMILL_TEST_POSTGRES_URL", postgres.url());
        command
    };
    phase("examples in documentation", || program::run(&mut equip(examples())))?;
    let mut passed = true;
    for runner in runners() {
        let mut runner = equip(runner);
        runner.args(&options.args);
        // Inherited rather than sent to standard error: here the report is the product.
        let status = runner.status().with_context(|| format!("cannot start {}", program::shown(&runner)))?;
        passed &= status.success();
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The engines' own tests: natively, without a host.
fn guests(tree: &Tree) -> Command {
    let mut cargo = program::cargo();
    cargo.current_dir(tree.root().join("engines")).args(["test", "--quiet", "--target-dir"]).arg(tree.engines());
    cargo
}

fn examples() -> Command {
    let mut cargo = program::cargo();
    cargo.args(["test", "--doc", "--workspace", "--quiet"]);
    cargo
}

/// What runs the tests of the workspace. Nextest's configuration keeps end-to-end tests from crowding the machine; cargo's own
/// runner has none, so it takes them apart and one at a time.
fn runners() -> Vec<Command> {
    let with = |args: &[&str]| {
        let mut cargo = program::cargo();
        cargo.args(args);
        cargo
    };
    if program::find("cargo-nextest").is_some() {
        return vec![with(&["nextest", "run", "--workspace"])];
    }
    filemill_text::tell!("test: cargo-nextest is not installed, so tests run crate by crate");
    let targets = ["--lib", "--bins", "--tests", "--no-fail-fast"];
    let mut end_to_end = with(&[&["test", "--package", "xtask"], &targets[..]].concat());
    end_to_end.env("RUST_TEST_THREADS", "1");
    let others = with(&[&["test", "--workspace", "--exclude", "xtask"], &targets[..]].concat());
    vec![others, end_to_end]
}

fn phase<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    filemill_text::tell!("test: {what}");
    let done = work().with_context(|| what.to_owned())?;
    filemill_text::tell!("test: {what}: {:.1} s", begun.elapsed().as_secs_f32());
    Ok(done)
}
