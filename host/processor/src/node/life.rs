//! A node's life: from its first question to its last answer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use data_encoding::HEXLOWER;
use filemill_api::{OfferAnswer, OfferRequest, paths};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::allowed::Allowed;
use super::backoff::Backoff;
use super::chunks::ChunkStore;
use super::completions::{self, Completions};
use super::config::NodeConfig;
use super::disputes::Disputes;
use super::faults::Faults;
use super::keys::Keys;
use super::lease::Leases;
use super::metrics::Metrics;
use super::openers::Openers;
use super::origins::{Origin, StorageOrigins};
use super::pace::Pace;
use super::releases::Releases;
use super::reports::{self, Reports};
use super::returns::{self, Returns};
use super::server::{CallError, Server};
use super::slots::Slots;
use super::storage::Storage;
use super::streaming::Streaming;
use super::told::ToldBefore;
use super::totals::{Counters, Totals};
use super::upload::Uploads;
use super::{Node, NodeError, guests, http, leasing, plugins, publish};
use crate::pool::PoolFolder;
use filemill_runtime::Runtime;

/// Objects fetched at once.
const FETCHES: usize = 16;
/// How often the totals are logged, where they changed.
const TOTALS_EVERY: Duration = Duration::from_secs(60);
/// How long it may take to say that nothing is offered any more.
const LAST_OFFER: Duration = Duration::from_secs(2);
/// How long the last words may take: results and leases handed back.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs a node until `stop` is cancelled, then ends its work: running jobs are given [`NodeConfig::grace`], the rest is
/// handed back. `runtime` needs [`NodeConfig::runtime_slots`] slots.
///
/// Once it has started, it does not give up: whatever goes away is tried again, and said once.
///
/// # Errors
///
/// [`NodeError`], where it cannot start: a setting, the pool's folder, or a token that the server refuses.
pub async fn run(config: NodeConfig, runtime: Runtime, stop: CancellationToken) -> Result<Totals, NodeError> {
    config.check()?;
    let folder = PoolFolder::open(&config.pool_dir)?;
    let client = http::client()?;
    let server = Server::new(client.clone(), &config.server, config.token.clone());
    if !let_in(&server, &config, folder.enrolment().pool(), &stop).await? {
        return Ok(Totals::default());
    }

    let (openers, opening) = Openers::start(config.slots).map_err(NodeError::Thread)?;
    let (reports, reported) = Reports::channel();
    let (returns, returned) = Returns::channel();
    let (completions, handed_in) = Completions::channel();
    let allowed = Arc::new(Allowed::new(config.limits.clone()));
    let (id, pool) = (format!("{}-{}", config.name, start_number()), folder.enrolment().pool().to_owned());
    let counters = Arc::new(Counters::default());
    let metrics = config.metrics_url.as_ref();
    let metrics =
        metrics.map(|url| Metrics::start(url, client.clone(), (&id, &pool), Arc::clone(&counters))).transpose()?;
    let node = Arc::new(Node {
        id,
        pool,
        allowed: Arc::clone(&allowed),
        stall: config.stall,
        slot_count: config.slots,
        server,
        storage: Storage::new(client, StorageOrigins::new(config.storage_origins.clone())),
        keys: Keys::new(&folder),
        told: ToldBefore::new(),
        uploads: Uploads::new(),
        releases: Releases::new(runtime, allowed, config.kept_code_bytes),
        chunks: Arc::new(ChunkStore::new(config.memory_budget_bytes)),
        leases: Leases::new(),
        slots: Arc::new(Slots::new(config.slots)),
        reports,
        returns,
        completions,
        pace: Pace::new(config.slots),
        faults: Faults::new(),
        disputes: Disputes::new(),
        counters,
        metrics,
        fetches: Semaphore::new(FETCHES),
        openers,
        streams: Streaming::new(config.slots),
        pairs: Mutex::new(()),
        tasks: TaskTracker::new(),
        drain: CancellationToken::new(),
        abort: CancellationToken::new(),
    });
    let threads = guests::start(&node, 2 * config.slots).inspect_err(|_| close(&node)).map_err(NodeError::Thread)?;
    tracing::info!(node = node.id, pool = node.pool, slots = config.slots, server = %config.server, "running");

    // The last words outlive the work: whatever ends it must still be able to say so.
    let (work, words, pulse) = (TaskTracker::new(), TaskTracker::new(), TaskTracker::new());
    let (finish_completions, finish) = (CancellationToken::new(), CancellationToken::new());
    work.spawn(leasing::run(Arc::clone(&node), stop.clone()));
    work.spawn(publish::run(Arc::clone(&node), folder, stop.clone()));
    if let Some(dir) = config.engines_dir.clone() {
        work.spawn(plugins::run(Arc::clone(&node), dir, stop.clone()));
    }
    words.spawn(completions::run(Arc::clone(&node), handed_in, finish_completions.clone()));
    pulse.spawn(returns::run(Arc::clone(&node), returned, finish.clone()));
    work.spawn(tell_totals(Arc::clone(&node), stop.clone()));
    pulse.spawn(reports::run(Arc::clone(&node), reported, finish.clone()));

    stop.cancelled().await;
    tracing::info!(grace_s = config.grace.as_secs(), "stopping: running jobs are ended, the rest is handed back");
    node.drain.cancel();
    node.slots.close();
    work.close();
    work.wait().await;
    sign_off(&node).await;
    end_work(&node, config.grace).await;
    node.releases.end().await;
    close(&node);
    join(threads.into_iter().chain(opening).collect()).await;
    finish_completions.cancel();
    words.close();
    let said = timeout(LAST_WORDS, words.wait()).await;
    finish.cancel();
    pulse.close();
    let returned = timeout(LAST_WORDS, pulse.wait()).await;
    if said.is_err() || returned.is_err() || !node.leases.is_empty() {
        tracing::warn!("the server did not answer in time: what it does not know is leased again later");
    }
    push_metrics(&node).await;
    let totals = node.counters.read();
    tracing::info!("stopped: {totals}");
    Ok(totals)
}

