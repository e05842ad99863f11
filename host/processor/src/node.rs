//! The processor node: leases jobs, fetches and opens their chunks, runs engines, seals and completes.
//!
//! It listens on nothing. It talks outward to one server and to the storage origins it was configured with. Here its parts are
//! put together, started, and ended in their order; each is given what it uses and no more.
//!
//! ```text
//! leases ─▶ run: upload (header, release) ─▶ spans ─▶ input: chunks ─▶ slots ─▶ engines ─▶ results
//! leases: renewal of all that are held, returns · pool: the recipient · plugins: engines of this processor's own
//! ```
//!
//! Nothing that stands in this crate logs a file's name, its report or what an engine logged: those are sealed.

mod entry;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use data_encoding::HEXLOWER;
use filemill_api::{OfferAnswer, OfferRequest, paths};
use filemill_runtime::Backend;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::entry::let_in;
use crate::abilities::abilities;
use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::input::{Admission, Fetching, Openers, Streaming, UrlSource};
use crate::leases::{Cooldown, Disputes, End, Leases, Leasing, Prefetch, Renewal, Returns, Work};
use crate::net::{Origins, Server, Storage, ToldBefore, client};
use crate::plugins::{self, PluginParts};
use crate::pool::{Keys, PoolFolder, Publishing};
use crate::releases::{Backends, Describing, NamedLimits, Releases};
use crate::results::{Completing, Completions};
use crate::run::{Attending, Conclusion, Parts, Workers};
use crate::shutdown::Shutdown;
use crate::slots::Slots;
use crate::telemetry::{Counters, Metrics, MetricsError, Totals};

/// How often the totals are logged, where they changed.
const TOTALS_EVERY: Duration = Duration::from_secs(60);
/// How long it may take to say that nothing is offered any more.
const LAST_OFFER: Duration = Duration::from_secs(2);
/// How long the last words may take: results and leases handed back.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs a node until `stop` is cancelled, then ends its work: running jobs are given [`NodeConfig::grace`], the rest is
/// handed back. What kinds of engines it runs is what `backends` run, each of which has to be able to hold
/// [`NodeConfig::runtime_slots`] runs at once.
///
/// Once it has started, it does not give up: whatever goes away is tried again, and said once.
///
/// # Errors
///
/// [`NodeError`], where it cannot start: a setting, the pool's folder, or a token that the server refuses.
pub async fn run(
    config: NodeConfig,
    backends: Vec<Arc<dyn Backend>>,
    stop: CancellationToken,
) -> Result<Totals, NodeError> {
    config.check()?;
    let backends = Backends::new(backends);
    let abilities = abilities(&backends, &config.abilities)?;
    let folder = PoolFolder::open(&config.pool_dir)?;
    let client = client().map_err(|error| NodeError::Http(error.to_string()))?;
    let (id, pool) = (format!("{}-{}", config.name, start_number()), folder.enrolment().pool().to_owned());
    let server = Arc::new(Server::new(client.clone(), &config.server, config.token.clone(), id.clone(), pool.clone()));
    if !let_in(&server, &config, &stop).await? {
        return Ok(Totals::default());
    }

    let (shutdown, tasks) = (Shutdown::default(), TaskTracker::new());
    let counters = Arc::new(Counters::default());
    let metrics = config.metrics_url.as_ref();
    let metrics = metrics
        .map(|url| Metrics::start(url, client.clone(), (&id, &pool), Arc::clone(&counters)).map(Arc::new))
        .transpose()
        .map_err(|MetricsError(why)| NodeError::Metrics(why))?;

    // What leaves this machine.
    let storage = Arc::new(Storage::new(client, Origins::new(config.storage_origins.clone())));
    let (told, keys) = (Arc::new(ToldBefore::new()), Arc::new(Keys::new(&folder)));

    // Leases.
    let leases = Arc::new(Leases::new(Arc::clone(&counters)));
    let (prefetch, cooldown, disputes) =
        (Arc::new(Prefetch::new(config.slots)), Arc::new(Cooldown::new()), Arc::new(Disputes::new()));
    let (returns, returning) =
        Returns::channel(Arc::clone(&server), Arc::clone(&leases), Arc::clone(&counters), shutdown.clone());
    let (renewal, renewing) =
        Renewal::channel(Arc::clone(&server), Arc::clone(&leases), Arc::clone(&returns), shutdown.clone());

    // Releases.
    let stack_bytes = backends.thread_stack_bytes();
    let limits = Arc::new(NamedLimits::new(config.limits.clone()));
    let releases = Arc::new(Releases::new(
        backends,
        Arc::clone(&server),
        Arc::clone(&storage),
        Arc::clone(&limits),
        config.kept_code_bytes,
    ));

    // Input.
    let slots = Arc::new(Slots::new(config.slots));
    let streaming = Arc::new(Streaming::new(config.slots));
    let (openers, opening) = Openers::start(config.slots).map_err(NodeError::Thread)?;
    let fetching = Fetching::new(Arc::clone(&storage), config.memory_budget_bytes, openers, Arc::clone(&counters));
    let fetching = Arc::new(fetching);
    let close = {
        let (slots, fetching) = (Arc::clone(&slots), Arc::clone(&fetching));
        move || {
            slots.close();
            fetching.close();
        }
    };

    // Results, and the threads that make them.
    let (completions, submitted) = Completions::channel();
    let completions = Arc::new(completions);
    let completing = Completing {
        server: Arc::clone(&server),
        storage: Arc::clone(&storage),
        leases: Arc::clone(&leases),
        cooldown: Arc::clone(&cooldown),
        counters: Arc::clone(&counters),
    };
    let workers = Arc::new(Workers {
        slots: Arc::clone(&slots),
        prefetch: Arc::clone(&prefetch),
        limits: Arc::clone(&limits),
        counters: Arc::clone(&counters),
        metrics: metrics.clone(),
    });
    let threads = workers.start(2 * config.slots, stack_bytes).inspect_err(|_| close()).map_err(NodeError::Thread)?;
    tracing::info!(node = id, pool, slots = config.slots, server = %config.server, "running");

    // What a lease begins.
    let attending = Arc::new(Attending {
        pool,
        admission: Admission::new(Arc::clone(&storage), Arc::clone(&server), Arc::clone(&keys), Arc::clone(&counters)),
        releases: Arc::clone(&releases),
        disputes: Arc::clone(&disputes),
        fetching,
        urls: Arc::new(UrlSource {
            server: Arc::clone(&server),
            leases: Arc::clone(&leases),
            streaming: Arc::clone(&streaming),
            slots: Arc::clone(&slots) as _,
            stall: config.stall,
        }),
        parts: Arc::new(Parts {
            slots: Arc::clone(&slots),
            renewal: Arc::clone(&renewal),
            completions,
            streaming,
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        }),
        conclusion: Conclusion { returns, cooldown: Arc::clone(&cooldown) },
    });
    let describing = Arc::new(Describing {
        server: Arc::clone(&server),
        releases: Arc::clone(&releases),
        told: Arc::clone(&told),
        shutdown: shutdown.clone(),
    });
    let leasing = Leasing {
        server: Arc::clone(&server),
        told: Arc::clone(&told),
        leases: Arc::clone(&leases),
        renewal,
        prefetch,
        cooldown,
        disputes,
        counters: Arc::clone(&counters),
        slot_count: config.slots,
        abilities,
    };
    let beginning = tasks.clone();
    let begin = move |work| match work {
        Work::Run { leased, leases, answered_at } => {
            drop(beginning.spawn(Arc::clone(&attending).upload(leased, leases, answered_at)));
        }
        Work::Describe(digests) => {
            let describing = Arc::clone(&describing);
            drop(beginning.spawn(async move { describing.run(digests).await }));
        }
    };

    // The last words outlive the work: whatever ends it must still be able to say so.
    let (work, words, pulse) = (TaskTracker::new(), TaskTracker::new(), TaskTracker::new());
    let (finish_completions, finish) = (CancellationToken::new(), CancellationToken::new());
    work.spawn(leasing.run(begin, stop.clone()));
    let publishing = Publishing { server: Arc::clone(&server), keys, told: Arc::clone(&told) };
    work.spawn(publishing.run(folder, stop.clone()));
    if let Some(dir) = config.engines_dir.clone() {
        let (server, releases) = (Arc::clone(&server), Arc::clone(&releases));
        work.spawn(plugins::run(PluginParts { server, storage, releases, limits, told }, dir, stop.clone()));
    }
    words.spawn(completing.run(submitted, finish_completions.clone()));
    pulse.spawn(returning.run(finish.clone()));
    work.spawn(tell_totals(Arc::clone(&counters), stop.clone()));
    pulse.spawn(renewing.run(finish.clone()));

    stop.cancelled().await;
    tracing::info!(grace_s = config.grace.as_secs(), "stopping: running jobs are ended, the rest is handed back");
    shutdown.drain();
    slots.close();
    work.close();
    work.wait().await;
    sign_off(&server).await;
    end_work(&tasks, &leases, &shutdown, config.grace).await;
    releases.end().await;
    close();
    join(threads.into_iter().chain(opening).collect()).await;
    finish_completions.cancel();
    words.close();
    let said = timeout(LAST_WORDS, words.wait()).await;
    finish.cancel();
    pulse.close();
    let returned = timeout(LAST_WORDS, pulse.wait()).await;
    if said.is_err() || returned.is_err() || !leases.is_empty() {
        tracing::warn!("the server did not answer in time: what it does not know is leased again later");
    }
    push_metrics(metrics).await;
    let totals = counters.read();
    tracing::info!("stopped: {totals}");
    Ok(totals)
}

