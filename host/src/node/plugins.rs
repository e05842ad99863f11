//! Engines that are dropped into a folder of this processor: each is offered to the clients of its pool as `local/NAME`.
//!
//! The folder is looked at again and again. What was copied in, replaced or removed counts once it has been the same for two
//! looks, so that no half-written file is taken. Jobs in flight go on with the release that they were sealed for.

mod folder;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{ErrorBody, Item, Offer, OfferAnswer, OfferRequest, SignedPut, limits, paths};
use filemill_seal::Digest;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Node;
use super::backoff::Backoff;
use super::described::Described;
use super::events::event;
use super::releases::{NoRelease, Ready};

pub use folder::EngineFolderError;
use folder::{EngineFolder, Found, Listed, NotTaken, Stamp};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often the server is told although nothing changed: a node that is too busy to ask for work is not seen otherwise, and
/// what it offers would be gone after a minute.
const TELL_AGAIN: Duration = Duration::from_secs(20);
/// How long the last list, the empty one, may take.
const LAST_WORD: Duration = Duration::from_secs(2);
/// Messages that are remembered.
const SAID_MAX: usize = 200;
/// The largest component that is taken, in bytes.
const COMPONENT_MAX_BYTES: usize = limits::MAX_COMPONENT_BYTES as usize;

/// Whether engines may be dropped into a folder.
///
/// # Errors
///
/// [`EngineFolderError`] says why not.
pub fn check_engines(dir: &Path) -> Result<(), EngineFolderError> {
    EngineFolder::open(dir).map(drop)
}

/// Offers what lies in `dir` until `stop` is cancelled.
pub(super) async fn run(node: Arc<Node>, dir: PathBuf, stop: CancellationToken) {
    let mut plugins =
        Plugins { node, dir, files: BTreeMap::new(), said: HashSet::new(), told: None, backoff: backoff() };
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            () = plugins.turn() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    plugins.withdraw().await;
}

struct Plugins {
    node: Arc<Node>,
    dir: PathBuf,
    /// By name.
    files: BTreeMap<String, File>,
    /// What was said: once is enough.
    said: HashSet<String>,
    /// The list that the server has, and since when.
    told: Option<(Vec<Offer>, Instant)>,
    backoff: Backoff,
}

/// One file in the folder.
struct File {
    stamp: Stamp,
    state: State,
    /// The release that was ready before the file changed: offered until the new one is.
    before: Option<Plugin>,
}

enum State {
    /// It came or changed: the same at the next look, it is taken.
    Settling,
    /// It is no engine that could run here, which was said.
    Bad,
    Ready(Plugin),
}

/// An engine that is ready.
#[derive(Clone)]
struct Plugin {
    digest: Digest,
    length: u64,
    contract: u32,
    described: Arc<Described>,
    stored: bool,
}

