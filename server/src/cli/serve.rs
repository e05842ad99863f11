//! `serve`: runs until it is told to stop.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use filemill_server::queue::QueueConfig;
use filemill_server::{Addresses, Admin, Config, Place, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::place::{PlaceArguments, lifetime};
use super::{engines, join_code, output};

/// How long the line for a first processor waits for the engines to be published, so that it is the last that is said.
const ENGINES_WITHIN: Duration = Duration::from_secs(5);
/// How long the end waits for an engine that is published.
const ENGINES_END_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: PlaceArguments,
    /// Where the API listens. Default: loopback, at the former port of --embedded, the first time at any that is free.
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
    /// A folder of engines, each of which is published if it was not before, under the name that it gives itself. Default, with
    /// --embedded: the one that was installed or built together with this program, if there is one. An empty name: none.
    // No `PathBuf`, which may not be empty.
    #[arg(long, value_name = "DIR", env = "FILEMILL_SERVER_ENGINES")]
    engines: Option<OsString>,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // Before anything is started: a signal that comes meanwhile counts.
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        filemill_server::raise_descriptor_limit();
        let place = self.place.place(self.s3_listen, lifetime())?;
        let engines = match self.engines {
            Some(folder) => Some(PathBuf::from(folder)).filter(|folder| !folder.as_os_str().is_empty()),
            None => engines::beside_the_program().filter(|_| matches!(place, Place::Embedded(_))),
        };
        let mut config = Config::new(place.clone());
        config.listen = self.listen;
        config.domains.queue.lease = Duration::from_secs(self.lease_seconds);
        let server = Server::start(config).await?;
        output::print_json(&serde_json::to_string(server.addresses())?)?;
        let (stop, addresses, admin) = (CancellationToken::new(), server.addresses().clone(), server.admin());
        let beside = tokio::spawn({
            let stop = stop.clone();
            async move {
                begin(&admin, &place, engines.as_deref(), &addresses, &stop).await;
                admin.close().await;
            }
        });
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("SIGINT"),
            _ = terminate.recv() => tracing::info!("SIGTERM"),
        }
        stop.cancel();
        let _ = timeout(ENGINES_END_WITHIN, beside).await;
        server.shutdown().await;
        Ok(())
    }
}

/// Gives a server what it needs beside itself: engines, and a first processor. It serves whatever comes of that.
async fn begin(admin: &Admin, place: &Place, engines: Option<&Path>, addresses: &Addresses, stop: &CancellationToken) {
    let mut publishing = pin!(async {
        match engines {
            Some(folder) => engines::publish(admin, place, folder, stop).await,
            None => engines::say_that_there_are_none(admin).await,
        }
    });
    let is_published = timeout(ENGINES_WITHIN, &mut publishing).await.is_ok();
    if matches!(place, Place::Embedded(_)) && !stop.is_cancelled() {
        greet(admin, addresses).await;
    }
    if !is_published {
        publishing.await;
    }
}

/// Says how a first processor joins, while none has. Later, and on a server that is not one machine's own, nobody is given a code unasked.
async fn greet(admin: &Admin, addresses: &Addresses) {
    let made = async {
        match admin.has_processor().await? {
            true => Ok(None),
            false => join_code::first(admin).await.map(Some),
        }
    };
    match made.await {
        Ok(Some(code)) => output::tell(&format!(
            "no processor has joined yet: paste this where one is to run, within ten minutes\n\n\
             filemill-processor join {} --code {} --storage-origin {}\n",
            addresses.listening, code.text, addresses.storage
        )),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            "no code for a first processor: {error} (hint: `filemill-server join-code create --embedded DIR` makes one)"
        ),
    }
}
