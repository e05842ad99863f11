//! How much the first command compiles: `cargo xtask demo`, from an empty build folder.
//!
//! Counted are the crates that cargo compiles for it, each as often as with other features: for `xtask` itself, for the three
//! programs in one call, and for each engine in a call of its own. No clock: the same everywhere, and told by `cargo tree`, which
//! compiles nothing. What each of them costs is measured by hand (docs/bench/build.md).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;
use crate::binaries::PACKAGES;
use crate::engine;
use crate::program;
use crate::tree::Metadata;

/// The machine that the programs are counted for, whichever this is: others have other crates.
const MACHINE: &str = "x86_64-unknown-linux-gnu";

/// The machine that engines are for.
const GUEST: &str = "wasm32-unknown-unknown";

/// How many crates the first command may compile for this machine: the 506 that there were when each was looked at, and some ten.
///
/// Only they bring 72 for age, 60 for wasmtime, 28 for sqlx, 25 for the S3 client. What comes in addition has to be worth it to somebody
/// who waits for the first result: leave features out that nobody uses, take what is there already, and give two users of a crate
/// the same features.
const PROGRAMS_MAX: usize = 516;

/// And how many for engines: seven components, which share most of theirs. There were 145.
const ENGINES_MAX: usize = 150;

/// Counts, if this is the workspace of the programs, or the one of the engines.
///
/// # Errors
///
/// When cargo cannot tell, which needs the crates' manifests: it fetches those that were never compiled here.
pub(super) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<Finding>> {
    let has = |name: &str| metadata.packages.iter().any(|package| package.name == name);
    let manifest = metadata.workspace_root.join("Cargo.toml");
    let (what, calls, machine, max, constant): (_, Vec<Vec<&str>>, _, _, _) =
        if has("xtask") && PACKAGES.iter().all(|package| has(package)) {
            ("programs", vec![vec!["xtask"], PACKAGES.to_vec()], MACHINE, PROGRAMS_MAX, "PROGRAMS_MAX")
        } else if engine::IN_RUST.iter().all(|engine| has(engine)) {
            let calls = engine::IN_RUST.iter().map(|engine| vec![*engine]).collect();
            ("engines", calls, GUEST, ENGINES_MAX, "ENGINES_MAX")
        } else {
            return Ok(Vec::new());
        };
    let mut compiled = BTreeSet::new();
    for packages in calls {
        compiled.extend(crates(&tree(&manifest, &packages, machine)?));
    }
    Ok(judged(root, what, &compiled, max, constant).into_iter().collect())
}

/// What `cargo tree` says of `packages`: a line a crate, with its features in brackets.
fn tree(manifest: &Path, packages: &[&str], machine: &str) -> Result<String> {
    let mut cargo = program::cargo();
    cargo.args(["tree", "--locked", "--quiet", "--edges", "normal,build", "--prefix", "none"]);
    cargo.args(["--format", "{p} [{f}]", "--target", machine, "--manifest-path"]).arg(manifest);
    for package in packages {
        cargo.args(["--package", package]);
    }
    program::output(&mut cargo)
        .context("cannot count what the first command compiles\nhint: `cargo fetch` gets what is missing")
}

/// Each crate with its version and features, once.
fn crates(tree: &str) -> BTreeSet<String> {
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            // What stands between version and features says where it is from, or that it is for the compiler.
            let mut words = line.splitn(3, ' ');
            let (name, version, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
            let features = rest.rfind('[').map_or("", |at| &rest[at..]);
            format!("{} {} {features}", name.unwrap_or_default(), version.unwrap_or_default())
        })
        .collect()
}

fn judged(root: &Path, what: &str, compiled: &BTreeSet<String>, max: usize, constant: &str) -> Option<Finding> {
    if compiled.len() <= max {
        return None;
    }
    let mut several: Vec<&str> = Vec::new();
    let names: Vec<&str> = compiled.iter().map(|one| one.split(" [").next().unwrap_or(one)).collect();
    for pair in names.windows(2) {
        if pair[0] == pair[1] && several.last() != Some(&pair[0]) {
            several.push(pair[0]);
        }
    }
    let path = PathBuf::from("xtask/src/tidy/build_budget.rs");
    let text = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
    let line = text.lines().position(|line| line.contains(&format!("const {constant}:"))).map_or(1, |index| index + 1);
    Some(Finding {
        path,
        line,
        what: format!("for its {what} the first command compiles {} crates, and its budget is {max}", compiled.len()),
        hint: format!(
            "take less (these are compiled with several sets of features: {}), or raise it here and say why",
            several.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
xtask v0.1.0 (/r/xtask) []
clap v4.6.9 [default,derive]
clap_derive v4.6.9 (proc-macro) [default]

serde v1.0.229 [default]
serde v1.0.229 [default] (*)
serde v1.0.229 [default,derive]
";

    #[test]
    fn a_crate_counts_once_for_each_set_of_features() {
        let expected = [
            "clap v4.6.9 [default,derive]",
            "clap_derive v4.6.9 [default]",
            "serde v1.0.229 [default,derive]",
            "serde v1.0.229 [default]",
            "xtask v0.1.0 []",
        ];
        assert_eq!(crates(TREE).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_crate_too_many_is_found_with_what_is_compiled_twice() {
        let root = Path::new("/nowhere");
        assert_eq!(judged(root, "programs", &crates(TREE), 5, "PROGRAMS_MAX"), None);
        let found = judged(root, "programs", &crates(TREE), 4, "PROGRAMS_MAX").expect("over the budget");
        assert_eq!(found.what, "for its programs the first command compiles 5 crates, and its budget is 4");
        assert!(found.hint.contains("features: serde v1.0.229)"), "{}", found.hint);
    }
}
