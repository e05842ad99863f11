//! `cargo xtask tidy`: what no compiler checks. Also runs as a test.
//!
//! | check | what it keeps |
//! | --- | --- |
//! | `contract` | the engine contract's frozen versions say what they said |
//! | `direction` | which crate may depend on which |
//! | `domains` | which room of the server may use which |
//! | `circles` | no modules of a crate need each other in a circle |
//! | `order` | each file's first line, imports before items, tests last, size, no `mod.rs` |
//! | `links` | relative links and anchors in Markdown, and the paths that ARCHITECTURE.md names |
//! | `hosts` | no registry is named: where packages come from is each machine's own matter |
//! | `printing` | one crate writes to terminals, which escapes what strangers said |
//! | `build_budget` | how many crates the first command compiles |
//! | `lints` | every crate takes over the workspace's lints; where unsafe code is allowed |

mod build_budget;
mod circles;
mod contract;
mod direction;
mod domains;
mod finding;
mod hosts;
mod links;
mod lints;
mod markdown;
mod order;
mod printing;
mod rust_lines;
mod sources;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::tree::{Metadata, Tree};
use sources::Sources;

pub use finding::Finding;

/// Runs the command on this checkout. Findings go to standard error, and make the exit code 1.
///
/// # Errors
///
/// When the tree cannot be read.
pub fn run() -> Result<ExitCode> {
    let findings = check(Tree::locate()?.root())?;
    for finding in &findings {
        filemill_text::tell!("{finding}");
    }
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    filemill_text::tell!("tidy: {} to put right", findings.len());
    Ok(ExitCode::FAILURE)
}

/// Checks the tree at `root`, which has a cargo workspace there and another in `engines/`. Returns the findings in the order of their places.
///
/// # Errors
///
/// When the tree, or cargo's metadata of it, cannot be read.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let sources = Sources::read(root)?;
    let mut findings = Vec::new();
    for manifest in ["Cargo.toml", "engines/Cargo.toml"] {
        let metadata = Metadata::read(&root.join(manifest))?;
        findings.extend(direction::check(root, &metadata, &sources));
        findings.extend(build_budget::check(root, &metadata)?);
        findings.extend(lints::check_manifests(root, Path::new(manifest), &metadata, &sources));
    }
    findings.extend(contract::check(&sources));
    findings.extend(domains::check(&sources));
    findings.extend(lints::check_allowances(&sources));
    findings.extend(circles::check(&sources));
    findings.extend(order::check(&sources));
    findings.extend(links::check(&sources));
    findings.extend(printing::check(&sources));
    findings.extend(hosts::check(&sources));
    findings.sort();
    Ok(findings)
}
