//! The runtime: wasmtime's engines, their pools of slots, their ticking epoch and their cache.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Cancel, Limits, ReleaseDigest};
use crate::cache::{CacheConfig, CacheError, Caches};
use crate::compile::Compiler;
use crate::engine::Lanes;
use crate::error::InstallError;
use crate::install::{Installer, Linked, cached, install};
use crate::release::Release;
use crate::slots::Slots;
use crate::ticker::Ticker;

/// How a runtime is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Runs alive at once, those that wait for input included, at least 1; [`Release::describe`] counts as one. Each
    /// reserves about 50 GiB of address space, and memory only as far as its guest uses it.
    pub slots: u32,
    /// What no run may exceed, whatever its own limits say. `memory_bytes` is at most 4 GiB.
    pub maxima: Limits,
    /// The largest component, in bytes: compiling takes about a second a MiB.
    pub component_bytes: usize,
    /// Where components are compiled, and what that may take.
    pub compiler: Compiler,
    /// Where compiled code is kept; without it, every install compiles.
    pub cache: Option<CacheConfig>,
    /// How often a running guest looks at its clocks, and so how late a time limit or a cancellation may be.
    pub tick: Duration,
}

impl Default for RuntimeConfig {
    /// One slot for each core and one more, the default limits as maxima, components up to 32 MiB that are compiled in this
    /// process, no cache, 5 ms.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self {
            slots: u32::try_from(cores).unwrap_or(u32::MAX).saturating_add(1),
            maxima: Limits::default(),
            component_bytes: 32 << 20,
            compiler: Compiler::default(),
            cache: None,
            tick: Duration::from_millis(5),
        }
    }
}

/// Why a runtime cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A setting is out of range.
    #[error("`{setting}` is out of range: {rule}")]
    Config {
        /// Which.
        setting: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// wasmtime refuses; the usual reason is that address space for this many slots cannot be had.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
    /// No thread for the epoch.
    #[error("no thread can be started for the sandbox's clock")]
    Thread(#[source] io::Error),
    /// The cache is not safe to use.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Installs releases. Cheap to clone; everything is released with the last clone and the last [`Release`].
#[derive(Clone)]
pub struct Runtime {
    slots: Arc<Slots>,
    caches: Option<Arc<Caches>>,
    component_bytes: usize,
    compiler: Compiler,
}

impl Runtime {
    /// Reserves the slots, starts the clock and opens the cache.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`], where a setting is wrong, the system does not give what it takes, or the cache's folder or key
    /// can be written by others.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        check(&config)?;
        let lanes = Lanes::new(config.slots, config.maxima.memory_bytes)
            .map_err(|e| RuntimeError::Sandbox(format!("{e:#}")))?;
        let caches = match &config.cache {
            Some(cache) => Some(Arc::new(Caches::open(cache, &lanes)?)),
            None => None,
        };
        let ticker = Ticker::start(lanes.engines(), config.tick).map_err(RuntimeError::Thread)?;
        Ok(Self {
            slots: Arc::new(Slots { maxima: config.maxima, ticker, lanes }),
            caches,
            component_bytes: config.component_bytes,
            compiler: config.compiler,
        })
    }

    /// Makes a component runnable: reads its contract, checks its imports, compiles it or takes it from the cache.
    /// Runs nothing of it.
    ///
    /// Blocks, with every core while it compiles: about a second a MiB the first time. A cache that cannot be read or written
    /// is logged and otherwise without effect.
    ///
    /// # Errors
    ///
    /// [`InstallError`] says what is wrong with the component, and its hint what to do.
    pub fn install(&self, component: &[u8]) -> Result<Release, InstallError> {
        self.check_length(component)?;
        let digest = ReleaseDigest::of(component);
        match self.cached(digest) {
            Some(release) => Ok(release),
            None => self.compile(digest, component, &Cancel::default()),
        }
    }

    /// What [`Runtime::install`] does with a component that is not in the cache. `digest` has to be the component's: the cache
    /// gives the code to whoever names it. A [compiler in a child process](Compiler::Child) is ended when it is
    /// cancelled.
    ///
    /// # Errors
    ///
    /// [`InstallError`], as for [`Runtime::install`].
    pub fn compile(&self, digest: ReleaseDigest, component: &[u8], cancel: &Cancel) -> Result<Release, InstallError> {
        self.check_length(component)?;
        Ok(self.release(digest, install(&self.installer(), component, digest, cancel)?))
    }

    /// What one compiler may take at most, in bytes; 0 where that is not bounded.
    pub fn compiler_memory_bytes(&self) -> u64 {
        match &self.compiler {
            Compiler::Here => 0,
            Compiler::Child(process) => process.memory_bytes,
        }
    }

    /// The release with that digest, where this host compiled it earlier and still has the code: nobody needs the component
    /// then. Blocks: under a millisecond for a small engine, some 20 for one that carries a Python or JavaScript interpreter.
    pub fn cached(&self, digest: ReleaseDigest) -> Option<Release> {
        cached(&self.installer(), digest).map(|linked| self.release(digest, linked))
    }

    fn check_length(&self, component: &[u8]) -> Result<(), InstallError> {
        if component.len() > self.component_bytes {
            return Err(InstallError::TooLarge { bytes: component.len() as u64, limit: self.component_bytes as u64 });
        }
        Ok(())
    }

    fn installer(&self) -> Installer<'_> {
        Installer { lanes: &self.slots.lanes, cache: self.caches.as_deref(), compiler: &self.compiler }
    }

    fn release(&self, digest: ReleaseDigest, linked: Linked) -> Release {
        tracing::debug!(release = %digest, contract = %linked.contract, origin = ?linked.origin, "release installed");
        Release::new(digest, linked, Arc::clone(&self.slots))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

fn check(config: &RuntimeConfig) -> Result<(), RuntimeError> {
    let rules = [
        (config.slots >= 1, "slots", "at least 1"),
        ((1..=4 << 30).contains(&(config.maxima.memory_bytes as u64)), "maxima.memory_bytes", "1 byte to 4 GiB"),
        (config.maxima.read_bytes >= 1, "maxima.read_bytes", "at least 1"),
        (!config.tick.is_zero(), "tick", "more than 0"),
    ];
    for (holds, setting, rule) in rules {
        if !holds {
            return Err(RuntimeError::Config { setting, rule });
        }
    }
    Ok(())
}
