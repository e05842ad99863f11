//! An engine in Python: `src/engine.py`, and what it imports from `src`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::job::Job;
use crate::engine::toolchain::python::Python;
use crate::program;
use crate::tree::files_under;

/// Builds the component, from a copy: the interpreter leaves its own files beside what it imports. With a stub instead of WASI, so that it imports nothing beside the contract.
pub(super) fn build(job: &Job) -> Result<()> {
    let source = job.source.folder.join("src");
    if !source.join("engine.py").is_file() {
        bail!("there is no `{}`\nhint: it defines the class `Analyzer`", source.join("engine.py").display());
    }
    let python = Python::find_or_set_up()?;
    let copy = job.work.join("src");
    put_copy(&source, &copy).with_context(|| format!("cannot copy `{}` to `{}`", source.display(), copy.display()))?;
    let mut componentize = python.command();
    componentize.current_dir(job.work).args(["--quiet", "--wit-path"]).arg(&job.wit);
    componentize.args(["--world", "engine", "componentize", "engine", "--stub-wasi", "--python-path"]);
    componentize.arg(&copy).arg("--output").arg(job.output);
    program::run(&mut componentize)
}

/// Makes `copy` a folder of the same files as `folder`, and no others.
fn put_copy(folder: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    for path in files_under(folder, &[])? {
        if path.components().any(|part| part.as_os_str() == "__pycache__") {
            continue;
        }
        let target = copy.join(&path);
        fs::create_dir_all(target.parent().unwrap_or(copy))?;
        fs::copy(folder.join(&path), target)?;
    }
    Ok(())
}
