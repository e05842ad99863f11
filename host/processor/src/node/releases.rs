//! Releases that leases name, or that were dropped in: had by digest, compiled off the request path, and kept.

mod kept;
mod memory;
mod turns;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{ComponentUrl, paths};
use filemill_seal::Digest;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::kept::{Failed, Kept, State};
use self::turns::{Turn, Turns};
use super::allowed::Allowed;
use super::backoff::Backoff;
use super::budget::{Budget, Held};
use super::config::NodeConfig;
use super::described::Described;
use super::server::Server;
use super::storage::{ASKED_AGAIN, Storage, StorageError, backoff};
use filemill_runtime::{Again, Cancel, DescribeError, InstallError, Outcome, Release, ReleaseDigest, Runtime};

/// The longest component that is fetched, in bytes; the runtime has a limit of its own.
const COMPONENT_MAX_BYTES: usize = 32 << 20;

/// After so many failures that a busy machine may be to blame for, the release is, for a while.
const SUSPICIONS: u32 = 3;
/// For so long: who knows what else the machine went through.
const SUSPECTED: Duration = Duration::from_secs(600);
/// Such failures are so long apart at least.
const SUSPICIOUS_AGAIN: Duration = Duration::from_secs(2);

/// What components may take while they wait to be compiled and are: enough for the longest and one more. It is apart from the
/// chunks' budget, so that none waits for a compiler to get a chunk.
const COMPONENTS_BYTES: usize = 2 * COMPONENT_MAX_BYTES;
/// Releases whose code is loaded at once.
const LOADED_AT_ONCE: usize = 2;

/// How long the end of a compiler may take that was called off.
const LAST_COMPILER: Duration = Duration::from_secs(1);

/// Why a release does not run here.
#[derive(Clone, Debug)]
pub(super) enum NoRelease {
    /// What the server gives is not the release that it names.
    Refused(String),
    /// It is the release, and this processor cannot run it.
    Unfit(String),
    /// It failed so often that it counts as unfit until that time has passed.
    Suspect { why: String, after: Duration },
    /// It is tried again when that time has passed: this one is hard to compile (`it_may_be`), or this processor lacks something
    /// to make any release ready.
    NotNow { why: String, after: Duration, it_may_be: bool },
    /// What came in its place was damaged each time, on its way or in storage: another processor may get it whole.
    Damaged(String),
    /// Storage does not answer this node.
    Away(String),
    /// It cannot be had at the moment.
    Fault(String),
}

impl NoRelease {
    pub(super) fn why(self) -> String {
        let (Self::Refused(why)
        | Self::Unfit(why)
        | Self::Suspect { why, .. }
        | Self::NotNow { why, .. }
        | Self::Damaged(why)
        | Self::Away(why)
        | Self::Fault(why)) = self;
        why
    }
}

/// A release that is ready to run. It stays ready for as long as somebody has it.
pub(super) struct Ready {
    pub(super) release: Release,
    pub(super) described: Described,
}

/// The releases at hand.
pub(super) struct Releases {
    runtime: Runtime,
    allowed: Arc<Allowed>,
    kept: Kept<Ready>,
    turns: Arc<Turns>,
    components: Budget,
    loading: Semaphore,
    describing: Semaphore,
    /// Compilers at work.
    tasks: TaskTracker,
}

