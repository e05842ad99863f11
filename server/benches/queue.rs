//! Jobs leased and completed through the HTTP API of a real `filemill-server`: `cargo xtask bench queue`.
//!
//! The server runs as its own process, on SQLite or PostgreSQL; this program plays all the uploaders and processors over
//! loopback, on the same cores. Objects are not stored: what is measured is the API, the rules and the database. Each
//! scenario prints one JSON object on a line of its own.

#[path = "queue/load.rs"]
mod load;
#[path = "queue/prepared.rs"]
mod prepared;
#[path = "queue/served.rs"]
mod served;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use load::{Load, Shape};
use served::Served;

/// Measures the queue through the HTTP API.
#[derive(Parser)]
struct Options {
    /// A PostgreSQL server to make a fresh database on; none: SQLite.
    #[arg(long)]
    database_url: Option<String>,
    /// The server to measure; the one that was built with this if absent.
    #[arg(long)]
    server: Option<std::path::PathBuf>,
    /// A folder that keeps what is made before each measurement, organisations and their tokens: each is of a copy of that. For one
    /// server, one kind of database on one PostgreSQL, and one number of organisations.
    #[arg(long)]
    prepared: Option<std::path::PathBuf>,
    /// The component to publish as the release that the jobs name.
    #[arg(long)]
    component: std::path::PathBuf,
    /// How the uploads look.
    #[arg(long, value_enum)]
    shape: Shape,
    /// Among how many organisations the uploads are spread.
    #[arg(long, default_value_t = 1)]
    organisations: usize,
    /// Jobs to put in before the measurement begins.
    #[arg(long)]
    jobs: usize,
    /// Processors that lease and complete.
    #[arg(long, default_value_t = 8)]
    processors: usize,
    /// Jobs asked for in one lease.
    #[arg(long, default_value_t = 256)]
    max_jobs: u32,
    /// Beside the flood, a three-file upload of another organisation comes this often, in milliseconds.
    #[arg(long)]
    small_every_ms: Option<u64>,
    /// The small uploads are a colleague's, in the first organisation of the flood.
    #[arg(long, requires = "small_every_ms")]
    colleague: bool,
    /// The measurement ends after this time at the latest, in seconds.
    #[arg(long, default_value_t = 60)]
    limit_s: u64,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let served = Served::start(&options).await.context("cannot start the server to measure")?;
    let load = Load::new(&served, &options)?;
    load.announce_pool().await.context("cannot announce the pool")?;
    let put_in = load.enqueue(options.jobs).await.context("cannot put the jobs in")?;
    let drained = load.drain(Duration::from_secs(options.limit_s)).await.context("cannot lease and complete")?;
    let line = json!({
        "database": if options.database_url.is_some() { "postgresql" } else { "sqlite" },
        "shape": options.shape.name(),
        "organisations": options.organisations,
        "small_by": options.small_every_ms.map(|_| if options.colleague { "a colleague" } else { "another organisation" }),
        "processors": options.processors,
        "max_jobs": options.max_jobs,
        "enqueued": put_in.jobs,
        "enqueued_per_s": put_in.per_second(),
        "completed": drained.rate.jobs,
        "completed_per_s": drained.rate.per_second(),
        "small_uploads": drained.small_waits_ms.len(),
        "small_wait_p50_ms": percentile(&drained.small_waits_ms, 50),
        "small_wait_p99_ms": percentile(&drained.small_waits_ms, 99),
        "server_cpu_s": served.cpu_seconds()?,
        "server_rss_mib": served.resident_mib()?,
    });
    served.stop().await?;
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, format!("{line}\n").as_bytes())?;
    Ok(())
}

/// The nearest-rank percentile of values in any order; none of none.
fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}
