//! The two builds, and how one scenario is measured with either.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::CompareOptions;
use crate::bench::queue::{self, Backend, Load, Scenario, is_asked};
use crate::bench::way::{self, Input};
use crate::binaries::{Binaries, Profile};
use crate::engine::{self, Engine};
use crate::postgres::Postgres;
use crate::program;
use crate::tree::Tree;

/// Both builds, and what they share: engines, inputs and the PostgreSQL.
pub(super) struct Sides {
    roots: [PathBuf; 2],
    quick: bool,
    engines: Vec<Engine>,
    queue: Vec<(Scenario, bool)>,
    loads: Option<[Load; 2]>,
    postgres: Option<Postgres>,
    way: Option<Way>,
}

struct Way {
    binaries: [Binaries; 2],
    inputs: Vec<Input>,
    // Holds the inputs.
    dir: TempDir,
}

/// One thing to measure with either build.
pub(super) enum Measurement<'a> {
    Queue(Scenario, Backend<'a>),
    Way(&'a Input),
}

impl Sides {
    /// Builds what the asked scenarios need, in both checkouts, and makes their inputs.
    pub(super) fn build(tree: &Tree, base: &Tree, options: &CompareOptions) -> Result<Self> {
        let trees = [tree, base];
        let engines = engine::find_or_build(tree, &["size".into()])?;
        let way = way::INPUTS.iter().any(|input| is_asked(&options.scenario, &way_name(input)));
        let way = way.then(|| Way::build(trees, options)).transpose()?;
        let queue: Vec<(Scenario, bool)> = [false, true]
            .into_iter()
            .flat_map(|on_postgres| queue::SCENARIOS.map(|scenario| (scenario, on_postgres)))
            .filter(|(scenario, on_postgres)| is_asked(&options.scenario, &scenario.full_name(*on_postgres)))
            .collect();
        let loads = if queue.is_empty() { None } else { Some(loads(trees, options)?) };
        let postgres = if queue.iter().any(|(_, on_postgres)| *on_postgres) { Some(Postgres::start()?) } else { None };
        let roots = trees.map(|tree| tree.root().to_owned());
        Ok(Self { roots, quick: options.quick, engines, queue, loads, postgres, way })
    }

    /// What is asked for, in the order in which it is measured.
    pub(super) fn measurements(&self) -> Vec<Measurement<'_>> {
        let queue = self.queue.iter().filter_map(|(scenario, on_postgres)| {
            let backend = if *on_postgres { Backend::Postgres(self.postgres.as_ref()?) } else { Backend::Sqlite };
            Some(Measurement::Queue(*scenario, backend))
        });
        queue.chain(self.way.iter().flat_map(|way| &way.inputs).map(Measurement::Way)).collect()
    }

    /// The base's commit.
    pub(super) fn base_commit(&self) -> Result<String> {
        commit(&self.roots[1])
    }
}

impl Way {
    fn build(trees: [&Tree; 2], options: &CompareOptions) -> Result<Self> {
        let profile = if options.dev { Profile::Dev } else { Profile::Release };
        let binaries = [Binaries::build(trees[0], profile)?, Binaries::build(trees[1], profile)?];
        expect_two(binaries.each_ref().map(|binaries| binaries.server.as_path()))?;
        let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
        let divisor = if options.quick { 10 } else { 1 };
        let mut inputs = Vec::new();
        for name in way::INPUTS {
            if is_asked(&options.scenario, &way_name(name)) {
                inputs.push(way::make_input(dir.path(), name, divisor)?);
            }
        }
        Ok(Self { binaries, inputs, dir })
    }
}

impl Measurement<'_> {
    /// Its name for people and for `--scenario`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Queue(scenario, backend) => scenario.full_name(matches!(backend, Backend::Postgres(_))),
            Self::Way(input) => way_name(input.name),
        }
    }

    /// The figures to compare, each with whether more is better.
    pub(super) fn figures(&self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Queue(..) => &queue::FIGURES,
            Self::Way(_) => &[("seconds", false), ("cpu_s", false)],
        }
    }

    /// Measures it once, from a fresh state, with this checkout's build or the base's.
    pub(super) fn run(&self, sides: &Sides, ours: bool) -> Result<Value> {
        let side = usize::from(!ours);
        match self {
            Self::Queue(scenario, backend) => {
                let load = &sides.loads.as_ref().context("no load generator was built")?[side];
                let component = &sides.engines.first().context("no engine was built")?.file;
                load.measure(scenario, sides.quick, component, *backend)
            }
            Self::Way(input) => {
                let way = sides.way.as_ref().context("no programs were built")?;
                let dir = tempfile::tempdir_in(way.dir.path()).context("cannot make a temporary folder")?;
                way::send_once(dir.path(), &way.binaries[side], &sides.engines, input)
            }
        }
    }
}

fn way_name(input: &str) -> String {
    format!("way/{input}")
}

/// One load generator, this checkout's, for both servers.
fn loads(trees: [&Tree; 2], options: &CompareOptions) -> Result<[Load; 2]> {
    let (profile, name) = if options.dev { (Profile::Dev, "dev") } else { (Profile::Release, "release") };
    let ours = Load::build(trees[0], name)?;
    let servers = [Binaries::build_server(trees[0], profile)?, Binaries::build_server(trees[1], profile)?];
    let servers = servers.each_ref().map(PathBuf::as_path);
    expect_two(servers)?;
    Ok([ours.for_server(servers[0])?, ours.for_server(servers[1])?])
}

/// Refuses two checkouts that build into one folder: the second build would have taken the first one's place.
fn expect_two(programs: [&Path; 2]) -> Result<()> {
    let [ours, base] = programs.map(Path::parent);
    ensure!(
        ours != base,
        "both checkouts build into `{}`\nhint: unset `CARGO_TARGET_DIR`",
        ours.unwrap_or(Path::new(".")).display()
    );
    Ok(())
}

/// The commit that is checked out at `root`, and whether something was changed since.
fn commit(root: &Path) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["describe", "--always", "--dirty", "--exclude", "*"]);
    Ok(program::output(&mut git)?.trim().to_owned())
}
