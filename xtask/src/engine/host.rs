//! The host that runs engines here: the processor program, called for one component and one file.
//!
//! Only processes and text cross over, as everywhere in this crate; `engine run --json` is the text.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::component;
use super::source::{self, Source};
use crate::binaries::{Binaries, Profile};
use crate::program;
use crate::tree::Tree;

/// What to check.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// An engine by name or by path, or a component (`….wasm`)
    engine: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What to run over which file.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// An engine by name or by path, or a component (`….wasm`)
    engine: String,
    /// The file to analyse
    file: PathBuf,
    #[command(flatten)]
    parameters: Parameters,
    /// Save artifacts in this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What an engine is told beside the file.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Parameters {
    /// A parameter of the engine; what is no JSON is taken for text
    #[arg(long = "param", value_name = "NAME=VALUE")]
    each: Vec<String>,
    /// All parameters as one JSON object
    #[arg(long = "parameters", value_name = "JSON", conflicts_with = "each")]
    object: Option<String>,
}

/// The program, found or built.
#[derive(Debug, Clone)]
pub(super) struct Host {
    program: PathBuf,
    /// Where it keeps what it compiled: a component of Python takes it 10 s.
    cache: PathBuf,
}

/// How the program ended, apart from its report.
const UNUSABLE: i32 = 2;

/// Builds the engine, if it is one, and lets the host say what it makes of it. The exit code is the host's.
///
/// # Errors
///
/// When it does not build, or describes itself as another one than its manifest says.
pub(super) fn check(tree: &Tree, options: &CheckOptions) -> Result<ExitCode> {
    let host = Host::find_or_build(tree)?;
    let component = component(tree, &options.engine)?;
    if let Some(source) = &component.source {
        host.expect_described(&component.file, source)?;
    }
    let mut command = host.command("check");
    command.arg(&component.file);
    if options.json {
        command.arg("--json");
    }
    pass_through(command)
}

/// Builds the engine, if it is one, and lets the host run it. The exit code is the host's: 0 with a report, 1 without.
///
/// # Errors
///
/// When it does not build, or the host does not start.
pub(super) fn run(tree: &Tree, options: &RunOptions) -> Result<ExitCode> {
    let host = Host::find_or_build(tree)?;
    let component = component(tree, &options.engine)?;
    let mut command = host.run_command(&component.file, &options.file);
    command.args(options.parameters.arguments());
    if let Some(out) = &options.out {
        command.arg("--out").arg(out);
    }
    if options.json {
        command.arg("--json");
    }
    pass_through(command)
}

impl Host {
    /// Finds the program (in `FILEMILL_BIN_DIR`) or builds it.
    ///
    /// # Errors
    ///
    /// When it is not there or does not build.
    pub(super) fn find_or_build(tree: &Tree) -> Result<Self> {
        Self::of(tree, Binaries::find_or_build_processor(tree, Profile::Dev)?)
    }

    /// This `program`.
    ///
    /// # Errors
    ///
    /// When there can be no folder for what it compiles.
    pub(super) fn of(tree: &Tree, program: PathBuf) -> Result<Self> {
        let cache = tree.target().join("compiled-engines");
        // The program refuses a folder that others can get into.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&cache)
            .with_context(|| format!("cannot create `{}`", cache.display()))?;
        Ok(Self { program, cache })
    }

    /// A call that runs `component` over `file`.
    pub(super) fn run_command(&self, component: &Path, file: &Path) -> Command {
        let mut command = self.command("run");
        command.arg(component).arg(file);
        command
    }

    /// Runs `component` over `file` and returns what the host says of it.
    ///
    /// # Errors
    ///
    /// When it could not be run: the host's own words.
    pub(super) fn run(&self, component: &Path, file: &Path, parameters: &str) -> Result<Map<String, Value>> {
        let mut command = self.run_command(component, file);
        command.args(["--parameters", parameters, "--json"]);
        json(command)
    }