impl Plugins {
    /// Looks at the folder, takes what settled, and tells the server what changed.
    async fn turn(&mut self) {
        let dir = self.dir.clone();
        let looked = tokio::task::spawn_blocking(move || look(&dir)).await;
        match looked.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(Listed { found, misnamed }) => {
                for name in misnamed {
                    self.say(format!(
                        "`{name}` is not offered: its name has more than letters, digits, `.`, `_` and `-`"
                    ));
                }
                self.take_in(found).await;
            }
            Err(why) => self.say(format!("engines that were dropped in are not looked at: {why}")),
        }
        self.tell().await;
    }

    /// Says what is wrong, once.
    fn say(&mut self, trouble: String) {
        if self.said.len() >= SAID_MAX {
            self.said.clear();
        }
        if !self.said.contains(&trouble) {
            tracing::warn!("{trouble}");
            self.said.insert(trouble);
        }
    }

    async fn take_in(&mut self, found: Vec<Found>) {
        let gone = |name: &String| !found.iter().any(|found| found.name == *name);
        let removed: Vec<String> = self.files.keys().filter(|name| gone(name)).cloned().collect();
        for name in removed {
            tracing::info!("`local/{name}` is not offered any more: its file is gone");
            self.files.remove(&name);
        }
        for found in found {
            let full = self.files.len() >= limits::MAX_OFFERED_ENGINES;
            match self.files.get_mut(&found.name) {
                Some(file) if file.stamp == found.stamp => {
                    if matches!(file.state, State::Settling) {
                        self.install(found).await;
                    }
                }
                Some(file) => {
                    file.stamp = found.stamp;
                    if let State::Ready(plugin) = std::mem::replace(&mut file.state, State::Settling) {
                        file.before = Some(plugin);
                    }
                }
                None if full => {
                    let most = limits::MAX_OFFERED_ENGINES;
                    self.say(format!("`{}.wasm` is not offered: there are more than {most} engines", found.name));
                }
                None => {
                    let file = File { stamp: found.stamp, state: State::Settling, before: None };
                    self.files.insert(found.name, file);
                }
            }
        }
    }

    /// Reads a file once: those bytes are hashed, compiled, and asked what they are.
    async fn install(&mut self, found: Found) {
        let name = found.name.clone();
        let state = match self.read(found).await {
            Err(NotTaken::Changing) => State::Settling,
            Err(NotTaken::Refused(why)) => bad(&name, &why),
            Ok(component) => {
                let (digest, length) = (Digest::of(&component), component.len() as u64);
                match self.node.releases.bring(&name, digest, component).await {
                    Ok(Ready { release, described, .. }) => {
                        let contract = u32::try_from(release.contract().major()).unwrap_or(u32::MAX);
                        tracing::info!(release = %digest, version = described.version, "`local/{name}` is ready");
                        State::Ready(Plugin { digest, length, contract, described, stored: false })
                    }
                    Err(NoRelease::Unfit(why) | NoRelease::Refused(why)) => bad(&name, &why),
                    Err(NoRelease::Fault(why)) => {
                        self.say(format!("`{name}.wasm` is tried again: {why}"));
                        self.backoff.wait().await;
                        State::Settling
                    }
                }
            }
        };
        if let Some(file) = self.files.get_mut(&name) {
            if !matches!(state, State::Settling) {
                file.before = None;
            }
            file.state = state;
        }
    }

    async fn read(&self, found: Found) -> Result<Vec<u8>, NotTaken> {
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || {
            let folder = EngineFolder::open(&dir).map_err(|error| NotTaken::Refused(error.to_string()))?;
            folder.read(&found, COMPONENT_MAX_BYTES)
        });
        read.await.unwrap_or_else(|error| Err(NotTaken::Refused(error.to_string())))
    }

    /// Tells the server what is offered, where that changed or it is time.
    async fn tell(&mut self) {
        let offers = self.offers();
        let is_known = |(told, at): &(Vec<Offer>, Instant)| *told == offers && at.elapsed() < TELL_AGAIN;
        if self.told.as_ref().is_some_and(is_known) || (self.told.is_none() && offers.is_empty()) {
            return;
        }
        let request = OfferRequest { node: self.node.id.clone(), engines: offers.clone() };
        let path = paths::ENGINES.replace("{pool}", &self.node.pool);
        match self.node.server.put::<OfferAnswer>(&path, &request).await {
            Ok(answer) => {
                self.backoff.reset();
                if self.heed(&offers, answer).await {
                    self.told = Some((offers, Instant::now()));
                }
            }
            Err(error) if error.is_transient() => self.backoff.wait().await,
            Err(error) => {
                self.say(format!("the server takes no engines of this processor: {error}"));
                self.told = Some((offers, Instant::now()));
            }
        }
    }

    /// Every engine that is ready; where a file changes, the one it was.
    fn offers(&self) -> Vec<Offer> {
        let offer = |(name, file): (&String, &File)| {
            let plugin = match &file.state {
                State::Ready(plugin) => plugin,
                State::Settling => file.before.as_ref()?,
                State::Bad => return None,
            };
            Some(Offer {
                name: name.clone(),
                digest: plugin.digest.to_string(),
                length: plugin.length,
                contract: plugin.contract,
                description: plugin.described.document.clone(),
                stored: plugin.stored,
            })
        };
        self.files.iter().filter_map(offer).collect()
    }

    /// Stores the components that the server lacks. Says whether there is nothing left to do about the list.
    async fn heed(&mut self, offers: &[Offer], answer: OfferAnswer) -> bool {
        let mut settled = true;
        for (offer, item) in offers.iter().zip(answer.engines) {
            match item {
                Item::Ok(state) if state.visible => event!("engine offered", name = offer.name, release = offer.digest),
                Item::Ok(state) => {
                    settled = false;
                    if let Some(put) = state.put {
                        self.store(offer, &put).await;
                    }
                }
                Item::Error(ErrorBody { message, hint, .. }) => {
                    let hint = hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
                    self.say(format!("the server does not take `local/{}`: {message}{hint}", offer.name));
                }
            }
        }
        settled
    }

    async fn store(&mut self, offer: &Offer, put: &SignedPut) {
        let Some(file) = self.files.get(&offer.name) else { return };
        let component = self.read(Found { name: offer.name.clone(), stamp: file.stamp }).await;
        // Read again rather than kept: what is stored has to be what was offered.
        let component = match component {
            Ok(component) if Digest::of(&component).to_string() == offer.digest => component,
            _ => return,
        };
        match self.node.storage.put(put, component.into()).await {
            Ok(()) => {
                if let Some(File { state: State::Ready(plugin), .. }) = self.files.get_mut(&offer.name) {
                    plugin.stored = true;
                }
            }
            Err(error) => {
                self.say(format!("`{}.wasm` cannot be stored for the pool: {error}", offer.name));
                self.backoff.wait().await;
            }
        }
    }

    /// Takes every offer back: the node ends.
    async fn withdraw(&self) {
        if self.told.as_ref().is_none_or(|(offers, _)| offers.is_empty()) {
            return;
        }
        let request = OfferRequest { node: self.node.id.clone(), engines: Vec::new() };
        let path = paths::ENGINES.replace("{pool}", &self.node.pool);
        // Where it is not heard, the offers end by themselves when the node is not seen any more.
        let _ = timeout(LAST_WORD, self.node.server.put::<OfferAnswer>(&path, &request)).await;
    }
}

/// What lies there; or what is wrong with the folder, with a hint.
fn look(dir: &Path) -> Result<Listed, String> {
    match EngineFolder::open(dir) {
        Ok(folder) => folder.list().map_err(|error| format!("`{}`: {error}", dir.display())),
        // It may come yet.
        Err(EngineFolderError::Missing(_)) => Ok(Listed::default()),
        Err(error) => Err(format!("{error} (hint: {})", error.hint())),
    }
}

fn bad(name: &str, why: &str) -> State {
    tracing::warn!("`{name}.wasm` is not offered: {why}");
    State::Bad
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(200), Duration::from_secs(10))
}
