//! `cargo xtask engine test`: each engine over each of its fixtures, in the real host.

use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use filemill_text::Lines;
use serde_json::{Map, Value};

use super::fixtures::Fixture;
use super::host::Host;
use super::source::{self, Source};
use crate::tree::Tree;

/// What to test.
#[derive(Debug, Args)]
pub struct TestOptions {
    /// Which engines, by name or by path (default: all of `engines/`)
    names: Vec<String>,
    /// Make what comes out what is expected from now on
    #[arg(long)]
    bless: bool,
}

/// Runs the command. The exit code is 1 when something else came out than expected.
///
/// # Errors
///
/// When an engine does not build or has no fixtures, or the host does not start.
pub(super) fn run(tree: &Tree, options: &TestOptions) -> Result<ExitCode> {
    let sources = source::choose(tree, &options.names)?;
    let passed = test(tree, &Host::find_or_build(tree)?, &sources, options.bless, &mut Lines::on_stdout())?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every engine of `engines/` over its fixtures, by this `processor` program. What differs goes to standard output.
///
/// # Errors
///
/// As [`run`], and when something else came out than expected.
pub(super) fn all(tree: &Tree, processor: &Path) -> Result<()> {
    let host = Host::of(tree, processor.to_owned())?;
    if !test(tree, &host, &source::all(tree)?, false, &mut Lines::on_stdout())? {
        bail!(
            "engines gave other reports than expected\nhint: `cargo xtask engine test NAME --bless` where that is right"
        );
    }
    Ok(())
}

/// Builds `sources` and runs each over its fixtures. Writes what differs, and a last line, to `out`. Returns whether all is
/// as expected.
///
/// # Errors
///
/// As [`run`].
pub(super) fn test(
    tree: &Tree,
    host: &Host,
    sources: &[Source],
    bless: bool,
    out: &mut Lines<impl Write>,
) -> Result<bool> {
    let fixtures = sources.iter().map(Fixture::of).collect::<Result<Vec<_>>>()?;
    let engines = super::components::build_sources(tree, sources)?;
    let compiled: Vec<_> = engines.iter().zip(sources).collect();
    for (done, engine) in
        each(&compiled, |(engine, source)| host.expect_described(&engine.file, source)).into_iter().zip(&engines)
    {
        done.with_context(|| format!("engine `{}`", engine.name))?;
    }
    let runs: Vec<_> = engines
        .iter()
        .zip(&fixtures)
        .flat_map(|(engine, fixtures)| fixtures.iter().map(move |fixture| (engine, fixture)))
        .collect();
    let said = each(&runs, |(engine, fixture)| said(host, &engine.file, fixture));

    let (mut passed, mut failed, mut blessed) = (0, 0, 0);
    for ((engine, fixture), said) in runs.iter().zip(said) {
        let name = format!("{}/{}", engine.name, fixture.name());
        let wrong = match said {
            Ok(said) if bless => {
                if fixture.bless(&said)? {
                    out.line(format_args!("blessed {name}"))?;
                    blessed += 1;
                }
                None
            }
            Ok(said) => fixture.difference(&said)?,
            Err(error) => Some(format!("{error:#}\n")),
        };
        match wrong {
            None => passed += 1,
            Some(wrong) => {
                failed += 1;
                out.line(format_args!("FAILED {name}"))?;
                out.lines(wrong.trim_end())?;
            }
        }
    }
    let blessed = if bless { format!(", {blessed} blessed") } else { String::new() };
    out.line(format_args!("engine test: {passed} passed, {failed} failed{blessed}"))?;
    out.flush()?;
    Ok(failed == 0)
}

fn said(host: &Host, component: &Path, fixture: &Fixture) -> Result<Map<String, Value>> {
    host.run(component, &fixture.file, &fixture.parameters).context("it could not be run")
}

/// Does `work` for each item, on as many threads as there are cores, and returns what came of each in their order.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Vec<Result<R>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return done;
            };
            done.push((index, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    done.sort_by_key(|(index, _)| *index);
    let mut results: Vec<_> = done.into_iter().map(|(_, result)| result).collect();
    results.resize_with(items.len(), || Err(anyhow!("its thread panicked")));
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_several_threads_comes_back_in_order() {
        let items: Vec<u32> = (0..100).collect();
        let done = each(&items, |item| if item % 10 == 3 { Err(anyhow!("three")) } else { Ok(item * 2) });
        for (item, done) in items.iter().zip(done) {
            assert_eq!(done.ok(), (item % 10 != 3).then_some(item * 2));
        }
    }
}
