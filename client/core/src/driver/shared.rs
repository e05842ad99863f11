//! What the parts of an activity share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use filemill_seal::UploadId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::unkept::Unkept;
use crate::awaited::Awaited;
use crate::engines::Engines;
use crate::export::Export;
use crate::home::Home;
use crate::inbox::Inbox;
use crate::parameters::Parameters;
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::standing::StandingRules;
use crate::taken::Taken;
use crate::teller::Teller;
use crate::walk::Root;

/// How long to wait before asking again for a recipient that may be used.
pub(super) const HELD_FOR: Duration = Duration::from_secs(10);

/// What the parts of an activity share.
pub(crate) struct Shared {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) events: Teller,
    pub(crate) progress: Arc<Progress>,
    pub(crate) awaited: Arc<Awaited>,
    /// Files that were found and of which the last has not been said.
    pub(crate) pending: watch::Sender<u64>,
    pub(crate) roots: Vec<Root>,
    /// Of a watcher: what they leave out while it waits is not sent.
    pub(crate) rules: Arc<StandingRules>,
    pub(crate) export: Option<Export>,
    /// Results that could not be kept in `export`.
    pub(crate) unkept: Arc<Unkept>,
    pub(crate) account: String,
    pub(crate) home: Home,
    pub(crate) session: String,
    /// Those that the organisation uses now.
    pub(crate) engines: Mutex<Arc<Engines>>,
    /// Those of files that were not sent before.
    pub(crate) parameters: Parameters,
    /// Send even what was sent before.
    pub(crate) again: bool,
    /// What a watcher has handed on.
    pub(crate) taken: Arc<Taken>,
    /// Rung when the server can be reached again whose events are followed.
    pub(crate) reconnected: Notify,
    /// Pages of its events that were taken in so far, twice that: odd while one is.
    pub(crate) pages: AtomicU64,
    /// Rung when its events are to be read from the beginning again.
    pub(crate) start_over: Notify,
    pub(crate) stop: CancellationToken,
}

/// How an activity is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ends when every file has its result, and gives up what cannot be sent.
    Send,
    /// The same for what was begun before, each file for the release that it was first sent for.
    Resume,
    /// Goes on until it is stopped, and tries again what cannot be sent.
    Watch,
}

/// What parts of an activity ask of it.
#[derive(Debug)]
pub(crate) enum Request {
    /// Go on with this upload, if nobody does.
    Resume(UploadId),
}

impl Shared {
    /// Whether files come from a watcher.
    pub(super) fn is_watching(&self) -> bool {
        !self.rules.is_empty()
    }

    pub(crate) fn engines(&self) -> Arc<Engines> {
        Arc::clone(&self.engines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_engines(&self, engines: Arc<Engines>) {
        *self.engines.lock().unwrap_or_else(PoisonError::into_inner) = engines;
    }
}

/// Waits until then; for ever if there is no such time.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
