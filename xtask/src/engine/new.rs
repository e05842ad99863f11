//! `cargo xtask engine new`: the folder of a new engine, out of a template.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::manifest;
use super::source::{self, FIXTURES};
use crate::tree::Tree;

/// What to make.
#[derive(Debug, Args)]
pub struct NewOptions {
    /// Its name: lower-case letters, digits and `-`
    name: String,
    /// What to write it in
    #[arg(long = "lang", value_name = "LANGUAGE")]
    language: Template,
    /// Make the folder in this one (default: `engines/`)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The languages there are templates for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// With the SDK in `engines/sdk`
    Rust,
    /// With what is generated from the contract
    C,
    /// With componentize-py
    Python,
    /// With componentize-js
    Js,
}

/// One file of a template: its path, and its text with names to fill in.
type File = (&'static str, &'static str);

const RUST: &[File] = &[("src/lib.rs", include_str!("../../templates/rust/src/lib.rs"))];
const C: &[File] = &[
    ("engine.toml", include_str!("../../templates/c/engine.toml")),
    ("src/engine.c", include_str!("../../templates/c/src/engine.c")),
];
const PYTHON: &[File] = &[
    ("engine.toml", include_str!("../../templates/python/engine.toml")),
    ("src/engine.py", include_str!("../../templates/python/src/engine.py")),
];
const JS: &[File] = &[
    ("engine.toml", include_str!("../../templates/js/engine.toml")),
    ("src/engine.js", include_str!("../../templates/js/src/engine.js")),
];

/// A package inside `engines/` takes over the workspace's settings; one elsewhere is a workspace of its own.
const CARGO_INSIDE: &str = include_str!("../../templates/rust/Cargo.inside.toml");
const CARGO_OUTSIDE: &str = include_str!("../../templates/rust/Cargo.outside.toml");

/// All templates make the same engine, so they have the same fixtures.
const FIXTURE_FILES: [File; 5] = [
    ("poem.txt", include_str!("../../templates/fixtures/poem.txt")),
    ("poem.txt.expected.json", include_str!("../../templates/fixtures/poem.txt.expected.json")),
    ("spaces.txt", include_str!("../../templates/fixtures/spaces.txt")),
    ("spaces.txt.expected.json", include_str!("../../templates/fixtures/spaces.txt.expected.json")),
    ("spaces.txt.params.json", include_str!("../../templates/fixtures/spaces.txt.params.json")),
];

/// Names that cargo refuses for a package, because the language or the build uses them, and those of the template's crates.
const TAKEN: [&str; 15] = [
    "alloc",
    "build",
    "core",
    "crate",
    "deps",
    "examples",
    "filemill-engine",
    "incremental",
    "proc-macro",
    "schemars",
    "self",
    "serde",
    "std",
    "super",
    "test",
];

