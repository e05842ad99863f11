//! A processor node: how it is set up, and run until it is told to stop.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use filemill_processor::{NodeConfig, Origin, Token, check_engines};
use filemill_runtime::{Backend, Runtime, RuntimeConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::limits::LimitsFile;
use super::sandbox::{cache, compiler};

/// How long the end waits for what still blocks a thread.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// How a node works, whatever it belongs to.
#[derive(Args)]
pub(crate) struct NodeArgs {
    /// Where compiled engines are kept from start to start; without it they are compiled at each, but by a processor that has joined,
    /// which keeps them in its folder.
    #[arg(long, env = "FILEMILL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// A folder of engines of this processor's own: each `NAME.wasm` that is copied there is offered to the clients of the pool as
    /// `local/NAME`. The folder `engines` beside the pool's if not given. Nobody else may be able to write to it.
    #[arg(long, env = "FILEMILL_ENGINES")]
    engines: Option<PathBuf>,
    /// A JSON file of what engines may use: `maxima` of all, the `default`, and that of single `releases`. See below.
    #[arg(long, env = "FILEMILL_LIMITS", value_name = "FILE")]
    limits: Option<PathBuf>,
    /// Engines that run at once; the number of cores if not given.
    #[arg(long)]
    slots: Option<usize>,
    /// Bytes of file content held at once, plain or with KiB, MiB or GiB.
    #[arg(long, default_value = "48MiB", value_parser = bytes)]
    memory_budget: usize,
    /// Bytes of compiled engines that are kept in memory for their next jobs, plain or with KiB, MiB or GiB. What was used longest
    /// ago goes first, and what runs stays.
    #[arg(long, env = "FILEMILL_KEPT_ENGINES", default_value = "256MiB", value_parser = bytes)]
    kept_engines: usize,
    /// Where metrics are pushed to: an OTLP endpoint, for example https://otel.example.org/v1/metrics.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value_name = "URL")]
    metrics_url: Option<Url>,
    /// The node's name in the server's log, to which each start adds a number of its own; this machine's name if not given.
    #[arg(long)]
    node: Option<String>,
    /// A name of what this processor has, such as `gpu`: it is leased jobs of releases that need it, too. Repeat it for several.
    #[arg(long = "ability", env = "FILEMILL_ABILITIES", value_delimiter = ',', value_name = "NAME")]
    abilities: Vec<String>,
    /// How long running jobs may take to end after SIGTERM, in seconds.
    #[arg(long, default_value_t = NodeConfig::GRACE_DEFAULT.as_secs())]
    grace: u64,
    /// Allow http instead of https beyond this machine.
    #[arg(long)]
    pub(crate) allow_plain_http: bool,
}

/// Where a node belongs.
pub(crate) struct Place {
    pub(crate) server: Url,
    pub(crate) pool: PathBuf,
    pub(crate) storage_origins: Vec<Origin>,
    /// Where compiled engines are kept, unless somebody says otherwise.
    pub(crate) cache: Option<PathBuf>,
}

/// A node that lacks nothing but its token.
pub(crate) struct Ready {
    config: NodeConfig,
    runtime: Runtime,
}

/// Reads and checks all that can be checked before there is a token.
pub(crate) fn prepare(place: Place, args: NodeArgs) -> anyhow::Result<Ready> {
    let slots = args.slots.unwrap_or_else(cores);
    let limits = args.limits.as_deref().map(LimitsFile::read).transpose()?.unwrap_or_default();
    let defaults = RuntimeConfig::default();
    let engines_dir = match args.engines {
        // One that was asked for has to be good.
        Some(dir) => check_engines(&dir).map(|()| dir)?,
        None => place.pool.parent().unwrap_or(Path::new("")).join("engines"),
    };
    let config = NodeConfig {
        server: place.server,
        token: Token::from(String::new()),
        pool_dir: place.pool,
        storage_origins: place.storage_origins,
        allow_plain_http: args.allow_plain_http,
        slots,
        memory_budget_bytes: args.memory_budget,
        name: args.node.unwrap_or_else(machine_name),
        grace: Duration::from_secs(args.grace),
        stall: NodeConfig::STALL_DEFAULT,
        limits: limits.releases(),
        kept_code_bytes: args.kept_engines,
        engines_dir: Some(engines_dir),
        abilities: args.abilities,
        metrics_url: args.metrics_url,
    };
    config.check()?;
    let runtime = Runtime::new(RuntimeConfig {
        slots: NodeConfig::runtime_slots(slots),
        cache: args.cache_dir.or(place.cache).as_deref().map(cache),
        compiler: compiler(&limits),
        maxima: limits.maxima(),
        component_bytes: limits.component_bytes().unwrap_or(defaults.component_bytes),
        ..defaults
    })?;
    Ok(Ready { config, runtime })
}

impl Ready {
    /// Runs the node until it is told to stop.
    pub(crate) fn start(self, token: Token) -> anyhow::Result<()> {
        let config = NodeConfig { token, ..self.config };
        let network = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores().clamp(1, 4))
            .enable_all()
            .build()
            .context("no thread can be started for the network")?;
        let done = network.block_on(until_signalled(config, vec![Arc::new(self.runtime)]));
        // Dropping it would wait for whatever still blocks one of its threads, for ever on a disk that hangs.
        network.shutdown_timeout(LEFT_BEHIND);
        done
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Runs the node; the first signal ends it in good order, a second at once.
async fn until_signalled(config: NodeConfig, backends: Vec<Arc<dyn Backend>>) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut signals = Signals::new().context("signals cannot be received")?;
    let listening = TaskTracker::new();
    let (on_signal, ended) = (stop.clone(), CancellationToken::new());
    let until = ended.clone();
    listening.spawn(async move {
        tokio::select! {
            () = until.cancelled() => return,
            () = signals.next() => on_signal.cancel(),
        }
        tokio::select! {
            () = until.cancelled() => {}
            () = signals.next() => {
                tracing::warn!("stopped at once by a second signal: leases in hand expire by themselves");
                std::process::exit(130);
            }
        }
    });
    let done = filemill_processor::run(config, backends, stop).await;
    ended.cancel();
    listening.close();
    listening.wait().await;
    done.map(|_| ()).map_err(Into::into)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either. Cancel safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The machine's name, as far as a node's name may have it.
fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let name: String = name.chars().filter(plain).take(48).collect();
    if name.is_empty() { "processor".to_owned() } else { name }
}

/// `98304`, `96KiB`, `96MiB` or `1GiB`.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        unit => return Err(format!("`{unit}` is not B, KiB, MiB or GiB")),
    };
    let number: usize = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than this machine can address".to_owned())
}