/// Gives the collector what it has not been given yet.
async fn push_metrics(node: &Arc<Node>) {
    let node = Arc::clone(node);
    let pushed = tokio::task::spawn_blocking(move || {
        if let Some(metrics) = &node.metrics {
            metrics.stop();
        }
    });
    if let Err(error) = pushed.await {
        tracing::warn!(%error, "the last metrics could not be pushed");
    }
}

/// Logs what the node has done, now and then.
async fn tell_totals(node: Arc<Node>, stop: CancellationToken) {
    let mut told = node.counters.read();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TOTALS_EVERY) => {}
        }
        let totals = node.counters.read();
        if totals != told {
            tracing::info!("so far: {totals}");
            told = totals;
        }
    }
}

/// Asks who the token stands for, for as long as the server is away; `false` if `stop` came first.
async fn let_in(server: &Server, config: &NodeConfig, pool: &str, stop: &CancellationToken) -> Result<bool, NodeError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let who = loop {
        let answer = tokio::select! {
            () = stop.cancelled() => return Ok(false),
            answer = server.first_answer() => answer,
        };
        match answer {
            Ok(who) => break who,
            Err(error) if error.is_transient() && !error.is_unauthorised() => {}
            Err(error) => {
                let server = Origin::of(&config.server).to_string();
                return Err(match error {
                    CallError::Foreign(status) => {
                        let why = format!("it answers {status} without a reason that this program can read");
                        NodeError::NoServer { server, why }
                    }
                    // Without the server's hint: the error has its own.
                    CallError::Refused { status, body } => {
                        NodeError::Refused { server, message: format!("it answers {status}: {}", body.message) }
                    }
                    CallError::Malformed(why) => NodeError::NoServer { server, why },
                    away @ CallError::Away(_) => NodeError::Refused { server, message: away.to_string() },
                });
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = backoff.wait() => {}
        }
    };
    if who.scope != "processor" {
        return Err(NodeError::Scope { scope: who.scope });
    }
    if let Some(token) = who.pool.filter(|token| token != pool) {
        return Err(NodeError::OtherPool { token, pool: pool.to_owned() });
    }
    check_origins(&who.storage_origins, &config.storage_origins)?;
    Ok(true)
}

/// Compares where the server stores with where this node may go. With nothing in common every job would be leased only to be
/// handed back, until the server takes that for the job's fault.
fn check_origins(stored_on: &[String], configured: &[Origin]) -> Result<(), NodeError> {
    let origins: Vec<Origin> = stored_on.iter().filter_map(|origin| origin.parse().ok()).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = origins.iter().partition(|origin| configured.contains(origin));
    if known.is_empty()
        && let Some(first) = unknown.first()
    {
        let configured: Vec<_> = configured.iter().map(ToString::to_string).collect();
        return Err(NodeError::OtherOrigin { stored_on: first.to_string(), configured: configured.join(", ") });
    }
    for origin in unknown {
        tracing::warn!(
            "the server stores on `{origin}`, which is not configured here: such chunks are not fetched \
             (hint: add --storage-origin {origin} if you trust it)"
        );
    }
    Ok(())
}

/// Waits for the runs in hand; what has not ended after `grace` is cancelled and handed back.
async fn end_work(node: &Node, grace: Duration) {
    node.tasks.close();
    if timeout(grace, node.tasks.wait()).await.is_ok() {
        return;
    }
    node.abort.cancel();
    if timeout(LAST_WORDS, node.tasks.wait()).await.is_err() {
        for lease in node.leases.all() {
            node.leases.end(&lease, super::lease::End::Returned);
        }
    }
}

/// Says that this node asks for no more work and takes back what it offers, so that nobody is told to wait for it.
async fn sign_off(node: &Node) {
    let request = OfferRequest { node: node.id.clone(), engines: Vec::new(), stopping: true };
    let path = paths::ENGINES.replace("{pool}", &node.pool);
    // Where it is not heard, the server finds out when the node is not seen any more.
    let _ = timeout(LAST_OFFER, node.server.put::<OfferAnswer>(&path, &request)).await;
}

/// Lets the threads end.
fn close(node: &Node) {
    node.slots.close();
    node.openers.close();
}

/// Joins the threads; they end when their jobs do, and those have ended or were cancelled.
async fn join(threads: Vec<JoinHandle<()>>) {
    let joining = tokio::task::spawn_blocking(move || {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread panicked");
            }
        }
    });
    if timeout(LAST_WORDS, joining).await.is_err() {
        tracing::warn!("a job does not end: it is left behind");
    }
}

/// Eight hex digits that tell this start from others of the same name.
fn start_number() -> String {
    let mut bytes = [0; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes = std::process::id().to_be_bytes();
    }
    HEXLOWER.encode(&bytes)
}
