//! `cargo xtask bench compare`: two builds' programs in turn, everything else the same, and what their paired ratios say.
//!
//! Machines are noisy and drift: a figure of today says little beside one of last week. So each pair measures both builds
//! within minutes, by turns one or the other first, and only the ratios of pairs are looked at.

mod paired;
mod sides;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::record::Record;
use crate::tree::Tree;
use paired::{Interval, Paired};
use sides::{Measurement, Sides};

/// What to compare.
#[derive(Debug, Args)]
pub struct CompareOptions {
    /// Another checkout of this repository, at the commit to compare with; what is measured is built there
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// How often each scenario is measured with both builds; from 6 on there is an interval
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pairs: u32,
    /// Only scenarios with this in their name (`queue/`, `way/small`), or with it at its end (`bundles-1$`); may be given several times
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
    /// A tenth of what is sent and queued
    #[arg(long)]
    quick: bool,
    /// Compare the dev profile
    #[arg(long)]
    dev: bool,
}

/// Ratios of a scenario's figure, pair by pair.
type Ratios = BTreeMap<(usize, &'static str), Vec<f64>>;

pub(super) fn run(options: &CompareOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let base = Tree::around(&options.base)?;
    let target = base.root().join("target");
    let base = base.with_target(target);
    ensure!(
        base.root() != tree.root(),
        "`{}` is this checkout\nhint: name one of the commit to compare with (`git worktree add DIR COMMIT`)",
        options.base.display()
    );
    let sides = Sides::build(&tree, &base, options)?;
    let measurements = sides.measurements();
    if measurements.is_empty() {
        bail!("no scenario's name has one of {:?} in it", options.scenario);
    }
    let name = if options.quick { "compare-quick" } else { "compare" };
    let record = Record::begin(&tree, name, if options.dev { "dev" } else { "release" })?;
    record.add(&json!({ "base": sides.base_commit()?, "pairs": options.pairs }))?;
    let mut ratios = Ratios::new();
    for pair in 0..options.pairs {
        for (number, measurement) in measurements.iter().enumerate() {
            let line = measure(&sides, measurement, pair)?;
            for (figure, more_is_better) in measurement.figures() {
                if let Some(ratio) = ratio(&line, figure, *more_is_better) {
                    ratios.entry((number, figure)).or_default().push(ratio);
                }
            }
            record.add(&line)?;
        }
    }
    let mut table = String::from(TABLE_HEAD);
    for ((number, figure), ratios) in &ratios {
        let scenario = measurements[*number].name();
        let Some(paired) = Paired::of(ratios) else { continue };
        record.add(&summary(&scenario, figure, ratios, &paired))?;
        table += &row(&scenario, figure, ratios.len(), &paired);
    }
    let mut out = filemill_text::Lines::on_stdout();
    out.lines(&table).and_then(|()| out.flush()).context("cannot write to standard output")
}

const TABLE_HEAD: &str = "\
Ratios of this build to the base, above 1 where this one is better.

| scenario | figure | pairs | median ratio | interval of the median | confidence |
| --- | --- | --- | --- | --- | --- |
";

/// Measures one scenario with both builds; the odd pairs begin with this one.
fn measure(sides: &Sides, measurement: &Measurement<'_>, pair: u32) -> Result<Value> {
    let run = |ours: bool| {
        let side = if ours { "this build" } else { "the base" };
        measurement.run(sides, ours).with_context(|| format!("{} with {side}", measurement.name()))
    };
    let ours_first = pair % 2 == 1;
    let first = run(ours_first)?;
    let second = run(!ours_first)?;
    let (ours, base) = if ours_first { (first, second) } else { (second, first) };
    Ok(json!({
        "scenario": measurement.name(),
        "pair": pair + 1,
        "first": if ours_first { "this" } else { "base" },
        "this": ours,
        "base": base,
    }))
}

/// Of a pair's figure, above 1 where this build is better; `None` where a side has none, or nothing that can be divided by.
fn ratio(line: &Value, figure: &str, more_is_better: bool) -> Option<f64> {
    let of = |side: &str| line[side][figure].as_f64().filter(|value| *value > 0.0);
    let (ours, base) = (of("this")?, of("base")?);
    Some(if more_is_better { ours / base } else { base / ours })
}

fn summary(scenario: &str, figure: &str, ratios: &[f64], paired: &Paired) -> Value {
    let interval = paired.interval.map(|Interval { low, high, .. }| [rounded(low), rounded(high)]);
    json!({
        "scenario": scenario,
        "figure": figure,
        "pairs": ratios.len(),
        "median_ratio": rounded(paired.median),
        "interval": interval,
        "confidence": paired.interval.map(|interval| rounded(interval.confidence)),
        "ratios": ratios.iter().copied().map(rounded).collect::<Vec<_>>(),
    })
}

fn row(scenario: &str, figure: &str, pairs: usize, paired: &Paired) -> String {
    let (interval, confidence) = match paired.interval {
        Some(Interval { low, high, confidence }) => {
            (format!("{low:.3} to {high:.3}"), format!("{:.1} %", confidence * 100.0))
        }
        None => ("too few pairs".to_owned(), String::new()),
    };
    format!("| {scenario} | {figure} | {pairs} | {:.3} | {interval} | {confidence} |\n", paired.median)
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_above_one_where_this_build_is_better() {
        let line = json!({ "this": { "rate": 20.0, "seconds": 1.0 }, "base": { "rate": 10.0, "seconds": 4.0 } });
        assert_eq!(ratio(&line, "rate", true), Some(2.0));
        assert_eq!(ratio(&line, "seconds", false), Some(4.0));
        assert_eq!(ratio(&line, "absent", true), None);
        let none = json!({ "this": { "rate": 1.0 }, "base": { "rate": 0.0 } });
        assert_eq!(ratio(&none, "rate", true), None, "a build that did nothing has no ratio");
    }
}
