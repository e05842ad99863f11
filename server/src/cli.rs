//! The command line.

mod describe;
mod engines;
mod join_code;
mod output;
mod place;
mod pool;
mod release;
mod serve;
mod token;

use anyhow::Context;
use clap::{Parser, Subcommand};
use filemill_server::{AdminError, StartError};
use filemill_text::LogLine;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Files in, private results out: the server.
#[derive(Debug, Parser)]
#[command(name = "filemill-server", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGINT or SIGTERM.
    Serve(serve::Serve),
    /// Make, list and revoke tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Make, list and take back one-time codes, by which processors join and people log in.
    #[command(subcommand)]
    JoinCode(join_code::JoinCode),
    /// Say which roots pools have and whom they serve, and list the pools.
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Publish and list engine releases.
    #[command(subcommand)]
    Release(release::Release),
    /// Print the OpenAPI document.
    Openapi,
}

/// Does what was asked.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Serve(serve) => serve.run().await,
        Command::Token(token) => token.run().await,
        Command::JoinCode(code) => code.run().await,
        Command::Pool(pool) => pool.run().await,
        Command::Release(release) => release.run().await,
        Command::Openapi => output::print(&filemill_server::openapi_document()),
    }
}

/// Logs to standard error, by `FILEMILL_LOG` (as `RUST_LOG`), otherwise at `info`.
///
/// Libraries that handle signatures and credentials are held to warnings whatever it says, and the S3 server, which
/// logs requests, to nothing: no log level turns secrets on.
pub(crate) fn log() -> anyhow::Result<()> {
    let asked = std::env::var("FILEMILL_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&asked).with_context(|| format!("FILEMILL_LOG `{asked}` is not a filter"))?;
    let discreet = filter_fn(|metadata: &Metadata<'_>| *metadata.level() <= most_for(metadata.target()));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(LogLine::text).with_ansi(false).with_filter(filter.and(discreet));
    tracing_subscriber::registry().with(lines).try_init()?;
    Ok(())
}

fn most_for(target: &str) -> LevelFilter {
    match target.split("::").next().unwrap_or_default() {
        "s3s" => LevelFilter::OFF,
        "hyper" | "hyper_util" | "h2" | "rustls" => LevelFilter::WARN,
        library if library.starts_with("aws_") => LevelFilter::WARN,
        _ => LevelFilter::TRACE,
    }
}

/// What to do about an error, if it says.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<StartError>() {
        return error.hint().map(ToOwned::to_owned);
    }
    if error.downcast_ref::<release::NoProcessor>().is_some() {
        return Some(describe::HINT.to_owned());
    }
    if error.downcast_ref::<release::Renamed>().is_some() {
        return Some("leave --engine out, or say --rename if every user of that engine is to get this one".to_owned());
    }
    if error.downcast_ref::<token::NoToken>().is_some() {
        return Some("`filemill-server token list` has the numbers".to_owned());
    }
    if error.downcast_ref::<join_code::NoCode>().is_some() {
        return Some("`filemill-server join-code list` has the numbers".to_owned());
    }
    match error.downcast_ref::<AdminError>()? {
        AdminError::Start(error) => error.hint().map(ToOwned::to_owned),
        _ => None,
    }
}