/// A component, and the part of the budget that it takes.
type Component = (Vec<u8>, Held);

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
    pub(super) fn new(runtime: Runtime, allowed: Arc<Allowed>, most_code_bytes: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let compilers = memory::machine_bytes() / runtime.compiler_memory_bytes().max(1);
        Self {
            runtime,
            allowed,
            kept: Kept::new(most_code_bytes),
            turns: Arc::new(Turns::new(cores, usize::try_from(compilers).unwrap_or(usize::MAX))),
            components: Budget::new(COMPONENTS_BYTES),
            loading: Semaphore::new(LOADED_AT_ONCE),
            describing: Semaphore::new(NodeConfig::DESCRIBED_AT_ONCE as usize),
            tasks: TaskTracker::new(),
        }
    }

    /// The release with that digest, ready to run. Fetched and compiled once, however many ask, and neither where its code
    /// is at hand from before. Cancel safe.
    pub(super) async fn get(
        &self,
        digest: Digest,
        server: &Server,
        storage: &Storage,
    ) -> Result<Arc<Ready>, NoRelease> {
        self.ready(digest, async |long| {
            // Fetched before there is a turn, because storage may be slow; but not to wait long in memory.
            let turn = if long { Some(self.turns.take(true).await) } else { None };
            let component = fetch(digest, server, storage, &self.components).await?;
            let turn = match turn {
                Some(turn) => turn,
                None => self.turns.take(false).await,
            };
            Ok((component, turn))
        })
        .await
    }

    /// Keeps a component of this processor's own ready, so that it need not be fetched. `read` gives its bytes, which were
    /// found to have that digest; it is asked only where they have to be compiled, when it is their turn. Cancel safe.
    pub(super) async fn bring<R: Future<Output = Result<Vec<u8>, NoRelease>>>(
        &self,
        digest: Digest,
        read: impl FnOnce() -> R,
    ) -> Result<Arc<Ready>, NoRelease> {
        self.ready(digest, async |long| {
            // In the same order, so that nobody who has a turn waits for room that another holds who waits for a turn.
            let turn = if long { Some(self.turns.take(true).await) } else { None };
            let mut held = self.components.take(COMPONENT_MAX_BYTES, || false).await;
            let component = read().await?;
            held.shrink_to(component.len());
            let turn = match turn {
                Some(turn) => turn,
                None => self.turns.take(false).await,
            };
            Ok(((component, held), turn))
        })
        .await
    }

    /// Waits a moment for compilers that were called off.
    pub(super) async fn end(&self) {
        self.tasks.close();
        // What is left behind ends by its own limits.
        let _ = tokio::time::timeout(LAST_COMPILER, self.tasks.wait()).await;
    }

    /// The release; where it has to be compiled, `source` gives the component and a turn, a long one if it took long before.
    async fn ready(
        &self,
        digest: Digest,
        source: impl AsyncFnOnce(bool) -> Result<(Component, Turn), NoRelease>,
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
        source: impl AsyncFnOnce(bool) -> Result<(Component, Turn), NoRelease>,
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
                Ok((component, turn)) => self.compile(digest, component, turn, long).await,
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

    /// The release as it was compiled earlier: that waits for nobody's turn.
    async fn cached(&self, digest: Digest) -> Option<Release> {
        let _place = self.loading.acquire().await;
        let runtime = self.runtime.clone();
        let found = tokio::task::spawn_blocking(move || runtime.cached(ReleaseDigest::from_bytes(*digest.as_bytes())));
        // One that panics has no code for us.
        found.await.ok().flatten()
    }

    async fn describe(&self, digest: Digest, release: Release) -> Result<Ready, NotReady> {
        // It takes a slot of the runtime, and may not take one from a job.
        let _place = self.describing.acquire().await;
        let allowed = Arc::clone(&self.allowed);
        let describing = tokio::task::spawn_blocking(move || describe(&allowed, digest, release));
        describing.await.unwrap_or_else(|error| Err(NotReady::panicked(digest, &error)))
    }

    /// Compiles a component. `digest` was found to be the component's.
    async fn compile(&self, digest: Digest, component: Component, turn: Turn, long: bool) -> Result<Release, NotReady> {
        let (runtime, turns) = (self.runtime.clone(), Arc::clone(&self.turns));
        let called_off = CalledOff(Cancel::default());
        let (cancel, make_room) = (called_off.0.clone(), called_off.0.clone());
        // In a task of its own: whoever called it off may be gone before the compiler is, which still has its turn.
        let compiling = self.tasks.spawn(async move {
            let work = tokio::task::spawn_blocking(move || {
                let (bytes, held) = component;
                let compiled = runtime.compile(ReleaseDigest::from_bytes(*digest.as_bytes()), &bytes, &cancel);
                drop((bytes, held));
                compiled.map_err(|error| NotReady::installing(digest, &error))
            });
            let done = if long {
                let done = work.await;
                drop(turn);
                done
            } else {
                turns.attend(turn, work, || make_room.cancel()).await
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

    fn installing(digest: Digest, error: &InstallError) -> Self {
        let made_room = matches!(error, InstallError::Cancelled);
        let why = if made_room {
            format!("release `{digest}` takes long to compile, and others wait: it is compiled beside them")
        } else {
            format!("release `{digest}` does not run here: {error} (hint: {})", error.hint())
        };
        Self { again: error.again(), made_room, why }
    }
}

impl Drop for CalledOff {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Fetches a component, and holds it against its digest; a few times where it was damaged on its way, which says nothing of the release.
async fn fetch(
    digest: Digest,
    server: &Server,
    storage: &Storage,
    components: &Budget,
) -> Result<Component, NoRelease> {
    let (mut attempt, mut backoff) = (1, backoff());
    loop {
        match fetch_once(digest, server, storage, components).await? {
            Ok(component) => return Ok(component),
            Err(why) if attempt == ASKED_AGAIN => {
                return Err(NoRelease::Damaged(format!("release `{digest}` cannot be fetched: {why}")));
            }
            Err(_) => {
                attempt += 1;
                backoff.wait().await;
            }
        }
    }
}

/// The component, or within why it was damaged.
async fn fetch_once(
    digest: Digest,
    server: &Server,
    storage: &Storage,
    components: &Budget,
) -> Result<Result<Component, String>, NoRelease> {
    let fault = |why: String| NoRelease::Fault(format!("release `{digest}` cannot be fetched: {why}"));
    let path = paths::COMPONENT.replace("{digest}", &digest.to_string());
    let url: ComponentUrl = server.get(&path).await.map_err(|error| fault(error.to_string()))?;
    let length = usize::try_from(url.get.length).unwrap_or(usize::MAX).min(COMPONENT_MAX_BYTES);
    let held = components.take(length, || false).await;
    let component = match storage.get(&url.get, COMPONENT_MAX_BYTES, 0).await {
        Ok(component) => component,
        Err(error @ StorageError::Other(_)) => return Ok(Err(error.to_string())),
        Err(error @ StorageError::Away(_)) => {
            return Err(NoRelease::Away(format!("release `{digest}` cannot be fetched: {error}")));
        }
        Err(error) => return Err(fault(error.to_string())),
    };
    // Some MiB to hash: not on a thread that answers heartbeats.
    let hashing = tokio::task::spawn_blocking(move || (Digest::of(&component), component)).await;
    let (found, component) = hashing.map_err(|error| fault(error.to_string()))?;
    if found == digest {
        Ok(Ok((component, held)))
    } else if found.to_string() != url.get.sha256 {
        Ok(Err(format!("the object has the SHA-256 `{found}` instead of `{}`", url.get.sha256)))
    } else {
        Err(NoRelease::Refused(format!("the server gives component `{found}` as release `{digest}`")))
    }
}

/// Asks a release what it is, within what its runs may use. Blocks.
fn describe(allowed: &Allowed, digest: Digest, release: Release) -> Result<Ready, NotReady> {
    let said = release.describe(allowed.of(digest)).map_err(|error| {
        let again = match &error {
            DescribeError::Ended(failure) if failure.outcome().retryable() => Again::Later,
            // Its time on the clock, on a machine that had none.
            DescribeError::Ended(failure) if failure.outcome() == Outcome::TimedOut => Again::FewTimes,
            _ => Again::Never,
        };
        let why = format!("release `{digest}` does not run here: {error} (hint: tell its author)");
        NotReady { again, made_room: false, why }
    })?;
    Ok(Ready { release, described: Described::new(&said) })
}
