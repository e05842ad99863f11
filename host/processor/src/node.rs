//! The processor node: leases jobs, fetches and opens their chunks, runs engines, seals and completes.
//!
//! It listens on nothing. It talks outward to one server and to the storage origins it was configured with.
//!
//! ```text
//! leasing ─▶ attend upload (header, release) ─▶ attend run ─▶ chunks ─▶ slots ─▶ guests ─▶ completions
//!                                                  └─ stream: a file of many chunks, fed while it arrives
//! reports: heartbeats and "started" of all leases · returns: leases handed back · publish: the pool's recipient
//! ```
//!
//! Nothing that stands here logs a file's name, its report or what an engine logged: those are sealed.

mod agreed;
mod allowed;
mod backoff;
mod budget;
mod chunks;
mod clock;
mod completions;
mod config;
mod describe;
mod described;
mod disputes;
mod error;
mod events;
mod faults;
mod fetch;
mod guests;
mod handing_in;
mod http;
mod job;
mod keys;
mod lease;
mod leasing;
mod life;
mod metrics;
mod openers;
mod origins;
mod pace;
mod plugins;
mod publish;
mod releases;
mod reports;
mod results;
mod returns;
mod run;
mod seek;
mod server;
mod server_clock;
mod slots;
mod stop;
mod storage;
mod stream;
mod streaming;
mod told;
mod totals;
mod upload;
mod urls;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::allowed::Allowed;
use self::chunks::ChunkStore;
use self::completions::Completions;
use self::disputes::Disputes;
use self::faults::Faults;
use self::job::Job;
use self::keys::Keys;
use self::lease::{End, Lease, Leases};
use self::openers::Openers;
use self::pace::Pace;
use self::releases::Releases;
use self::reports::Reports;
use self::returns::Returns;
use self::server::Server;
use self::slots::Slots;
use self::stop::Stop;
use self::storage::Storage;
use self::streaming::Streaming;
use self::totals::Counters;
use self::upload::Uploads;

pub use config::{NodeConfig, Token};
pub use error::NodeError;
pub use life::run;
pub use origins::{Origin, OriginError};
pub use plugins::{EngineFolderError, check_engines};
pub use totals::Totals;

/// What the parts of a running node share.
struct Node {
    /// The node's name with a number of its own for this start.
    id: String,
    pool: String,
    allowed: Arc<Allowed>,
    stall: Duration,
    slot_count: usize,

    server: Server,
    storage: Storage,
    keys: Keys,
    told: told::ToldBefore,

    uploads: Uploads,
    releases: Releases,
    chunks: Arc<ChunkStore>,
    leases: Leases,
    slots: Arc<Slots<Job>>,

    reports: Reports,
    returns: Returns,
    completions: Completions,

    pace: Pace,
    faults: Faults,
    disputes: Disputes,
    counters: Arc<Counters>,
    metrics: Option<metrics::Metrics>,

    /// Objects fetched at once.
    fetches: Semaphore,
    /// Chunks are opened on as many threads as there are slots.
    openers: Openers,
    /// Files streamed at once. There are guest threads for as many and for every slot beside them, so that files that lie
    /// in memory always find a thread, and give their memory back.
    streams: Streaming,
    /// Held by the one run that collects two chunks.
    pairs: Mutex<()>,

    /// Attends to uploads, runs and chunks.
    tasks: TaskTracker,
    /// Nothing new is begun.
    drain: CancellationToken,
    /// What still runs is given up.
    abort: CancellationToken,
}

impl Node {
    /// Reports jobs as started, which allows them to run.
    async fn started(&self, lease: &Arc<Lease>, indexes: Vec<u32>) -> Result<(), Stop> {
        if self.drain.is_cancelled() {
            return Err(Stop::ShuttingDown);
        }
        if self.reports.started(lease, indexes).await {
            return Ok(());
        }
        Err(match lease.ended() {
            Some(_) => Stop::Over,
            None => Stop::Fault("the server does not take the report that its jobs start".to_owned()),
        })
    }

    /// What comes of `beginning`, unless nothing new is to be begun.
    async fn unless_draining<T>(&self, beginning: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(Stop::ShuttingDown),
            begun = beginning => Ok(begun),
        }
    }

    /// Why jobs of a lease were dropped unrun.
    fn why_dropped(&self, lease: &Lease) -> Stop {
        if lease.ended().is_some() {
            Stop::Over
        } else if self.drain.is_cancelled() {
            Stop::ShuttingDown
        } else {
            Stop::Fault("a job was not seen through".to_owned())
        }
    }

    /// A lease has passed to another processor, or is no more: everything of it is discarded.
    fn lost(&self, lease: &Lease) {
        if self.leases.end(lease, End::Lost) {
            self.counters.leases_lost.add(1);
            events::event!("lease lost", upload = %lease.upload, run = lease.key.run, fence = lease.key.fence);
        }
    }
}
