//! Releases that leases name: fetched by digest, checked, compiled off the request path, and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use filemill_api::{ComponentUrl, paths};
use filemill_seal::Digest;
use tokio::sync::OnceCell;

use super::chunks::ChunkStore;
use super::described::Described;
use super::server::Server;
use super::storage::{Storage, StorageError};
use crate::{DescribeError, InstallError, Limits, Release, Runtime};

/// The longest component that is fetched, in bytes; the runtime has a limit of its own.
const COMPONENT_MAX_BYTES: usize = 32 << 20;

/// Releases that are kept ready.
const KEPT: usize = 32;

/// Why a release does not run here.
#[derive(Clone, Debug)]
pub(super) enum NoRelease {
    /// What the server gives is not the release that it names.
    Refused(String),
    /// It is the release, and this processor cannot run it.
    Unfit(String),
    /// It cannot be had at the moment.
    Fault(String),
}

/// A release that is ready to run.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) release: Release,
    pub(super) described: Arc<Described>,
    /// What it is called here, if it was dropped into this processor's folder.
    pub(super) local: Option<Arc<str>>,
}

/// The releases at hand.
pub(super) struct Releases {
    runtime: Runtime,
    kept: Mutex<Kept>,
    installing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    by_digest: HashMap<Digest, Entry>,
    clock: u64,
}

struct Entry {
    // A release that does not fit is remembered, too: it would not fit the next time either. That other bytes came in its
    // place is not: the next answer may be the right one.
    cell: Arc<OnceCell<Result<Ready, NoRelease>>>,
    used: u64,
}

impl Releases {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self { runtime, kept: Mutex::default(), installing: tokio::sync::Mutex::default() }
    }

    /// The release with that digest, ready to run. Fetched and compiled once, however many ask.
    pub(super) async fn get(
        &self,
        digest: Digest,
        server: &Server,
        storage: &Storage,
        chunks: &ChunkStore,
    ) -> Result<Ready, NoRelease> {
        let cell = self.cell(digest);
        let found = cell
            .get_or_try_init(async || match self.fetch(digest, server, storage, chunks).await {
                Err(passing @ (NoRelease::Fault(_) | NoRelease::Refused(_))) => Err(passing),
                settled => Ok(settled),
            })
            .await?;
        found.clone()
    }

    fn cell(&self, digest: Digest) -> Arc<OnceCell<Result<Ready, NoRelease>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let used = kept.clock;
        if kept.by_digest.len() >= KEPT && !kept.by_digest.contains_key(&digest) {
            let oldest = kept.by_digest.iter().min_by_key(|(_, entry)| entry.used).map(|(digest, _)| *digest);
            if let Some(oldest) = oldest {
                kept.by_digest.remove(&oldest);
            }
        }
        let entry = kept.by_digest.entry(digest).or_insert_with(|| Entry { cell: Arc::default(), used });
        entry.used = used;
        Arc::clone(&entry.cell)
    }

    async fn fetch(
        &self,
        digest: Digest,
        server: &Server,
        storage: &Storage,
        chunks: &ChunkStore,
    ) -> Result<Ready, NoRelease> {
        let fault = |why: String| NoRelease::Fault(format!("release `{digest}` cannot be fetched: {why}"));
        let path = paths::COMPONENT.replace("{digest}", &digest.to_string());
        let url: ComponentUrl = server.get(&path).await.map_err(|error| fault(error.to_string()))?;
        let length = usize::try_from(url.get.length).unwrap_or(usize::MAX).min(COMPONENT_MAX_BYTES);
        let held = chunks.reserve(length).await;
        let component = match storage.get(&url.get, COMPONENT_MAX_BYTES, 0).await {
            Ok(component) => component,
            Err(error @ StorageError::Other(_)) => {
                return Err(NoRelease::Refused(format!("the component of release `{digest}`: {error}")));
            }
            Err(error) => return Err(fault(error.to_string())),
        };
        // Some MiB to hash: not on a thread that answers heartbeats.
        let hashing = tokio::task::spawn_blocking(move || (Digest::of(&component), component)).await;
        let (found, component) = hashing.map_err(|error| fault(error.to_string()))?;
        if found != digest {
            return Err(NoRelease::Refused(format!("the server gives component `{found}` as release `{digest}`")));
        }
        let installed = self.install(digest, component).await;
        drop(held);
        installed
    }

    /// Keeps a component of this processor's own ready, so that it need not be fetched.
    pub(super) async fn bring(&self, name: &str, digest: Digest, component: Vec<u8>) -> Result<Ready, NoRelease> {
        let local = Some(Arc::from(name));
        let bring = async || self.install(digest, component).await.map(|ready| Ok(Ready { local, ..ready }));
        self.cell(digest).get_or_try_init(bring).await?.clone()
    }

    /// Compiles a component and asks it what it is, one at a time: a compiler takes every core and some memory.
    /// `digest` was found to be the component's.
    async fn install(&self, digest: Digest, component: Vec<u8>) -> Result<Ready, NoRelease> {
        let _turn = self.installing.lock().await;
        let runtime = self.runtime.clone();
        tokio::task::spawn_blocking(move || install(&runtime, digest, &component))
            .await
            .unwrap_or_else(|error| Err(NoRelease::Fault(format!("installing a release failed: {error}"))))
    }
}

fn install(runtime: &Runtime, digest: Digest, component: &[u8]) -> Result<Ready, NoRelease> {
    let release = runtime.install(component).map_err(|error| {
        let why = format!("release `{digest}` does not run here: {error} (hint: {})", error.hint());
        match error {
            InstallError::CompilerFailed { .. } => NoRelease::Fault(why),
            _ => NoRelease::Unfit(why),
        }
    })?;
    let said = release.describe(&Limits::default()).map_err(|error| match error {
        DescribeError::Ended(failure) if failure.outcome().retryable() => {
            NoRelease::Fault(format!("release `{digest}`: {}", failure.message()))
        }
        error => NoRelease::Unfit(format!("release `{digest}` does not run here: {error} (hint: tell its author)")),
    })?;
    Ok(Ready { release, described: Arc::new(Described::new(&said)), local: None })
}
