//! `cargo xtask compat`: the end-to-end tests with programs of an earlier revision among this checkout's.
//!
//! Whatever was released goes on working beside what is new: client, server and processor of two revisions in each mixture of old
//! and new. The tests are this checkout's. Then a rolling upgrade, part by part, under load. Programs are built as for a release.

mod earlier;
mod mixture;
mod upgrade;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::postgres::Postgres;
use crate::program;
use crate::tree::Tree;
use earlier::Earlier;
use mixture::Mixture;
use upgrade::UpgradeOptions;

/// What to mix.
#[derive(Debug, Args)]
pub struct CompatOptions {
    /// The earlier revision, as git names it
    #[arg(long, value_name = "REV")]
    from: String,
    /// Only this mixture, ages of client, server and processor: `old-new-new`; may be given several times
    #[arg(long, value_name = "AGES", conflicts_with = "upgrade")]
    mixture: Vec<Mixture>,
    /// Only the rolling upgrade
    #[arg(long)]
    upgrade: bool,
    #[command(flatten)]
    upgrading: UpgradeOptions,
    /// Run the earlier revision's engines in place of this checkout's
    #[arg(long)]
    old_engines: bool,
    /// Passed to the test runner
    #[arg(last = true)]
    args: Vec<String>,
}

/// Tests of the whole system that look at one revision alone, by module.
const OF_ONE_REVISION: [&str; 7] = ["by_hand", "demo", "engine", "install", "postgres", "released", "tidy"];

/// Runs the command: the tests in each mixture, one after the other, then the rolling upgrade. The summary of each mixture stands in
/// what the test runner prints.
///
/// # Errors
///
/// When the revision is not known, or something does not build or start.
pub fn run(options: &CompatOptions) -> Result<ExitCode> {
    let tree = Tree::locate()?;
    let earlier = Earlier::check_out(&tree, &options.from)?;
    let mut failed = Vec::new();
    if !options.upgrade {
        failed.extend(mixtures(&tree, &earlier, options)?);
    }
    if options.mixture.is_empty() {
        filemill_text::tell!("compat: rolling upgrade");
        let faults = upgrade::run(&tree, &earlier, &options.upgrading)?;
        failed.extend(faults.iter().map(|fault| format!("rolling upgrade: {fault}")));
    }
    let of = options.from.as_str();
    if failed.is_empty() {
        filemill_text::tell!("compat: all with `{of}` passed");
        return Ok(ExitCode::SUCCESS);
    }
    filemill_text::tell!("compat: with `{of}` these failed:\n{}", failed.join("\n"));
    Ok(ExitCode::FAILURE)
}

/// Runs the tests in each mixture, and returns those in which one failed.
fn mixtures(tree: &Tree, earlier: &Earlier, options: &CompatOptions) -> Result<Vec<String>> {
    ensure!(
        program::find("cargo-nextest").is_some(),
        "cargo-nextest is not on the path\nhint: `cargo install cargo-nextest` (its filters choose the tests)"
    );
    let old = earlier.programs()?;
    let engines_of = if options.old_engines { earlier.tree() } else { tree };
    engine::build(engines_of, &[])?;
    let new = Binaries::build(tree, Profile::Release)?;
    let postgres = Postgres::start()?;
    let mut failed = Vec::new();
    let mixtures = if options.mixture.is_empty() { Mixture::ALL.to_vec() } else { options.mixture.clone() };
    for mixture in &mixtures {
        let programs = mixture.put_together(&earlier.folder().join("mixtures"), &old, &new)?;
        filemill_text::tell!("compat: {mixture} (client, server, processor)");
        let mut tests = program::cargo();
        tests
            .current_dir(tree.root())
            .env("FILEMILL_BIN_DIR", programs.dir())
            .env("FILEMILL_ENGINES_DIR", engines_of.engines())
            .env("FILEMILL_TEST_POSTGRES_URL", postgres.url())
            .env("FILEMILL_TEST_FORMAT", if mixture.is_new() { "2" } else { "1" })
            .args(["nextest", "run", "--package", "xtask", "--test", "it", "--filterset", &filter()])
            .args(&options.args);
        if !succeeds(&mut tests)? {
            failed.push(mixture.to_string());
        }
    }
    Ok(failed)
}

/// Which tests are run, in nextest's language.
fn filter() -> String {
    let others = OF_ONE_REVISION.map(|module| format!("test(/^{module}::/)")).join(" or ");
    format!("kind(test) and not ({others})")
}

/// Runs the test runner, whose report is the product.
fn succeeds(tests: &mut Command) -> Result<bool> {
    let status = tests.status().with_context(|| format!("cannot start {}", program::shown(tests)))?;
    Ok(status.success())
}
