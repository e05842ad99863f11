//! Making releases ready that leases name, or that were dropped in: once, off the request path.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use filemill_runtime::{Again, Cancel, DescribeError, Installed, NotInstalled, Outcome, ReleaseDigest};
use filemill_seal::Digest;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::backends::{Backends, Found};
use super::compile_slots::{CompileSlot, CompileSlots};
use super::described::Described;
use super::error::NoRelease;
use super::fetch::{COMPONENT_MAX_BYTES, Component, fetch};
use super::kept::{Failed, Kept, SUSPICIONS, State};
use super::limits::NamedLimits;
use super::memory;
use crate::budget::Budget;
use crate::net::{Backoff, Server, Storage};

/// How long a release counts as unfit that failed [`SUSPICIONS`] times: who knows what else the machine went through.
const SUSPECTED: Duration = Duration::from_secs(600);
/// Such failures are so long apart at least.
const SUSPICIOUS_AGAIN: Duration = Duration::from_secs(2);

/// What components may take while they wait to be compiled and are: enough for the longest and one more. It is apart from the
/// chunks' budget, so that none waits for a compiler to get a chunk.
const COMPONENTS_BYTES: usize = 2 * COMPONENT_MAX_BYTES;
/// Releases whose code is loaded at once.
const LOADED_AT_ONCE: usize = 2;

/// Releases that are asked at once what they are.
pub(crate) const DESCRIBED_AT_ONCE: u32 = 2;

/// How long the end of a compiler may take that was called off.
const LAST_COMPILER: Duration = Duration::from_secs(1);

/// A release that is ready to run. It stays ready for as long as somebody has it.
pub(crate) struct Ready {
    pub(crate) release: Arc<dyn Installed>,
    /// Of what kind it is, and so how it is kept apart from everything else.
    pub(crate) kind: &'static str,
    pub(crate) described: Described,
}

/// The releases at hand.
pub(crate) struct Releases {
    backends: Arc<Backends>,
    server: Arc<Server>,
    storage: Arc<Storage>,
    limits: Arc<NamedLimits>,
    kept: Kept<Ready>,
    slots: Arc<CompileSlots>,
    components: Budget,
    loading: Semaphore,
    describing: Semaphore,
    /// Compilers at work.
    tasks: TaskTracker,
}

/// Why a release could not be made ready.
struct NotReady {
    again: Again,
    /// Its compiler had to make room for others.
    made_room: bool,
    why: String,
}

/// Calls a compiler off whose result nobody waits for any more.
struct CalledOff(Cancel);

impl Releases {
    /// Keeps compiled code of up to `most_code_bytes` bytes beside what runs.
    pub(crate) fn new(
        backends: Backends,
        server: Arc<Server>,
        storage: Arc<Storage>,
        limits: Arc<NamedLimits>,
        most_code_bytes: usize,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let compilers = memory::machine_bytes() / backends.install_memory_bytes().max(1);
        Self {
            backends: Arc::new(backends),
            server,
            storage,
            limits,
            kept: Kept::new(most_code_bytes),
            slots: Arc::new(CompileSlots::new(cores, usize::try_from(compilers).unwrap_or(usize::MAX))),
            components: Budget::new(COMPONENTS_BYTES),
            loading: Semaphore::new(LOADED_AT_ONCE),
            describing: Semaphore::new(DESCRIBED_AT_ONCE as usize),
            tasks: TaskTracker::new(),
        }
    }

    /// The release with that digest, ready to run. Fetched and compiled once, however many ask, and neither where its code
    /// is at hand from before. Cancel safe.
    pub(crate) async fn get(&self, digest: Digest) -> Result<Arc<Ready>, NoRelease> {
        self.ready(digest, async |long| {
            // Fetched before there is a slot, because storage may be slow; but not to wait long in memory.
            let slot = if long { Some(self.slots.take(true).await) } else { None };
            let component = fetch(digest, &self.server, &self.storage, &self.components).await?;
            let slot = match slot {
                Some(slot) => slot,
                None => self.slots.take(false).await,
            };
            Ok((component, slot))
        })
        .await
    }

