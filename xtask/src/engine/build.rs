//! Building engines, each with the tools of its language.
//!
//! Cargo knows itself what is up to date. For the others a stamp beside the component says what it was made from, because
//! their tools take seconds, and those of Python and JavaScript make other bytes each time: their digest is that of one build.

mod c;
mod cargo;
mod javascript;
mod job;
mod python;
mod stamp;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use super::manifest::Scripted;
use super::source::{Language, Source};
use super::toolchain::{Toolchain, clang::Clang, node::Node, python::Python};
use crate::tree::Tree;
use job::Job;
use stamp::Stamp;

/// Builds `sources` and returns the bytes of each one's component, in the same order.
///
/// # Errors
///
/// When one does not build.
pub(super) fn build(tree: &Tree, sources: &[Source]) -> Result<Vec<Vec<u8>>> {
    let mut rust = None;
    sources
        .iter()
        .map(|source| {
            let component = match &source.language {
                Language::Rust { workspace } => {
                    let toolchain = match &mut rust {
                        Some(toolchain) => toolchain,
                        none => none.insert(Toolchain::find_or_set_up()?),
                    };
                    cargo::build(tree, toolchain, workspace, source)
                }
                Language::Scripted { language, contract } => scripted(tree, source, *language, *contract),
            };
            let component = component.with_context(|| format!("engine `{}` does not build", source.name))?;
            fs::read(&component).with_context(|| format!("cannot read `{}`", component.display()))
        })
        .collect()
}

fn scripted(tree: &Tree, source: &Source, language: Scripted, contract: u32) -> Result<PathBuf> {
    let wit = tree.root().join(format!("wit/engine/v{contract}"));
    let (folder, tool) = match language {
        Scripted::C => ("c", c::version(tree, &Clang::find_or_set_up()?, &wit)?),
        Scripted::Python => ("python", Python::version()),
        Scripted::JavaScript => ("js", Node::version()),
    };
    let work = source.place(tree).join(folder).join(&source.name);
    let output = work.join("component.wasm");
    let stamp = Stamp::of(&source.folder, &wit, &tool)?;
    if stamp.holds(&output) {
        return Ok(output);
    }
    let begun = Instant::now();
    filemill_text::tell!("engines: building {} {}", source.name, source.version);
    fs::create_dir_all(&work).with_context(|| format!("cannot create `{}`", work.display()))?;
    let job = Job { source, wit, work: &work, output: &output };
    match language {
        Scripted::C => c::build(tree, &job)?,
        Scripted::Python => python::build(&job)?,
        Scripted::JavaScript => javascript::build(&job)?,
    }
    stamp.put(&output)?;
    filemill_text::tell!("engines: {} built in {:.1} s", source.name, begun.elapsed().as_secs_f32());
    Ok(output)
}
