//! An engine in JavaScript: the module `src/engine.js`, and what it imports by relative path.

use anyhow::{Result, bail};

use super::job::Job;
use crate::engine::toolchain::node::Node;
use crate::program;

/// Builds the component.
pub(super) fn build(job: &Job) -> Result<()> {
    let source = job.source.folder.join("src/engine.js");
    if !source.is_file() {
        bail!("there is no `{}`\nhint: it exports `analyzer`", source.display());
    }
    let node = Node::find_or_set_up()?;
    let mut componentize = node.command();
    // The folder it is called in must not be one above the source: the component would name the path between.
    componentize.current_dir(job.work).arg(&source).arg(&job.wit).arg(job.output);
    program::run(&mut componentize)
}
