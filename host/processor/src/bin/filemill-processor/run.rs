//! `run`: a processor node that has joined, or whose server, token and pool are named.

use std::path::PathBuf;

use clap::Args;
use filemill_processor::{NodeError, Origin, ProcessorFolder, Token};
use url::Url;

use super::joined;
use super::limits::EXAMPLE;
use super::node::{NodeArgs, Place, prepare};

/// What `run --help` ends with.
const LIMITS_HELP: &str = "\
What a file for --limits may hold. Releases are named by their digest, or as local/NAME; what is left out stays as it is by default.

{EXAMPLE}

Limits: memory_bytes, cpu_ms, cpu_ms_per_mib, wall_ms, wall_ms_per_mib, output_bytes, findings, artifacts, artifact_bytes, log_lines,
log_bytes, host_calls, read_bytes; for the compiler: wall_ms, cpu_ms, memory_bytes.";

#[derive(Args)]
#[command(after_long_help = LIMITS_HELP.replace("{EXAMPLE}", EXAMPLE))]
pub(crate) struct RunArgs {
    /// The folder of a processor that has joined, if it is not the user's own: with it, or without all of the next four, server, token
    /// and pool are those that `join` left there.
    #[arg(long, env = "FILEMILL_PROCESSOR_DIR", conflicts_with = "server")]
    dir: Option<PathBuf>,
    /// The server, for example https://filemill.example.org.
    #[arg(long, env = "FILEMILL_SERVER", requires_all = ["token_file", "pool", "storage_origins"])]
    server: Option<Url>,
    /// A file with a token of scope `processor`.
    #[arg(long, env = "FILEMILL_TOKEN_FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// The pool's folder, made by `pool init`.
    #[arg(long, env = "FILEMILL_POOL", requires = "server")]
    pool: Option<PathBuf>,
    /// Where presigned URLs may point to, for example https://s3.example.org; repeat it for several.
    #[arg(long = "storage-origin", env = "FILEMILL_STORAGE_ORIGINS", value_delimiter = ',', requires = "server")]
    storage_origins: Vec<Origin>,
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs the command.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<()> {
    let RunArgs { dir, server, token_file, pool, storage_origins, node } = args;
    match (server, token_file, pool) {
        (Some(server), Some(token_file), Some(pool)) => {
            let ready = prepare(Place { server, pool, storage_origins, cache: None }, node)?;
            ready.start(Token::read(&token_file).map_err(NodeError::from)?)
        }
        _ => joined::run(&ProcessorFolder::at(dir)?, node),
    }
}
