//! `cargo xtask bench queue`: the load generator of `server/benches/queue.rs`, over all its scenarios, each on a database of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::record::{Record, median};
use crate::binaries::build_benchmark;
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
    /// How often each scenario is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only scenarios with this in their name (`queue/sqlite`), or with it at its end (`bundles-1$`); may be given several times
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
}

/// One measurement: shape, organisations, jobs, jobs asked for in a lease, how often a small upload comes beside them, and whether
/// that is a colleague's rather than another organisation's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    name: &'static str,
    shape: &'static str,
    organisations: u32,
    jobs: u32,
    max_jobs: u32,
    small_every_ms: Option<u32>,
    colleague: bool,
}

const BUNDLES: Scenario = Scenario {
    name: "bundles-1",
    shape: "bundles",
    organisations: 1,
    jobs: 409_600,
    max_jobs: 256,
    small_every_ms: None,
    colleague: false,
};

const SINGLES: Scenario = Scenario { name: "singles-1", shape: "singles", jobs: 20_000, max_jobs: 64, ..BUNDLES };

const FLOOD: Scenario = Scenario { name: "flood", max_jobs: 64, small_every_ms: Some(50), ..BUNDLES };

pub(super) const SCENARIOS: [Scenario; 6] = [
    BUNDLES,
    Scenario { name: "bundles-1000", organisations: 1_000, jobs: 4_096_000, ..BUNDLES },
    SINGLES,
    Scenario { name: "singles-1000", organisations: 1_000, ..SINGLES },
    FLOOD,
    Scenario { name: "flood-colleague", colleague: true, ..FLOOD },
];

/// The figures that a comparison looks at, and whether more is better.
pub(super) const FIGURES: [(&str, bool); 4] =
    [("completed_per_s", true), ("enqueued_per_s", true), ("small_wait_p50_ms", false), ("small_wait_p99_ms", false)];

/// The database of one measurement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backend<'a> {
    /// A file in the server's folder, which is new for each measurement.
    Sqlite,
    /// A database of this PostgreSQL, made for one measurement.
    Postgres(&'a Postgres),
}

impl Backend<'_> {
    fn is_postgres(self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl Scenario {
    /// What people call it, with its database: `queue/sqlite/bundles-1`.
    pub(super) fn full_name(&self, on_postgres: bool) -> String {
        format!("queue/{}/{}", if on_postgres { "postgresql" } else { "sqlite" }, self.name)
    }
}

/// The load generator, and a server that it measures.
#[derive(Debug)]
pub(super) struct Load {
    program: PathBuf,
    /// The one that was built with it if absent.
    server: Option<PathBuf>,
    /// What is made once for many measurements, in a folder for each kind of database and number of organisations.
    prepared: TempDir,
}

impl Load {
    /// Builds it, and its server, in `tree`.
    pub(super) fn build(tree: &Tree, profile: &str) -> Result<Self> {
        Self::of(build_benchmark(tree, profile, "filemill-server", "queue")?, None)
    }

    /// The same load for another checkout's server.
    pub(super) fn for_server(&self, server: &Path) -> Result<Self> {
        Self::of(self.program.clone(), Some(server.to_owned()))
    }

    fn of(program: PathBuf, server: Option<PathBuf>) -> Result<Self> {
        let prepared = tempfile::Builder::new().prefix("load").rand_bytes(8).tempdir();
        Ok(Self { program, server, prepared: prepared.context("cannot make a temporary folder")? })
    }

    /// Where what is made for such measurements is kept. Its name is that of a database, too.
    fn prepared_for(&self, scenario: &Scenario, backend: Backend<'_>) -> PathBuf {
        let backend = if backend.is_postgres() { "postgresql" } else { "sqlite" };
        let own =
            self.prepared.path().file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let colleague = if scenario.colleague { "_colleague" } else { "" };
        self.prepared.path().join(format!("{own}_{backend}_{}{colleague}", scenario.organisations))
    }

    /// Measures one scenario, on a database in which nothing else was ever queued.
    pub(super) fn measure(
        &self,
        scenario: &Scenario,
        quick: bool,
        component: &Path,
        backend: Backend<'_>,
    ) -> Result<Value> {
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres(postgres) => Some(postgres.database()?),
        };
        let jobs = if quick { scenario.jobs / 10 } else { scenario.jobs };
        let mut load = Command::new(&self.program);
        program::without_settings(&mut load);
        load.arg("--component")
            .arg(component)
            .arg("--prepared")
            .arg(self.prepared_for(scenario, backend))
            .args(["--shape", scenario.shape])
            .args(["--organisations", &scenario.organisations.to_string()])
            .args(["--jobs", &jobs.to_string()])
            .args(["--max-jobs", &scenario.max_jobs.to_string()]);
        if let Some(server) = &self.server {
            load.arg("--server").arg(server);
        }
        if let Some(every) = scenario.small_every_ms {
            load.args(["--small-every-ms", &every.to_string()]);
        }
        if scenario.colleague {
            load.arg("--colleague");
        }
        if let Some(database) = &database {
            load.args(["--database-url", database.url()]);
        }
        let output = program::output(&mut load).with_context(|| scenario.full_name(backend.is_postgres()))?;
        let line = output.lines().find(|line| line.starts_with('{')).context("the benchmark printed no figures")?;
        Ok(serde_json::from_str(line)?)
    }
}

/// Whether `name` has one of the texts in it, or at its end where the text ends with `$`; all have, where none is asked for.
pub(super) fn is_asked(asked: &[String], name: &str) -> bool {
    let has =
        |text: &String| text.strip_suffix('$').map_or_else(|| name.contains(text.as_str()), |end| name.ends_with(end));
    asked.is_empty() || asked.iter().any(has)
}

pub(super) fn run(options: &QueueOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let engines = engine::find_or_build(&tree, &["size".into()])?;
    let component = &engines.first().context("no engine was built")?.file;
    let load = Load::build(&tree, &options.profile)?;
    let postgres = Postgres::start()?;
    let record = Record::begin(&tree, if options.quick { "queue-quick" } else { "queue" }, &options.profile)?;
    for backend in [Backend::Sqlite, Backend::Postgres(&postgres)] {
        for scenario in &SCENARIOS {
            let name = scenario.full_name(backend.is_postgres());
            if !is_asked(&options.scenario, &name) {
                continue;
            }
            let mut rates = Vec::new();
            for round in 1..=options.rounds {
                let mut figures = load.measure(scenario, options.quick, component, backend)?;
                rates.extend(figures["completed_per_s"].as_f64());
                figures["scenario"] = json!(name);
                figures["round"] = json!(round);
                record.add(&figures)?;
            }
            if options.rounds > 1 {
                record.add(&json!({ "scenario": name, "median_completed_per_s": median(&rates) }))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_asked_for_by_a_part_of_their_names() {
        let name = SINGLES.full_name(false);
        assert_eq!(name, "queue/sqlite/singles-1");
        for (asked, is) in [
            (vec![], true),
            (vec!["sqlite/s"], true),
            (vec!["way", "singles"], true),
            (vec!["way"], false),
            (vec!["singles-1$"], true),
            (vec!["singles$"], false),
        ] {
            let asked: Vec<String> = asked.into_iter().map(str::to_owned).collect();
            assert_eq!(is_asked(&asked, &name), is, "{asked:?}");
        }
    }

    #[test]
    fn no_two_scenarios_are_called_the_same() {
        let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