/// Runs the command. What was made, and what can be done with it, goes to standard error.
///
/// # Errors
///
/// When the name cannot be one, or there is such an engine, or such a folder, already.
pub(super) fn run(tree: &Tree, options: &NewOptions) -> Result<ExitCode> {
    let name = &options.name;
    manifest::check_name(name)?;
    if TAKEN.contains(&name.as_str()) {
        bail!("`{name}` cannot be an engine's name: compilers use it themselves\nhint: choose another");
    }
    let engines = tree.root().join("engines");
    let parent = options.dir.clone().unwrap_or_else(|| engines.clone());
    fs::create_dir_all(&parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
    let parent = parent.canonicalize().with_context(|| format!("cannot find `{}`", parent.display()))?;
    let inside = parent == engines.canonicalize().unwrap_or_else(|_| engines.clone());
    let folder = parent.join(name);
    if folder.exists() {
        bail!("there is already something at `{}`", folder.display());
    }
    if inside && source::all(tree)?.iter().any(|source| source.name == *name) {
        bail!("there is already an engine `{name}` in `{}`", engines.display());
    }

    let fill = |text: &str| fill(text, name, &engines);
    for (path, text) in files(options.language, inside) {
        put(&folder.join(path), &fill(text))?;
    }
    if inside && options.language == Template::Rust {
        let manifest = engines.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read `{}`", manifest.display()))?;
        let text = with_member(&text, name)
            .with_context(|| format!("cannot add `{name}` to `{}`\nhint: do so by hand", manifest.display()))?;
        put(&manifest, &text)?;
    }

    let called = if inside { name.clone() } else { folder.display().to_string() };
    filemill_text::tell!("engine new: made `{}`", folder.display());
    filemill_text::tell!("next:");
    filemill_text::tell!("  cargo xtask engine test {called}");
    filemill_text::tell!("  cargo xtask engine run {called} FILE --param byte=32");
    filemill_text::tell!("  cargo xtask engine watch {called}");
    Ok(ExitCode::SUCCESS)
}

fn files(template: Template, inside: bool) -> Vec<(PathBuf, &'static str)> {
    let own = match template {
        Template::Rust => RUST,
        Template::C => C,
        Template::Python => PYTHON,
        Template::Js => JS,
    };
    let mut files: Vec<_> = own.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
    if template == Template::Rust {
        files.push(("Cargo.toml".into(), if inside { CARGO_INSIDE } else { CARGO_OUTSIDE }));
    }
    if !inside {
        files.push((".gitignore".into(), "/target\n"));
    }
    files.extend(FIXTURE_FILES.iter().map(|(path, text)| (Path::new(FIXTURES).join(path), *text)));
    files
}

/// Puts names into a template.
fn fill(text: &str, name: &str, engines: &Path) -> String {
    text.replace("{{name}}", name)
        .replace("{{Name}}", &camel_case(name))
        .replace("{{sdk}}", &engines.join("sdk").display().to_string())
}

fn camel_case(name: &str) -> String {
    let capital = |part: &str| part[..part.len().min(1)].to_uppercase() + &part[part.len().min(1)..];
    name.split('-').map(capital).collect()
}

/// The workspace's manifest with `name` among its members, which are kept in order where they were.
fn with_member(manifest: &str, name: &str) -> Result<String> {
    let (before, rest) = manifest.split_once("members = [").context("it has no list of members")?;
    let (list, after) = rest.split_once(']').context("its list of members does not end")?;
    let mut members: Vec<&str> =
        list.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty()).collect();
    if list.contains(['#', '*']) {
        bail!("its list of members is more than names");
    }
    let place = members.iter().position(|member| *member > name).unwrap_or(members.len());
    members.insert(place, name);
    let quoted: Vec<String> = members.iter().map(|member| format!("\"{member}\"")).collect();
    let list = if list.contains('\n') { format!("\n    {},\n", quoted.join(",\n    ")) } else { quoted.join(", ") };
    Ok(format!("{before}members = [{list}]{after}"))
}

fn put(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_every_template_is_filled_in() {
        for template in Template::value_variants() {
            for inside in [true, false] {
                for (path, text) in files(*template, inside) {
                    let text = fill(text, "two-words", Path::new("/tree/engines"));
                    assert!(!text.contains("{{") || path.starts_with(FIXTURES), "{template:?} {}", path.display());
                }
            }
        }
        let engine = fill(RUST[0].1, "counts", Path::new("/e"));
        assert!(engine.contains("struct CountsEngine;") && engine.contains("struct Counts {"), "no name meets another");
        assert_eq!(fill("{{Name}} {{name}} {{sdk}}", "two-words", Path::new("/e")), "TwoWords two-words /e/sdk");
    }

    #[test]
    fn a_member_is_added_where_it_belongs() {
        let manifest = "[workspace]\nmembers = [\"digest\", \"size\"]\n\n[x]\n";
        let expected = "[workspace]\nmembers = [\"digest\", \"mine\", \"size\"]\n\n[x]\n";
        assert_eq!(with_member(manifest, "mine").expect("added"), expected);
        let manifest = "[workspace]\nmembers = [\n    \"size\",\n]\n";
        let expected = "[workspace]\nmembers = [\n    \"size\",\n    \"text\",\n]\n";
        assert_eq!(with_member(manifest, "text").expect("added"), expected);
        with_member("[workspace]\n", "text").expect_err("no list");
        with_member("members = [\"*\"]", "text").expect_err("no names");
    }
}
