//! A rolling upgrade: one part after the other, from the earlier revision to this checkout's, while users drop files all the time.

mod balancer;
mod site;
mod usage;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::earlier::Earlier;
use crate::bench::Record;
use crate::binaries::{Binaries, Profile};
use crate::engine;
use crate::people::{self, Counts};
use crate::postgres::Postgres;
use crate::tree::Tree;
use site::{Part, Site};

/// How to upgrade.
#[derive(Debug, Args)]
pub(super) struct UpgradeOptions {
    /// Files a second, of all users together
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long everything runs between two steps, in seconds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    step_seconds: u64,
}

/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long files may take that were dropped before a step.
const STEP_LIMIT: Duration = Duration::from_secs(120);
/// How long files may still come back when no more are dropped.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// Runs it with programs built for a release, and returns what was not as promised: nothing lost, nothing twice, no error that a
/// person saw. The raw figures stand in `docs/bench/raw/upgrade.jsonl`.
///
/// # Errors
///
/// When something does not build, start or end, or a part ends by itself.
pub(super) fn run(tree: &Tree, earlier: &Earlier, options: &UpgradeOptions) -> Result<Vec<String>> {
    let old = earlier.programs()?;
    let engines = engine::find_or_build(tree, &["size".into()])?;
    let new = Binaries::build(tree, Profile::Release)?;
    let record = Record::begin(tree, "upgrade", "release")?;
    let postgres = Postgres::start()?;
    let database = postgres.database()?;
    let dir =
        tempfile::Builder::new().prefix("filemill-upgrade-").tempdir().context("cannot make a temporary folder")?;
    let site = Site::start(dir.path(), &old, &engines, database.url())?;
    let faults = Upgrade { site, new: &new, options, record: &record }.run();
    if faults.as_ref().map_or(true, |faults| !faults.is_empty()) && std::env::var_os("FILEMILL_TEST_KEEP").is_some() {
        filemill_text::tell!("compat: kept `{}`", dir.keep().display());
    }
    faults
}

struct Upgrade<'a> {
    site: Site,
    new: &'a Binaries,
    options: &'a UpgradeOptions,
    record: &'a Record,
}

impl Upgrade<'_> {
    fn run(mut self) -> Result<Vec<String>> {
        let per_s = f64::from(self.options.rate) / self.site.people.len() as f64;
        for (number, person) in self.site.people.iter_mut().enumerate() {
            person.begin(number as u64 + 1, per_s)?;
        }
        let begin = Instant::now();
        self.go_on("everything as before", begin, begin)?;
        for part in Part::all() {
            let name = part.name();
            let step = Instant::now();
            self.site.upgrade(part, self.new).with_context(|| format!("while {name} was upgraded"))?;
            self.go_on(&name, step, Instant::now())?;
            if part == Part::Server(0) {
                self.start_an_old_server_again()?;
            }
        }
        for person in &mut self.site.people {
            person.end_dropping()?;
        }
        let end = Instant::now();
        self.until_none_is_open(end, DRAIN_LIMIT)?;
        let usage = self.site.usage()?;
        for person in &mut self.site.people {
            person.stop()?;
        }
        let counts = people::counts(&self.site.people);
        let (lost, twice) = people::missing(&self.site.people)?;
        let (p50, p99) = people::waits(&self.site.people, begin, end);
        let (leases_ended, server_warnings) = self.site.server_logs()?;
        let faults = faults(&counts, &lost, twice);
        self.record.add(&json!({
            "seconds": end.duration_since(begin).as_secs(),
            "files_per_s": (counts.dropped as f64 / end.duration_since(begin).as_secs_f64()).round(),
            "p50_s": p50, "p99_s": p99,
            "counts": counts, "lost": lost, "twice_in_journal": twice,
            "leases_ended_by_themselves": leases_ended, "server_warnings": server_warnings,
            "requests": usage,
            "examples": people::examples(&self.site.people),
            "faults": faults,
        }))?;
        self.site.stop()?;
        Ok(faults)
    }

    /// A server of the release before that ends beside a new one comes back.
    fn start_an_old_server_again(&mut self) -> Result<()> {
        let step = Instant::now();
        self.site.start_server_again(1).context("while a server of the release before was started again")?;
        self.go_on("none: server 2 started again as it was", step, Instant::now())
    }

    /// Lets files be dropped for a while after a step, then waits until those from before `running` are answered, and records it.
    fn go_on(&mut self, what: &str, step: Instant, running: Instant) -> Result<()> {
        let before = people::counts(&self.site.people);
        let end = running + Duration::from_secs(self.options.step_seconds);
        while Instant::now() < end {
            thread::sleep(LOOK_EVERY);
            self.site.expect_running()?;
        }
        self.until_none_is_open(running, STEP_LIMIT)?;
        let counts = people::counts(&self.site.people);
        let (p50, p99) = people::waits(&self.site.people, step, Instant::now());
        self.record.add(&json!({
            "upgraded": what,
            "away_s": seconds(running.duration_since(step)),
            "p50_s": p50, "p99_s": p99,
            "dropped": counts.dropped - before.dropped, "results": counts.results - before.results,
            "complaints": counts.complaints - before.complaints,
            "requests": self.site.usage()?,
        }))
    }

    /// Waits until everything that was dropped before `time` has its result.
    fn until_none_is_open(&mut self, time: Instant, limit: Duration) -> Result<()> {
        let begin = Instant::now();
        loop {
            let open = people::open(&self.site.people, Some(time));
            if open == 0 {
                return Ok(());
            }
            if begin.elapsed() > limit {
                filemill_text::tell!("compat: {open} files wait for longer than {} s", limit.as_secs());
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
            self.site.expect_running()?;
        }
    }
}

/// What is not as promised.
fn faults(counts: &Counts, lost: &[String], twice: u64) -> Vec<String> {
    let mut faults = people::faults(counts, lost, twice, DRAIN_LIMIT);
    if counts.complaints > 0 {
        faults.push(format!("{} times somebody read of trouble", counts.complaints));
    }
    faults
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
