//! `cargo xtask bench queue`: the load generator of `server/benches/queue.rs`, over all its scenarios.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::record::Record;
use crate::engine;
use crate::postgres::Postgres;
use crate::program;
use crate::tree::Tree;

/// How to measure.
#[derive(Debug, Args)]
pub struct QueueOptions {
    /// A tenth of the jobs
    #[arg(long)]
    quick: bool,
    /// Cargo's profile
    #[arg(long, default_value = "release")]
    profile: String,
}

/// One measurement: shape, organisations, jobs, jobs asked for in a lease, and how often a small upload comes beside them.
struct Scenario {
    shape: &'static str,
    organisations: u32,
    jobs: u32,
    max_jobs: u32,
    small_every_ms: Option<u32>,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { shape: "bundles", organisations: 1, jobs: 409_600, max_jobs: 256, small_every_ms: None },
    Scenario { shape: "bundles", organisations: 1_000, jobs: 4_096_000, max_jobs: 256, small_every_ms: None },
    Scenario { shape: "singles", organisations: 1, jobs: 20_000, max_jobs: 64, small_every_ms: None },
    Scenario { shape: "singles", organisations: 1_000, jobs: 20_000, max_jobs: 64, small_every_ms: None },
    Scenario { shape: "bundles", organisations: 1, jobs: 409_600, max_jobs: 64, small_every_ms: Some(50) },
];

pub(super) fn run(options: &QueueOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let engines = engine::build(&tree, &["size".into()])?;
    let component = &engines.first().context("no engine was built")?.file;
    let postgres = Postgres::start()?;
    let record = Record::begin(&tree, if options.quick { "queue-quick" } else { "queue" }, &options.profile)?;
    for database_url in [None, Some(postgres.url())] {
        for scenario in &SCENARIOS {
            let output = program::output(&mut bench(&tree, options, scenario, component, database_url))?;
            let line = output.lines().find(|line| line.starts_with('{')).context("the benchmark printed no figures")?;
            record.add(&serde_json::from_str::<Value>(line)?)?;
        }
    }
    Ok(())
}

fn bench(
    tree: &Tree,
    options: &QueueOptions,
    scenario: &Scenario,
    component: &Path,
    database_url: Option<&str>,
) -> Command {
    let jobs = if options.quick { scenario.jobs / 10 } else { scenario.jobs };
    let mut cargo = program::cargo();
    cargo
        .current_dir(tree.root())
        .args(["bench", "--package", "filemill-server", "--bench", "queue", "--profile", &options.profile, "--"])
        .arg("--component")
        .arg(component)
        .args(["--shape", scenario.shape])
        .args(["--organisations", &scenario.organisations.to_string()])
        .args(["--jobs", &jobs.to_string()])
        .args(["--max-jobs", &scenario.max_jobs.to_string()]);
    if let Some(every) = scenario.small_every_ms {
        cargo.args(["--small-every-ms", &every.to_string()]);
    }
    if let Some(url) = database_url {
        cargo.args(["--database-url", url]);
    }
    cargo
}
