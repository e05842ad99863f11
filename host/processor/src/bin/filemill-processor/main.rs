//! `filemill-processor`: makes pools, runs processor nodes, and runs engines over local files for their developers.

mod engine;
mod join;
mod joined;
mod limits;
mod node;
mod pool;
mod run;
mod sandbox;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use filemill_processor::{EngineFolderError, JoinError, NodeError, PoolFolderError};
use filemill_runtime::{InstallError, RuntimeError, run_compiler};
use filemill_text::LogLine;
use tracing_subscriber::EnvFilter;

use self::engine::EngineCommand;
use self::join::JoinArgs;
use self::joined::OfJoined;
use self::pool::PoolCommand;
use self::run::RunArgs;

/// Pulls sealed files from a filemill server and runs engines over them. Listens on nothing.
#[derive(Parser)]
#[command(name = "filemill-processor", version)]
struct Cli {
    /// Write the log as JSON, one object a line.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make, renew or show the keys that the processors of a pool share.
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Join a server by a one-time code, and run: makes the pool's keys if there are none, and prints how a person logs in. Again, it
    /// runs.
    Join(Box<JoinArgs>),
    /// Run a processor until SIGTERM or SIGINT.
    Run(Box<RunArgs>),
    /// Look at an engine, or run it over a local file as a processor would.
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Print what a component says of itself, as one JSON object: what `filemill-server release publish` stores with it.
    Inspect {
        /// The component, a `.wasm` file, or `-` for standard input.
        component: PathBuf,
        /// Where compiled engines are kept from start to start; without it they are compiled at each.
        #[arg(long, env = "FILEMILL_CACHE_DIR")]
        cache_dir: Option<PathBuf>,
    },
    /// What this program starts itself as, to compile a component apart from everything else.
    #[command(name = sandbox::COMPILE, hide = true)]
    Compile { settings: Vec<String> },
}

fn main() -> ExitCode {
    let cli: Cli = match filemill_text::parsed_or_said() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let done = match cli.command {
        Command::Compile { settings } => return run_compiler(&settings),
        Command::Pool(command) => log(cli.log_json, "info", || pool::run(command)),
        Command::Join(args) => log(cli.log_json, "info", || join::run(*args)),
        Command::Run(args) => log(cli.log_json, "info", || run::run(*args)),
        Command::Inspect { component, cache_dir } => {
            log(cli.log_json, "warn", || engine::inspect(&component, cache_dir.as_deref()))
        }
        Command::Engine(command) => match log(cli.log_json, "warn", || engine::run(command)) {
            Ok(code) => return code,
            // Exit code 1 says that the engine gave no report; it did not even come to that.
            Err(error) => return failed(&error, ExitCode::from(2)),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, ExitCode::FAILURE),
    }
}

/// Says what went wrong, and what to do about it.
fn failed(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    filemill_text::tell!("error: {}", filemill_text::chain(error.as_ref()));
    if let Some(hint) = hint(error) {
        filemill_text::tell!("hint: {hint}");
    }
    code
}

/// Starts the log, from `level` on unless `RUST_LOG` says otherwise, and then the command.
fn log<T>(json: bool, level: &str, command: impl FnOnce() -> T) -> T {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    if json {
        log.with_writer(LogLine::json).json().flatten_event(true).init();
    } else {
        log.with_writer(LogLine::text).init();
    }
    command()
}

/// What to do about an error, where it says so.
fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<NodeError>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<OfJoined>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<JoinError>() {
        return Some(error.hint());
    }
    if error.downcast_ref::<join::NotPrinted>().is_some() {
        return Some(join::NOT_PRINTED_HINT.to_owned());
    }
    if error.downcast_ref::<joined::NotJoined>().is_some() {
        return Some(joined::NOT_JOINED_HINT.to_owned());
    }
    if error.downcast_ref::<limits::NoLimits>().is_some() {
        return Some(limits::HINT.to_owned());
    }
    if let Some(error) = error.downcast_ref::<EngineFolderError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(error) = error.downcast_ref::<InstallError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(RuntimeError::Cache(error)) = error.downcast_ref::<RuntimeError>() {
        return Some(error.hint().to_owned());
    }
    error.downcast_ref::<PoolFolderError>().map(PoolFolderError::hint)
}
