//! An engine in C: every `src/*.c`, with what wit-bindgen generates from the contract.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::job::{Job, STACK_BYTES};
use crate::binaries::build_program;
use crate::engine::toolchain::clang::Clang;
use crate::program;
use crate::tree::Tree;

/// What the C library would ask of an operating system.
const NO_WASI: &str = include_str!("../../../toolchains/c/no_wasi.c");

/// What is compiled, and how loudly the compiler comments on it.
const FLAGS: [&str; 4] = ["-std=gnu17", "-O2", "-msimd128", "-c"];
const WARNINGS: [&str; 2] = ["-Wall", "-Wextra"];

/// What makes components of C, for a stamp.
///
/// # Errors
///
/// When the compiler does not run, or the contract cannot be read.
pub(super) fn version(tree: &Tree, clang: &Clang, wit: &Path) -> Result<String> {
    let mut version = format!("{}{FLAGS:?} {WARNINGS:?} {STACK_BYTES}\n{NO_WASI}", clang.version()?);
    for (_, bytes) in bindings(tree, wit)? {
        version.push_str(&String::from_utf8_lossy(&bytes));
    }
    Ok(version)
}

/// Builds the component. The generated header stays in the work folder, where an editor can find it.
pub(super) fn build(tree: &Tree, job: &Job) -> Result<()> {
    let clang = Clang::find_or_set_up()?;
    let own = ("no_wasi.c".to_owned(), NO_WASI.as_bytes().to_vec());
    for (name, bytes) in bindings(tree, &job.wit)?.into_iter().chain([own]) {
        let path = job.work.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
    }

    let mut objects = vec![job.work.join("engine_component_type.o")];
    for generated in ["engine.c", "no_wasi.c"] {
        objects.push(compile(&clang, job, &job.work.join(generated), "generated", &[])?);
    }
    for source in sources(&job.source.folder.join("src"))? {
        objects.push(compile(&clang, job, &source, "own", &WARNINGS)?);
    }

    let mut link = clang.command();
    link.arg("-mexec-model=reactor").arg(format!("-fuse-ld={}", clang.linker().display()));
    link.args([format!("-Wl,-zstack-size={STACK_BYTES}").as_str(), "-Wl,--stack-first", "-Wl,--strip-all", "-o"]);
    link.arg(job.output).args(objects);
    program::run(&mut link)
}

/// Generates `engine.h`, `engine.c` and the object that carries the contract's types, by a program that is built for it: only
/// engines in C need it. By name, sorted.
fn bindings(tree: &Tree, wit: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut generate = Command::new(build_program(tree, "xtask-bindings")?);
    program::output(generate.arg(wit).arg(folder.path()))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.path()).context("cannot list what was generated")? {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes));
    }
    files.sort();
    Ok(files)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut sources: Vec<_> = paths.into_iter().filter(|path| path.extension() == Some(OsStr::new("c"))).collect();
    if sources.is_empty() {
        bail!("there is no `.c` file in `{}`", folder.display());
    }
    sources.sort();
    Ok(sources)
}

fn compile(clang: &Clang, job: &Job, source: &Path, kind: &str, warnings: &[&str]) -> Result<PathBuf> {
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let object = job.work.join(format!("{kind}-{stem}.o"));
    let mut compile = clang.command();
    compile.args(FLAGS).args(warnings).arg("-I").arg(job.work);
    // A file's own name, as in an assertion, must not say where the checkout lies: a release is named by its bytes.
    compile.arg(format!("-ffile-prefix-map={}={}", job.source.folder.display(), job.source.name));
    compile.arg(format!("-DENGINE_NAME=\"{}\"", job.source.name));
    compile.arg(format!("-DENGINE_VERSION=\"{}\"", job.source.version));
    compile.arg(source).arg("-o").arg(&object);
    program::run(&mut compile)?;
    Ok(object)
}
