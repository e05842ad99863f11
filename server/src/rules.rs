//! What the server decides: who may do what, whose turn it is, what a report or a lost lease means. Routes call
//! [`Rules`] and presign the objects it names; the database is behind [`crate::store`].
//!
//! Every rule answers a refusal as the wire's [`ErrorBody`], whose code is the status to send; faults of the database
//! are logged here and come as `internal` or `unavailable`. Every change is idempotent: a caller that got no answer
//! asks again.
//!
//! Opening, advancing, cancelling, reporting and completing go through a queue each, whose task writes what came meanwhile in one
//! transaction, as far as it is short; one task leases for all nodes. A rule's future may be dropped at any time: what is being
//! written then still happens, and the rest does not.

mod adoption;
mod advance;
mod announce;
mod bell;
mod cancel;
mod clock;
mod combine;
mod complete;
mod deletable;
mod descriptions;
mod digest;
mod engines;
mod events;
mod expire;
mod fetch;
mod gates;
mod hear;
mod kinds;
mod lease;
mod lease_chunks;
mod masks;
mod open;
mod outcomes;
mod pools;
mod random;
mod recent;
mod record;
mod refusal;
mod releases;
mod report;
mod rest;
mod resume;
mod roots;
mod service;
mod steady;
mod sweep;
mod tokens;
mod told;
mod turns;
mod unrenewed;
mod views;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filemill_api::ErrorBody;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use bell::Listener;
pub use events::FEW_EVENTS;
pub use kinds::{
    Advanced, Brought, Caller, Doomed, Fetched, FoundResult, Leased, LeasedUploadWork, Mark, NewRelease, NewToken,
    Object, Offered, Opened, PoolService, Position, RecordedEvent, RecordedEvents, RecordedKind, RecordedResult, Scope,
    Serves, TokenSummary,
};
pub use open::STORED_RANGES;
pub use pools::{NewPools, PoolSummary};
pub use roots::PoolRoot;

use crate::store::{Store, StoreError};

/// How long things take, and whom to believe. The times are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct RulesConfig {
    /// How long a lease lasts without a report.
    pub lease: Duration,
    /// An upload that is not complete and was not touched for so long is cancelled, and its objects go.
    pub abandoned_after: Duration,
    /// How long results are kept after their upload is finished.
    pub retention: Duration,
    /// How long they are kept if the uploader has not taken them in.
    pub retention_untaken: Duration,
    /// How long a node counts as present after it asked for work.
    pub node_present: Duration,
    /// How long objects of replaced chunks stay for those who have a URL: its lifetime and some skew.
    pub replaced_stay: Duration,
    /// Whose statement counts of a pool that nobody has named a root of.
    pub new_pools: NewPools,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            abandoned_after: Duration::from_secs(7 * 24 * 3600),
            retention: Duration::from_secs(30 * 24 * 3600),
            retention_untaken: Duration::from_secs(365 * 24 * 3600),
            node_present: Duration::from_secs(60),
            replaced_stay: Duration::from_secs(u64::from(filemill_api::limits::PRESIGNED_SECONDS) + 300),
            new_pools: NewPools::First,
        }
    }
}

/// The rules over one database. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    opening: combine::Combiner<open::Opening>,
    advancing: combine::Combiner<advance::Advancing>,
    cancelling: combine::Combiner<cancel::Cancelling>,
    reporting: combine::Combiner<report::Reporting>,
    completing: combine::Combiner<complete::Completing>,
    leasing: mpsc::Sender<lease::LeaseAsk>,
    hearing: mpsc::Sender<hear::Node>,
}

