//! How a node is set up.

use std::path::PathBuf;
use std::time::Duration;

use filemill_runtime::ReleaseLimits;
use url::Url;

use crate::abilities;
use crate::error::NodeError;
use crate::net::{Origin, Token};
use crate::releases::DESCRIBED_AT_ONCE;

/// How a node is set up. Read once, at the start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where the server is: its origin, with a path in front of `/v1` where it has one.
    pub server: Url,
    /// Lets the node in.
    pub token: Token,
    /// The pool's folder.
    pub pool_dir: PathBuf,
    /// Where presigned URLs may point to, and nowhere else.
    pub storage_origins: Vec<Origin>,
    /// Whether server and storage may be asked over plain http beyond this machine.
    pub allow_plain_http: bool,
    /// Engines that run at once, at least 1. (A run that waits for its input counts as none.)
    pub slots: usize,
    /// Bytes of chunks, sealed and opened, that are held at once, at least [`NodeConfig::MEMORY_MIN_BYTES`].
    pub memory_budget_bytes: usize,
    /// The node's name, 1 to 48 characters of `[A-Za-z0-9._-]`; each start appends a number of its own.
    pub name: String,
    /// How long running jobs may take to end once the node is asked to stop.
    pub grace: Duration,
    /// How long a job waits for the next chunk of an upload that is not complete before it is handed back.
    pub stall: Duration,
    /// What one run of each release may use.
    pub limits: ReleaseLimits,
    /// Compiled code that is kept in memory for the next job of its release, in bytes; what runs is there beside it.
    pub kept_code_bytes: usize,
    /// The folder whose components this processor offers to its pool as `local/NAME`. It may come later; while others can
    /// write to it, nothing is taken from it.
    pub engines_dir: Option<PathBuf>,
    /// Names of what this node has beside what it knows itself to have, such as `gpu`: it is leased what needs them, too.
    pub abilities: Vec<String>,
    /// Where metrics are pushed to: a collector's OTLP endpoint for metrics, such as `https://otel.example.org/v1/metrics`.
    pub metrics_url: Option<Url>,
}

impl NodeConfig {
    /// The least memory budget: 1 MiB.
    pub const MEMORY_MIN_BYTES: usize = 1 << 20;
    /// The memory budget of a node that has no reason for another: 48 MiB.
    pub const MEMORY_DEFAULT_BYTES: usize = 48 << 20;
    /// The compiled code that is kept in memory by default: 256 MiB, some hundred Rust engines, or six that embed an interpreter.
    pub const KEPT_CODE_DEFAULT_BYTES: usize = 256 << 20;
    /// How long running jobs may take to end by default.
    pub const GRACE_DEFAULT: Duration = Duration::from_secs(20);
    /// How long a job waits for the next chunk by default.
    pub const STALL_DEFAULT: Duration = Duration::from_secs(10);

    /// How many runs each [`Backend`](filemill_runtime::Backend) must be able to hold at once: those that run, as many that wait for
    /// their input, and releases that are asked what they are.
    pub fn runtime_slots(slots: usize) -> u32 {
        u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(2).saturating_add(DESCRIBED_AT_ONCE)
    }

    /// Checks what can be checked without a server and a pool.
    ///
    /// # Errors
    ///
    /// [`NodeError::Config`] names the setting, [`NodeError::PlainHttp`] the address.
    pub fn check(&self) -> Result<(), NodeError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let rules = [
            (matches!(self.server.scheme(), "http" | "https"), "server", "an http or https URL"),
            (!self.storage_origins.is_empty(), "storage-origin", "at least one origin"),
            ((1..=1024).contains(&self.slots), "slots", "1 to 1024"),
            (self.memory_budget_bytes >= Self::MEMORY_MIN_BYTES, "memory-budget", "at least 1 MiB"),
            (
                (1..=48).contains(&self.name.len()) && self.name.bytes().all(plain),
                "node",
                "1 to 48 letters, digits, `.`, `_` or `-`",
            ),
            (
                self.abilities.iter().all(|name| abilities::may_be_given(name)),
                "ability",
                "a name of 1 to 64 lower-case letters, digits, `.`, `:`, `_` or `-`; `contract:…`, `backend:…`, `header:…` and `long_parameters` a processor says by itself",
            ),
        ];
        if let Some((_, setting, rule)) = rules.into_iter().find(|(holds, ..)| !holds) {
            return Err(NodeError::Config { setting, rule });
        }
        let metrics = self.metrics_url.iter();
        if !metrics.clone().all(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(NodeError::Config { setting: "metrics-url", rule: "an http or https URL" });
        }
        let others: Vec<Origin> = metrics.chain([&self.server]).map(Origin::of).collect();
        if self.allow_plain_http {
            return Ok(());
        }
        match self.storage_origins.iter().chain(&others).find(|origin| !origin.is_private()) {
            Some(origin) => Err(NodeError::PlainHttp { origin: origin.to_string() }),
            None => Ok(()),
        }
    }
}