    /// The same; where this node lacks something to make it ready, after another try. Leases wait for that in the node's hands:
    /// handed back at once, they would come again at once, and after a few times end for good. Cancel safe.
    pub(crate) async fn get_patiently(&self, digest: Digest) -> Result<Arc<Ready>, NoRelease> {
        match self.get(digest).await {
            Err(NoRelease::NotNow { why, after, .. }) => {
                // Each of many leases may say so, and how it ends is said again.
                tracing::debug!("{why}: tried again in {} ms", after.as_millis());
                tokio::time::sleep(after).await;
                self.get(digest).await
            }
            found => found,
        }
    }

    /// Keeps a component of this processor's own ready, so that it need not be fetched. `read` gives its bytes, which were
    /// found to have that digest; it is asked only where they have to be compiled, when there is a slot for that. Cancel safe.
    pub(crate) async fn bring<R: Future<Output = Result<Vec<u8>, NoRelease>>>(
        &self,
        digest: Digest,
        read: impl FnOnce() -> R,
    ) -> Result<Arc<Ready>, NoRelease> {
        self.ready(digest, async |long| {
            // In the same order, so that nobody who has a slot waits for room that another holds who waits for a slot.
            let slot = if long { Some(self.slots.take(true).await) } else { None };
            let mut held = self.components.take(COMPONENT_MAX_BYTES, || false).await;
            let component = read().await?;
            held.shrink_to(component.len());
            let slot = match slot {
                Some(slot) => slot,
                None => self.slots.take(false).await,
            };
            Ok(((component, held), slot))
        })
        .await
    }

    /// Waits a moment for compilers that were called off.
    pub(crate) async fn end(&self) {
        self.tasks.close();
        // What is left behind ends by its own limits.
        let _ = tokio::time::timeout(LAST_COMPILER, self.tasks.wait()).await;
    }

    /// The release; where it has to be compiled, `source` gives the component and a slot, a long one if it took long before.
    async fn ready(
        &self,
        digest: Digest,
        source: impl AsyncFnOnce(bool) -> Result<(Component, CompileSlot), NoRelease>,
    ) -> Result<Arc<Ready>, NoRelease> {
        let (found, is_news) = self.look_up(digest, source).await;
        if is_news {
            self.kept.shrink();
        }
        found
    }

    /// The release, and whether what is known of it changed.
    async fn look_up(
        &self,
        digest: Digest,
        source: impl AsyncFnOnce(bool) -> Result<(Component, CompileSlot), NoRelease>,
    ) -> (Result<Arc<Ready>, NoRelease>, bool) {
        let shelf = self.kept.shelf(digest);
        let mut state = shelf.lock().await;
        let (suspicions, long, mut backoff) = match &*state {
            State::Ready { release, .. } => return (Ok(Arc::clone(release)), false),
            State::Unfit(why) => return (Err(NoRelease::Unfit(why.clone())), false),
            State::Failed(failed) => match failed.until_again() {
                Some(after) => return (Err(failed.told(after)), false),
                // One more failure is enough where it was suspected already.
                None => (failed.suspicions.min(SUSPICIONS - 1), failed.long, failed.backoff.clone()),
            },
            State::Unknown => (0, false, Backoff::new(Duration::from_secs(1), Duration::from_secs(30))),
        };
        let installed = match self.cached(digest).await {
            Some(release) => Ok(release),
            None => match source(long).await {
                Ok((component, slot)) => self.compile(digest, component, slot, long).await,
                Err(error) => return (Err(error), true),
            },
        };
        let made = match installed {
            Ok(release) => self.describe(digest, release).await,
            Err(not_ready) => Err(not_ready),
        };
        let NotReady { again, made_room, why } = match made {
            Ok(ready) => {
                let (code_bytes, release) = (ready.release.code_bytes(), Arc::new(ready));
                *state = State::Ready { release: Arc::clone(&release), code_bytes };
                return (Ok(release), true);
            }
            Err(not_ready) => not_ready,
        };
        if again == Again::Never {
            *state = State::Unfit(why.clone());
            return (Err(NoRelease::Unfit(why)), true);
        }
        let is_suspicious = again == Again::FewTimes;
        let suspicions = suspicions + u32::from(is_suspicious);
        let after = match suspicions {
            SUSPICIONS.. => SUSPECTED,
            _ if is_suspicious => backoff.delay().max(SUSPICIOUS_AGAIN),
            _ => backoff.delay(),
        };
        let (long, it_may_be) = (long || made_room || suspicions > 0, made_room || is_suspicious);
        let failed = Failed { why, suspicions, it_may_be, long, again: Instant::now() + after, backoff };
        let told = failed.told(after);
        *state = State::Failed(failed);
        (Err(told), true)
    }

