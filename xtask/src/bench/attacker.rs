//! Somebody with one good token who wants everybody else to wait: what a soak runs beside its users.
//!
//! It does at the same time, and again as soon as the server ends it, whatever one token can do to a server's memory,
//! connections, requests and order. All of it is bounded: the same number of connections whatever comes back. It runs as a process
//! of its own, which a soak puts into a control group, so that what it costs is the server's and not its own processor time.

mod connections;
mod frames;
mod http;
mod storage;
mod uploads;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use http::Target;

/// What to do to whom.
#[derive(Debug, Args)]
pub struct AttackerOptions {
    /// Where the API listens
    #[arg(long)]
    api: SocketAddr,
    /// Where the storage listens
    #[arg(long)]
    storage: SocketAddr,
    /// The file with the token
    #[arg(long)]
    token_file: PathBuf,
    /// Whose token it is
    #[arg(long, value_enum)]
    token: TokenKind,
    /// The pool that a user's uploads name
    #[arg(long)]
    pool: String,
    /// Only use processor time
    #[arg(long)]
    spin: bool,
    /// Only some of it; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// It ends by itself after so long, in seconds
    #[arg(long)]
    limit_s: u64,
}

/// Whose token an attacker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TokenKind {
    /// A user's.
    User,
    /// That of a processor of another pool than the users'.
    Processor,
}

/// What one attacker does; each in a thread of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// 12 requests of 8 MiB whose error repeats what was sent, answers unread
    Echoes,
    /// 200 pages of events, unread (a user's)
    Pages,
    /// Connections that say nothing, or half an HTTP/2 preface, to the API and to the storage
    Silent,
    /// 4,400 HTTP/2 requests whose body never comes
    Streams,
    /// Bodies that announce 16 MiB and send a byte, or just the least rate
    Bodies,
    /// Uploads of which nothing is stored, said to be stored again and again (a user's)
    Uploads,
    /// 1,024 HTTP/2 requests without a token, whose refusals cannot be sent
    Strangers,
    /// 2,100 PUTs to the storage that send just the least rate (a user's)
    Puts,
    /// 24 long bodies beside as many longer answers, unread (a user's)
    Large,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Done {
    echoes: AtomicU64,
    pages: AtomicU64,
    silent: AtomicU64,
    streams: AtomicU64,
    bodies: AtomicU64,
    advances: AtomicU64,
    strangers: AtomicU64,
    puts: AtomicU64,
    large: AtomicU64,
    /// Connections that could not be made, requests that were refused, and connections that the server ended.
    refused: AtomicU64,
}

/// What every part has.
#[derive(Debug)]
struct Attack {
    api: Target,
    storage: SocketAddr,
    token: TokenKind,
    pool: String,
    done: Done,
    stop: AtomicBool,
}

/// How long the parts that need a connection have before the silent ones take them all.
const HEAD_START: Duration = Duration::from_secs(5);
/// How often it says on standard output what was done.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Attacks until the limit, and says every other second on standard output what was done, as one line of JSON.
///
/// # Errors
///
/// When the token cannot be read.
pub(super) fn run(options: &AttackerOptions) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(options.limit_s);
    if options.spin {
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        return Ok(());
    }
    connections::raise_limit();
    let token = fs::read_to_string(&options.token_file)
        .with_context(|| format!("cannot read `{}`", options.token_file.display()))?;
    let attack = Arc::new(Attack {
        api: Target { address: options.api, token: token.trim().to_owned() },
        storage: options.storage,
        token: options.token,
        pool: options.pool.clone(),
        done: Done::default(),
        stop: AtomicBool::new(false),
    });
    let mut threads = Vec::new();
    for kind in Kind::value_variants() {
        if !options.only.is_empty() && !options.only.contains(kind) {
            continue;
        }
        let (attack, kind) = (Arc::clone(&attack), *kind);
        threads.push(thread::spawn(move || attack.run(kind)));
    }
    while Instant::now() < end {
        thread::sleep(TELL_EVERY);
        let line = attack.done.line();
        let mut out = filemill_text::Lines::on_stdout();
        out.json(&line.to_string())?;
        out.flush()?;
    }
    attack.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a part of the attack panicked"))?;
    }
    Ok(())
}

impl Attack {
    fn run(&self, kind: Kind) {
        match (kind, self.token) {
            (Kind::Echoes, _) => connections::echoes(self),
            (Kind::Pages, TokenKind::User) => connections::pages(self),
            (Kind::Silent, _) => {
                self.sleep(HEAD_START);
                connections::silent(self);
            }
            (Kind::Streams, _) => connections::streams(self),
            (Kind::Bodies, _) => connections::bodies(self),
            (Kind::Uploads, TokenKind::User) => uploads::advance(self),
            (Kind::Strangers, _) => connections::strangers(self),
            (Kind::Puts, TokenKind::User) => storage::puts(self),
            (Kind::Large, TokenKind::User) => uploads::large(self),
            (Kind::Pages | Kind::Uploads | Kind::Puts | Kind::Large, TokenKind::Processor) => {}
        }
    }

    /// Whether to go on.
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps, but not past the end.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.goes_on() && Instant::now() < end {
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The path of a call that takes a body from this token.
    fn path(&self) -> &'static str {
        match self.token {
            TokenKind::User => "/v1/uploads",
            TokenKind::Processor => "/v1/results",
        }
    }
}

impl Done {
    fn line(&self) -> Value {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "echoes": get(&self.echoes), "pages": get(&self.pages), "silent": get(&self.silent),
            "streams": get(&self.streams), "bodies": get(&self.bodies), "advances": get(&self.advances),
            "strangers": get(&self.strangers), "puts": get(&self.puts), "large": get(&self.large),
            "refused": get(&self.refused),
        })
    }
}

/// Counts what happened.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