    /// Lets the host check `component`, which compiles it, so that runs begin at once; and what the engine says of itself must
    /// be what its manifest says.
    ///
    /// # Errors
    ///
    /// When the host refuses the component, or when name or version differ.
    pub(super) fn expect_described(&self, component: &Path, source: &Source) -> Result<()> {
        let mut command = self.command("check");
        command.arg(component).arg("--json");
        let checked = json(command)?;
        let description = checked
            .get("description")
            .with_context(|| format!("the host does not take it: {}", Value::Object(checked.clone())))?;
        same_as_manifest(description, source)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.program);
        // Limits and folders of this machine's installation are not those of a developer's run.
        program::without_settings(&mut command);
        command.args(["engine", what, "--cache-dir"]).arg(&self.cache);
        command
    }
}

impl Parameters {
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let each = self.each.iter().flat_map(|each| ["--param".into(), each.into()]);
        let object = self.object.iter().flat_map(|object| ["--parameters".into(), object.into()]);
        each.chain(object).collect()
    }
}

/// A component to give to the host.
struct Component {
    file: PathBuf,
    /// What it was built from, when it was.
    source: Option<Source>,
}

fn component(tree: &Tree, engine: &str) -> Result<Component> {
    let path = Path::new(engine);
    if path.extension().is_some_and(|extension| extension == "wasm") {
        let bytes = fs::read(path).with_context(|| format!("cannot read `{engine}`"))?;
        component::check(&bytes).with_context(|| format!("`{engine}`"))?;
        return Ok(Component { file: path.to_owned(), source: None });
    }
    let mut sources = source::choose(tree, &[engine.to_owned()])?;
    let file = super::components::build_sources(tree, &sources)?.remove(0).file;
    Ok(Component { file, source: sources.pop() })
}

/// What `describe` says names nothing, so that nobody notices when it is another name or version than the manifest's: here
/// somebody does.
fn same_as_manifest(description: &Value, source: &Source) -> Result<()> {
    for (field, expected) in [("name", &source.name), ("version", &source.version)] {
        let said = description[field].as_str().unwrap_or_default();
        if said != expected {
            bail!("`describe` of engine `{}` gives `{said}` as {field}, its manifest `{expected}`", source.name);
        }
    }
    Ok(())
}

/// Runs `command` with this program's own output and returns its exit code.
fn pass_through(mut command: Command) -> Result<ExitCode> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {}", program::shown(&command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs `command` and reads its standard output, whether or not the engine gave a report.
fn json(mut command: Command) -> Result<Map<String, Value>> {
    let shown = program::shown(&command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {shown}"))?;
    let code = output.status.code().unwrap_or(UNUSABLE);
    if code >= UNUSABLE {
        bail!("{shown} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{shown} wrote something else than JSON:\n{}", String::from_utf8_lossy(&output.stderr).trim())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_that_differs_from_the_manifest_is_noticed() {
        let source = Source {
            name: "mine".into(),
            version: "0.2.0".into(),
            folder: "/mine".into(),
            language: source::Language::Rust { workspace: "/mine".into() },
        };
        same_as_manifest(&json!({"name": "mine", "version": "0.2.0"}), &source).expect("the same");
        let error = same_as_manifest(&json!({"name": "mine", "version": "0.1.0"}), &source).expect_err("older");
        assert_eq!(error.to_string(), "`describe` of engine `mine` gives `0.1.0` as version, its manifest `0.2.0`");
    }

    #[test]
    fn what_the_host_writes_is_read_also_when_the_engine_gave_no_report() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            json(command)
        };
        assert_eq!(shell("echo '{\"a\":1}'; exit 1").expect("read")["a"], 1);
        let error = shell("echo 'no such file' >&2; exit 2").expect_err("could not be run").to_string();
        assert!(error.contains("no such file"), "{error}");
    }
}