    /// The release as it was compiled earlier: that waits for no slot.
    async fn cached(&self, digest: Digest) -> Option<Found> {
        let _place = self.loading.acquire().await;
        let backends = Arc::clone(&self.backends);
        let found = tokio::task::spawn_blocking(move || backends.cached(ReleaseDigest::from_bytes(*digest.as_bytes())));
        // One that panics has no code for us.
        found.await.ok().flatten()
    }

    async fn describe(&self, digest: Digest, found: Found) -> Result<Ready, NotReady> {
        // It takes a slot of the runtime, and may not take one from a job.
        let _place = self.describing.acquire().await;
        let limits = Arc::clone(&self.limits);
        let describing = tokio::task::spawn_blocking(move || describe(&limits, digest, found));
        describing.await.unwrap_or_else(|error| Err(NotReady::panicked(digest, &error)))
    }

    /// Compiles a component. `digest` was found to be the component's.
    async fn compile(
        &self,
        digest: Digest,
        component: Component,
        slot: CompileSlot,
        long: bool,
    ) -> Result<Found, NotReady> {
        let (backends, slots) = (Arc::clone(&self.backends), Arc::clone(&self.slots));
        let called_off = CalledOff(Cancel::default());
        let (cancel, make_room) = (called_off.0.clone(), called_off.0.clone());
        // In a task of its own: whoever called it off may be gone before the compiler is, which still has its slot.
        let compiling = self.tasks.spawn(async move {
            let work = tokio::task::spawn_blocking(move || {
                let (bytes, held) = component;
                let compiled = backends.install(ReleaseDigest::from_bytes(*digest.as_bytes()), &bytes, &cancel);
                drop((bytes, held));
                compiled.map_err(|error| NotReady::installing(digest, &error))
            });
            let done = if long {
                let done = work.await;
                drop(slot);
                done
            } else {
                slots.attend(slot, work, || make_room.cancel()).await
            };
            done.unwrap_or_else(|error| Err(NotReady::panicked(digest, &error)))
        });
        let compiled = compiling.await.unwrap_or_else(|error| Err(NotReady::panicked(digest, &error)));
        drop(called_off);
        compiled
    }
}

impl NotReady {
    fn panicked(digest: Digest, error: &tokio::task::JoinError) -> Self {
        let why = format!("release `{digest}` cannot be made ready: {error}");
        Self { again: Again::FewTimes, made_room: false, why }
    }

    fn installing(digest: Digest, error: &NotInstalled) -> Self {
        match error {
            NotInstalled::Cancelled => {
                let why =
                    format!("release `{digest}` takes long to compile, and others wait: it is compiled beside them");
                Self { again: Again::Later, made_room: true, why }
            }
            NotInstalled::Failed { message, hint, again } => {
                let why = format!("release `{digest}` does not run here: {message} (hint: {hint})");
                Self { again: *again, made_room: false, why }
            }
        }
    }
}

impl Drop for CalledOff {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Whether to ask a release again what it is, after that ended so.
fn again_after(outcome: Outcome) -> Again {
    match outcome {
        Outcome::HostFailed => Again::Later,
        // Its time on the clock, on a machine that had none.
        Outcome::TimedOut => Again::FewTimes,
        Outcome::Succeeded
        | Outcome::Rejected(_)
        | Outcome::Trapped
        | Outcome::OverMemory
        | Outcome::OverOutput
        | Outcome::OverLog
        | Outcome::OverHostCalls
        | Outcome::BadReport
        | Outcome::Void
        | Outcome::Cancelled => Again::Never,
    }
}

/// Asks a release what it is, within what its runs may use. Blocks.
fn describe(limits: &NamedLimits, digest: Digest, Found { kind, release }: Found) -> Result<Ready, NotReady> {
    let said = release.describe(limits.of(digest)).map_err(|error| {
        let again = match &error {
            DescribeError::Ended(failure) => again_after(failure.outcome()),
            _ => Again::Never,
        };
        let why = format!("release `{digest}` does not run here: {error} (hint: tell its author)");
        NotReady { again, made_room: false, why }
    })?;
    Ok(Ready { release, kind, described: Described::new(&said) })
}