/// Gives the collector what it has not been given yet.
async fn push_metrics(metrics: Option<Arc<Metrics>>) {
    let Some(metrics) = metrics else { return };
    if let Err(error) = tokio::task::spawn_blocking(move || metrics.stop()).await {
        tracing::warn!(%error, "the last metrics could not be pushed");
    }
}

/// Logs what the node has done, now and then.
async fn tell_totals(counters: Arc<Counters>, stop: CancellationToken) {
    let mut told = counters.read();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TOTALS_EVERY) => {}
        }
        let totals = counters.read();
        if totals != told {
            tracing::info!("so far: {totals}");
            told = totals;
        }
    }
}

/// Waits for the runs in hand; what has not ended after `grace` is cancelled and handed back.
async fn end_work(tasks: &TaskTracker, leases: &Leases, shutdown: &Shutdown, grace: Duration) {
    tasks.close();
    if timeout(grace, tasks.wait()).await.is_ok() {
        return;
    }
    shutdown.abort();
    if timeout(LAST_WORDS, tasks.wait()).await.is_err() {
        for lease in leases.all() {
            leases.end(&lease, End::Returned);
        }
    }
}

/// Says that this node asks for no more work and takes back what it offers, so that nobody is told to wait for it.
async fn sign_off(server: &Server) {
    let request = OfferRequest { node: server.node().to_owned(), engines: Vec::new(), stopping: true };
    let path = paths::ENGINES.replace("{pool}", server.pool());
    // Where it is not heard, the server finds out when the node is not seen any more.
    let _ = timeout(LAST_OFFER, server.put::<OfferAnswer>(&path, &request)).await;
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
