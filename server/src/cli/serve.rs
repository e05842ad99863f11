//! `serve`: runs until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use filemill_server::queue::QueueConfig;
use filemill_server::{Config, Server};
use tokio::signal::unix::{SignalKind, signal};

use super::output;
use super::place::{PlaceArguments, lifetime};

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: PlaceArguments,
    /// Where the API listens. Default: loopback, at the former port of --embedded if it is free, otherwise at any.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the storage endpoint of --embedded listens. Default: as for --listen.
    #[arg(long, value_name = "ADDRESS")]
    s3_listen: Option<SocketAddr>,
    /// How long a processor holds jobs without a report, in seconds: how late the jobs of one that died are noticed.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "FILEMILL_LEASE_SECONDS",
        default_value_t = QueueConfig::default().lease.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    lease_seconds: u64,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // Before anything is started: a signal that comes meanwhile counts.
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        filemill_server::raise_descriptor_limit();
        let mut config = Config::new(self.place.place(self.s3_listen, lifetime())?);
        config.listen = self.listen;
        config.domains.queue.lease = Duration::from_secs(self.lease_seconds);
        let server = Server::start(config).await?;
        output::print_json(&serde_json::to_string(server.addresses())?)?;
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("SIGINT"),
            _ = terminate.recv() => tracing::info!("SIGTERM"),
        }
        server.shutdown().await;
        Ok(())
    }
}