/// What all rules share.
struct Core {
    store: Store,
    config: RulesConfig,
    /// Runs became ready or partial. One permit: the leasing task looks at everything when it wakes.
    ready: Notify,
    /// Whose runs became ready or partial since the leasing task looked.
    woken: Mutex<lease::Woken>,
    /// Rung with the organisations that have new events.
    events: Arc<bell::Bell<i64>>,
    /// Rung with the uploads that have new chunks.
    chunks: Arc<bell::Bell<i64>>,
    /// Callers by the hash of their token. Each counts for a moment only, so that revoking works soon.
    callers: Mutex<HashMap<[u8; 32], (Caller, Instant)>>,
    /// What releases need. They never change.
    needs: Mutex<HashMap<String, i64>>,
    /// Pools that have said something.
    pools: recent::Recent<String>,
    /// Pools that serve everyone.
    serve_everyone: recent::Recent<String>,
    /// Which organisations (row, pool) are served.
    served: recent::Recent<(i64, String)>,
    /// How far members have taken in their events (cursor and mark), as far as it is not written down yet.
    taken: Mutex<HashMap<i64, (i64, i64)>>,
    /// When the events of members were given new cursors.
    renumbered: Mutex<HashMap<i64, Instant>>,
    /// Signatures of pools' roots that were checked, by the SHA-256 of all that was.
    signed: Mutex<std::collections::HashSet<[u8; 32]>>,
    /// When each node that asked for work was last written down, with what it runs.
    seen: Mutex<HashMap<hear::Node, (Instant, i64)>>,
    /// Pools in which there was no room for another node a moment ago.
    full: recent::Recent<String>,
    /// What nodes of a pool, and members, have written beside the queues.
    pools_writing: gates::Gates<String>,
    members_writing: gates::Gates<i64>,
    /// Which releases lack a description, and who was asked for one.
    describing: Mutex<descriptions::Describing>,
    /// What is remembered of the database's clock.
    looks: deletable::Looks,
    /// Held by who looks for them: one at a time.
    listing: tokio::sync::Mutex<()>,
}

impl Rules {
    /// Starts the rules' tasks on `tracker`. They end after `stop` is cancelled and what is queued was done: cancel it
    /// when the last request was answered, and wait for the tracker before the store is closed.
    #[must_use]
    pub fn start(store: Store, config: RulesConfig, tracker: &TaskTracker, stop: &CancellationToken) -> Self {
        let core = Arc::new(Core {
            store,
            config,
            ready: Notify::new(),
            woken: Mutex::default(),
            events: bell::Bell::new(),
            chunks: bell::Bell::new(),
            callers: Mutex::default(),
            needs: Mutex::default(),
            pools: recent::Recent::default(),
            serve_everyone: recent::Recent::default(),
            served: recent::Recent::default(),
            signed: Mutex::default(),
            taken: Mutex::default(),
            renumbered: Mutex::default(),
            seen: Mutex::default(),
            full: recent::Recent::default(),
            pools_writing: gates::Gates::default(),
            members_writing: gates::Gates::default(),
            describing: Mutex::default(),
            looks: deletable::Looks::default(),
            listing: tokio::sync::Mutex::default(),
        });
        let leasing = lease::start(Arc::clone(&core), tracker, stop.clone());
        tracker.spawn(clock::run(Arc::clone(&core), stop.clone()));
        tracker.spawn(clock::run_slow(Arc::clone(&core), stop.clone()));
        tracker.spawn(steady::run(Arc::clone(&core), stop.clone()));
        tracker.spawn(unrenewed::run(Arc::clone(&core), stop.clone()));
        tracker.spawn(descriptions::run(Arc::clone(&core), stop.clone()));
        Self {
            inner: Arc::new(Inner {
                opening: combine::Combiner::start(open::Opening(Arc::clone(&core)), tracker, stop.clone()),
                advancing: combine::Combiner::start(advance::Advancing(Arc::clone(&core)), tracker, stop.clone()),
                cancelling: combine::Combiner::start(cancel::Cancelling(Arc::clone(&core)), tracker, stop.clone()),
                reporting: combine::Combiner::start(report::Reporting(Arc::clone(&core)), tracker, stop.clone()),
                completing: combine::Combiner::start(complete::Completing(Arc::clone(&core)), tracker, stop.clone()),
                leasing,
                hearing: hear::start(Arc::clone(&core), tracker, stop.clone()),
                core,
            }),
        }
    }

    /// Succeeds when the database answers.
    ///
    /// # Errors
    /// `unavailable` or `internal`.
    pub async fn health(&self) -> Result<(), ErrorBody> {
        self.core().store.ping().await.map_err(|error| refusal::from_store("health", &error))
    }

    fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }
}

impl Core {
    fn lease_ms(&self) -> u32 {
        u32::try_from(self.config.lease.as_millis()).unwrap_or(u32::MAX)
    }
}

/// Milliseconds, as the store counts them.
fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Runs `work` again while it meets a conflict between transactions.
async fn retried<T, F>(mut work: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempts = 0;
    loop {
        match work().await {
            Err(error) if error.is_transient() && attempts < 3 => attempts += 1,
            done => return done,
        }
    }
}
