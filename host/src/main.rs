//! `filemill-processor`: makes pools, and runs processor nodes.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use filemill_host::node::{self, NodeConfig, NodeError, Origin, Token};
use filemill_host::pool::{PoolFolder, PoolFolderError, Renewal};
use filemill_host::{CacheConfig, Limits, Runtime, RuntimeConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;
use url::Url;

/// Compiled engines that are kept, in bytes: some hundred Rust engines, or ten that embed an interpreter.
const CACHE_BYTES: u64 = 1 << 30;

/// How long the end waits for what still blocks a thread.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Pulls sealed files from a filemill server and runs engines over them. Listens on nothing.
#[derive(Parser)]
#[command(version)]
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
    /// Run a processor until SIGTERM or SIGINT.
    Run(RunArgs),
}

#[derive(Subcommand)]
enum PoolCommand {
    /// Make a pool and print the enrolment file for its clients.
    Init {
        /// The folder to make, readable by its owner only.
        #[arg(long)]
        dir: PathBuf,
        /// The pool's name.
        #[arg(long)]
        name: String,
        /// How long a signed recipient is valid, 1 to 30 days.
        #[arg(long, default_value_t = 7)]
        lifetime_days: u32,
    },
    /// Sign a new recipient statement; running processors publish it within a minute.
    Renew {
        /// The pool's folder, with its root.
        #[arg(long)]
        dir: PathBuf,
        /// Make a new identity, after a node was revoked for example. Former ones still open what was sealed for them.
        #[arg(long)]
        rotate: bool,
        /// How long it is valid from now on, 1 to 30 days; as before if not given.
        #[arg(long)]
        lifetime_days: Option<u32>,
    },
    /// Say what the folder holds. Shows no secret.
    Show {
        /// The pool's folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Args)]
struct RunArgs {
    /// The server, for example https://filemill.example.org.
    #[arg(long, env = "FILEMILL_SERVER")]
    server: Url,
    /// A file with a token of scope `processor`.
    #[arg(long, env = "FILEMILL_TOKEN_FILE")]
    token_file: PathBuf,
    /// The pool's folder, made by `pool init`.
    #[arg(long, env = "FILEMILL_POOL")]
    pool: PathBuf,
    /// Where presigned URLs may point to, for example https://s3.example.org; repeat it for several.
    #[arg(long = "storage-origin", env = "FILEMILL_STORAGE_ORIGINS", value_delimiter = ',', required = true)]
    storage_origins: Vec<Origin>,
    /// Where compiled engines are kept from start to start; without it they are compiled at each.
    #[arg(long, env = "FILEMILL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Engines that run at once; the number of cores if not given.
    #[arg(long)]
    slots: Option<usize>,
    /// Bytes of file content held at once, plain or with KiB, MiB or GiB.
    #[arg(long, default_value = "48MiB", value_parser = bytes)]
    memory_budget: usize,
    /// The node's name in the server's log; this machine's name if not given.
    #[arg(long)]
    node: Option<String>,
    /// How long running jobs may take to end after SIGTERM, in seconds.
    #[arg(long, default_value_t = NodeConfig::GRACE_DEFAULT.as_secs())]
    grace: u64,
    /// Allow http instead of https beyond this machine.
    #[arg(long)]
    allow_plain_http: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.log_json);
    let done = match cli.command {
        Command::Pool(command) => pool(command),
        Command::Run(args) => run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint(&error) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn pool(command: PoolCommand) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        PoolCommand::Init { dir, name, lifetime_days } => {
            let folder = PoolFolder::init(&dir, &name, lifetime_days)?;
            writeln!(out, "{}", folder.enrolment().to_json())?;
        }
        PoolCommand::Renew { dir, rotate, lifetime_days } => {
            let mut folder = PoolFolder::open(&dir)?;
            folder.renew(if rotate { Renewal::NewIdentity } else { Renewal::SameIdentity }, lifetime_days)?;
            show(&mut out, &folder)?;
        }
        PoolCommand::Show { dir } => show(&mut out, &PoolFolder::open(&dir)?)?,
    }
    Ok(())
}

fn show(out: &mut impl io::Write, folder: &PoolFolder) -> io::Result<()> {
    let until = UNIX_EPOCH + Duration::from_secs(folder.not_after());
    let left = folder
        .remaining()
        .map_or_else(|| "expired".to_owned(), |left| format!("{:.1} days left", left.as_secs_f64() / 86_400.0));
    let newest = folder.identities().last().map(|identity| identity.recipient().to_string()).unwrap_or_default();
    writeln!(out, "pool         {}", folder.enrolment().pool())?;
    writeln!(out, "fingerprint  {}", folder.enrolment().fingerprint())?;
    writeln!(out, "recipient    {newest}")?;
    writeln!(out, "serial       {}", folder.serial())?;
    writeln!(
        out,
        "valid until  {} s after 1970 UTC, {left}",
        until.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
    )?;
    writeln!(out, "identities   {}", folder.identities().len())?;
    writeln!(out, "root key     {}", if folder.has_root() { "here" } else { "elsewhere" })?;
    writeln!(out, "enrolment    {}", folder.enrolment().to_json())
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let slots = args.slots.unwrap_or(cores);
    let config = NodeConfig {
        server: args.server,
        token: Token::read(&args.token_file)?,
        pool_dir: args.pool,
        storage_origins: args.storage_origins,
        allow_plain_http: args.allow_plain_http,
        slots,
        memory_budget_bytes: args.memory_budget,
        name: args.node.unwrap_or_else(machine_name),
        grace: Duration::from_secs(args.grace),
        stall: NodeConfig::STALL_DEFAULT,
        limits: Limits::default(),
    };
    let runtime = Runtime::new(RuntimeConfig {
        slots: NodeConfig::runtime_slots(slots),
        cache: args.cache_dir.map(|dir| CacheConfig {
            folder: dir.join("compiled"),
            key_file: dir.join("compiled.key"),
            max_bytes: CACHE_BYTES,
        }),
        ..RuntimeConfig::default()
    })?;
    let network = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(1, 4))
        .enable_all()
        .build()
        .context("no thread can be started for the network")?;
    let done = network.block_on(until_signalled(config, runtime));
    // Dropping it would wait for whatever still blocks one of its threads, for ever on a disk that hangs.
    network.shutdown_timeout(LEFT_BEHIND);
    done
}

/// Runs the node; the first signal ends it in good order, a second at once.
async fn until_signalled(config: NodeConfig, runtime: Runtime) -> anyhow::Result<()> {
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
    let done = node::run(config, runtime, stop).await;
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

fn start_log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    if json {
        log.json().flatten_event(true).init();
    } else {
        log.init();
    }
}

/// What to do about an error, where it says so.
fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<NodeError>() {
        Some(error.hint())
    } else {
        error.downcast_ref::<PoolFolderError>().map(PoolFolderError::hint)
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
