//! Cargo's part of building engines: flags, messages, and silence when there is nothing to do.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::job::STACK_BYTES;
use crate::engine::source::Source;
use crate::engine::toolchain::{TARGET, Toolchain, remap};
use crate::program;
use crate::tree::Tree;

/// Builds `source`, a package of `workspace`, and returns its component.
///
/// One call of cargo an engine: cargo merges the features that packages ask of a dependency, so that several in one call
/// would each get what another asked for, and other bytes, which are what names a release.
pub(super) fn build(tree: &Tree, toolchain: &Toolchain, workspace: &Path, source: &Source) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace)
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(source.place(tree))
        // With its version: a dependency of some engine may have the same name.
        .args(["--package", &format!("{}@{}", source.name, source.version)])
        .env("CARGO_ENCODED_RUSTFLAGS", flags(tree, workspace)?)
        // Whoever has it on for other builds would get other bytes.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", toolchain.linker());
    if program::has_terminal() {
        cargo.args(["--color", "always"]);
    }

    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program::shown(&cargo)))?;
    let stderr = child.stderr.take().context("cargo's standard error is not connected")?;
    let stdout = child.stdout.take().context("cargo's standard output is not connected")?;
    let artifacts = thread::scope(|scope| {
        scope.spawn(|| pass_on(stderr));
        artifacts(stdout)
    });
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("it does not build with {} ({status})", toolchain.name());
    }
    let manifest = source.folder.join("Cargo.toml");
    let built = artifacts?.into_iter().find(|(of, _)| *of == manifest);
    Ok(built.context("cargo built no component")?.1)
}

/// Compiler flags of every guest, separated as `CARGO_ENCODED_RUSTFLAGS` wants it.
///
/// `simd128` is what every host of contract 1 runs (wasmtime has it on by default), and makes counting and searching several
/// times faster. The remapped paths make the digest independent of where the checkout lies.
fn flags(tree: &Tree, workspace: &Path) -> Result<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned(), format!("-Clink-arg=-zstack-size={STACK_BYTES}")];
    flags.extend(remap(tree.root(), "filemill")?);
    if !workspace.starts_with(tree.root()) {
        flags.extend(remap(workspace, "engine")?);
    }
    Ok(flags.join("\u{1f}"))
}

/// One line of cargo's messages, as far as it is of use here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The components that cargo built or found fresh, by manifest.
fn artifacts(messages: impl Read) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for line in BufReader::new(messages).lines() {
        let line = line.context("cannot read cargo's messages")?;
        let message: Message =
            serde_json::from_str(&line).with_context(|| format!("unexpected message from cargo: {line}"))?;
        let (true, Some(manifest)) = (message.reason == "compiler-artifact", message.manifest_path) else {
            continue;
        };
        let component =
            message.filenames.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        found.extend(component.map(|component| (manifest, component)));
    }
    Ok(found)
}

/// Passes on what cargo says to a person, but not that it has finished: without anything to compile it says nothing else.
fn pass_on(stderr: impl Read) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if !line.contains("Finished") {
            filemill_text::tell!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_of_each_engine_is_found_in_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/r/memchr/Cargo.toml","filenames":["/t/libmemchr.rlib"]}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","manifest_path":"/e/size/Cargo.toml","filenames":["/t/size.wasm"],"fresh":true}
{"reason":"build-finished","success":true}
"#;
        let found = artifacts(messages.as_bytes()).expect("well formed");
        assert_eq!(found, [("/e/size/Cargo.toml".into(), "/t/size.wasm".into())]);
    }
}
