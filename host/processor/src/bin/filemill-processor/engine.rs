//! `engine`: what a component is, and what it says about a local file, in the real sandbox with the real limits.

mod checked;
mod file;
mod json;
mod shown;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use filemill_runtime::{Artifact, Job, Limits, Outcome, Parameters, Run};
use filemill_text::Lines;

use self::checked::{Checked, check};
use self::file::LocalFile;

#[derive(Subcommand)]
pub(crate) enum EngineCommand {
    /// Say what a component is: contract, imports, size, and how it describes itself.
    Check {
        /// The component, a `.wasm` file.
        component: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Run an engine over a file, and print its report, log and what it used.
    ///
    /// The exit code is 0 where there is a report, 1 where the engine ended otherwise, 2 where it could not be run.
    Run(RunArgs),
}

#[derive(Args)]
pub(crate) struct Output {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Where compiled engines are kept from start to start; without it they are compiled at each.
    #[arg(long, env = "FILEMILL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The component, a `.wasm` file.
    component: PathBuf,
    /// The file to analyse.
    file: PathBuf,
    /// A parameter of the engine, as `name=value`; a value that is JSON is taken as such, another as text. Repeat it for
    /// several.
    #[arg(long = "param", value_name = "NAME=VALUE", conflicts_with = "parameters")]
    params: Vec<String>,
    /// All parameters, as one JSON object.
    #[arg(long, value_name = "JSON")]
    parameters: Option<String>,
    /// The folder to save artifacts in; made where it is missing.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The name that the engine is told; that of the file if not given.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Runs the command. The exit code tells how the engine ended.
///
/// # Errors
///
/// When it could not be run at all.
pub(crate) fn run(command: EngineCommand) -> anyhow::Result<ExitCode> {
    let mut out = Lines::on_stdout();
    match command {
        EngineCommand::Check { component, output } => {
            let checked = check(&component, output.cache_dir.as_deref())?;
            if output.json {
                out.json(&json::checked(&checked).to_string())?;
            } else {
                shown::checked(&mut out, &checked)?;
            }
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        EngineCommand::Run(args) => {
            let checked = check(&args.component, args.output.cache_dir.as_deref())?;
            let run = analyse(&checked, &args)?;
            let saved = save(&run, args.out.as_deref())?;
            if args.output.json {
                out.json(&json::run(&run).to_string())?;
            } else {
                shown::run(&mut out, &run, &saved)?;
            }
            out.flush()?;
            Ok(if run.outcome() == Outcome::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Prints what a component says of itself, the document that processors hand out.
///
/// # Errors
///
/// When it cannot be read, compiled, or does not say what it is.
pub(crate) fn inspect(component: &Path, cache_dir: Option<&Path>) -> anyhow::Result<()> {
    let document = check(component, cache_dir)?.description.document();
    let most = filemill_api::limits::MAX_DESCRIPTION_BYTES;
    ensure!(document.len() <= most, "what it says of itself has {} bytes, more than {most}", document.len());
    let mut out = Lines::on_stdout();
    out.json(&document).and_then(|()| out.flush()).context("standard output was closed")
}

fn analyse(checked: &Checked, args: &RunArgs) -> anyhow::Result<Run> {
    let file = LocalFile::open(&args.file)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let job = Job {
        name,
        size: file.size(),
        parameters: parameters(args)?,
        access: checked.description.access,
        ..Job::default()
    };
    Ok(checked.release.run(&job, file, &Limits::default(), ()))
}

fn parameters(args: &RunArgs) -> anyhow::Result<Parameters> {
    if let Some(json) = &args.parameters {
        return Ok(Parameters::parse(json)?);
    }
    let mut object = serde_json::Map::new();
    for param in &args.params {
        let Some((name, value)) = param.split_once('=') else {
            bail!("`--param {param}` is not NAME=VALUE");
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        if object.insert(name.to_owned(), value).is_some() {
            bail!("`--param {name}` is given twice");
        }
    }
    Ok(Parameters::parse(serde_json::Value::Object(object).to_string())?)
}

/// Saves the artifacts, whose names are plain file names, and says where.
fn save(run: &Run, dir: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let (Some(dir), Ok(report)) = (dir, &run.result) else {
        return Ok(Vec::new());
    };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let save = |artifact: &Artifact| {
        let path = dir.join(&artifact.name);
        // A new file that then takes the name: what was there, a link perhaps, is not written through.
        let mut new = tempfile::Builder::new().prefix(".artifact-").tempfile_in(dir)?;
        new.write_all(&artifact.data)?;
        new.persist(&path)?;
        Ok::<_, io::Error>(path)
    };
    report
        .artifacts
        .iter()
        .map(|artifact| save(artifact).with_context(|| format!("cannot save `{}`", artifact.name)))
        .collect()
}
