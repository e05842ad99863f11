//! Engines that are dropped into a folder of this processor: each is offered to the clients of its pool as `local/NAME`.
//!
//! The folder is looked at again and again. What was copied in, replaced or removed counts once it has been the same for two
//! looks, so that no half-written file is taken. Jobs in flight go on with the release that they were sealed for.
//!
//! One task holds what is known of the files; all that may take long (looking, installing, telling the server, storing) is done
//! in tasks of its own, so that no file is in the way of another.

mod file;
mod folder;
mod installing;
mod offering;
mod warnings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{ErrorBody, Item, Offer, OfferAnswer, OfferRequest, SignedPut, limits, paths};
use filemill_seal::Digest;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::file::{Due, File, Taken};
use self::folder::{EngineFolder, Found, Listed};
use self::installing::Source;
use self::offering::Offering;
use self::warnings::Warnings;
use crate::net::{CallError, Server, Storage, ToldBefore};
use crate::releases::{NamedLimits, Releases};
use crate::telemetry::event;

pub use self::folder::EngineFolderError;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Files that are known by name, good and bad.
const FILES_MAX: usize = 2_000;

/// Whether engines may be dropped into a folder.
///
/// # Errors
///
/// [`EngineFolderError`] says why not.
pub fn check_engines(dir: &Path) -> Result<(), EngineFolderError> {
    EngineFolder::open(dir).map(drop)
}

/// What engines that are dropped in need of a node.
pub(crate) struct PluginParts {
    pub(crate) server: Arc<Server>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) releases: Arc<Releases>,
    pub(crate) limits: Arc<NamedLimits>,
    pub(crate) told: Arc<ToldBefore>,
}

/// Offers what lies in `dir` until `stop` is cancelled.
pub(crate) async fn run(parts: PluginParts, dir: PathBuf, stop: CancellationToken) {
    let PluginParts { server, storage, releases, limits, told } = parts;
    let mut plugins = Plugins {
        server,
        limits: Arc::clone(&limits),
        told,
        source: Source::new(dir.clone(), storage, releases, limits),
        dir,
        files: BTreeMap::new(),
        installs: 0,
        warnings: Warnings::default(),
        offering: Offering::default(),
        tasks: JoinSet::new(),
    };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looking = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = looks.tick() => {
                if !looking {
                    looking = true;
                    plugins.look();
                }
            }
            // Its database is not the one that was told.
            () = plugins.told.lacks_offers() => plugins.offering.tell_again(),
            Some(done) = plugins.tasks.join_next() => match done {
                Ok(done) => {
                    looking &= !matches!(done, Done::Looked(_));
                    plugins.heed(done);
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => {
                    // Whichever it was: neither is ever waited for in vain.
                    looking = false;
                    plugins.offering.not_told(Instant::now());
                    tracing::error!("a task of the dropped-in engines panicked: {error}");
                }
            }
        }
        plugins.tell();
    }
    // What was offered is taken back when the node signs off.
    plugins.tasks.shutdown().await;
}

struct Plugins {
    server: Arc<Server>,
    limits: Arc<NamedLimits>,
    told: Arc<ToldBefore>,
    dir: PathBuf,
    source: Source,
    /// By name.
    files: BTreeMap<String, File>,
    /// Installs begun so far: tells the answer of one from that of another.
    installs: u64,
    warnings: Warnings,
    offering: Offering,
    tasks: JoinSet<Done>,
}

/// What a task came to.
enum Done {
    Looked(Result<Listed, String>),
    Taken { name: String, install: u64, taken: Taken },
    Told { offers: Vec<Offer>, answer: Result<OfferAnswer, CallError> },
    Stored { name: String, digest: Digest, result: Result<(), String> },
}

impl Plugins {
    fn look(&mut self) {
        let dir = self.dir.clone();
        self.tasks.spawn(async move {
            let looked = tokio::task::spawn_blocking(move || look(&dir)).await;
            Done::Looked(looked.unwrap_or_else(|error| Err(error.to_string())))
        });
    }

    fn heed(&mut self, done: Done) {
        match done {
            Done::Looked(Ok(listed)) => {
                warn(self.warnings.of_folder(None, Instant::now()));
                self.take_in(listed);
            }
            // Nothing is known of the files: what is offered goes on.
            Done::Looked(Err(why)) => {
                let why = format!("engines that were dropped in are not looked at: {why}");
                warn(self.warnings.of_folder(Some(why), Instant::now()));
            }
            Done::Taken { name, install, taken } => self.taken(&name, install, taken),
            Done::Told { offers, answer } => self.told(offers, answer),
            Done::Stored { name, digest, result } => self.stored(&name, digest, result),
        }
        warn(self.warnings.of_others(Instant::now()));
    }

    /// Compares what lies in the folder with what is known, and installs what has settled.
    fn take_in(&mut self, listed: Listed) {
        let Listed { found, misnamed, unseen } = listed;
        let is_there = |name: &str| {
            found.binary_search_by(|found| found.name.as_str().cmp(name)).is_ok() || unseen.iter().any(|it| it == name)
        };
        let gone: Vec<String> = self.files.keys().filter(|name| !is_there(name)).cloned().collect();
        for name in gone {
            // Dropping it calls its install off.
            if self.files.remove(&name).is_some_and(|file| file.plugin().is_some()) {
                tracing::info!("`local/{name}` is not offered any more: its file is gone");
            }
        }
        let names = found.iter().map(|found| &found.name).chain(&unseen);
        let subjects = names.flat_map(|name| [file_name(name), offered_name(name)]);
        self.warnings.keep_only(&subjects.chain(misnamed.iter().cloned()).collect());
        for name in misnamed {
            let why = format!("`{name}` is not offered: its name has more than letters, digits, `.`, `_` and `-`");
            warn(self.warnings.of(&name, why));
        }
        // Offered or about to be. Bad files take no place.
        let mut places = self.files.values().filter(|file| file.has_place()).count();
        for found in found {
            if !self.files.contains_key(&found.name) && self.files.len() >= FILES_MAX {
                self.warn_of(&found.name, &format!("not looked at: there are more than {FILES_MAX} files"));
                continue;
            }
            let file = self.files.entry(found.name.clone()).or_insert_with(|| File::new(found.stamp));
            let needs_place = !file.has_place();
            match file.look(found.stamp, Instant::now()) {
                Due::No => {}
                Due::Changed => self.warnings.settle(&file_name(&found.name)),
                Due::Now if needs_place && places >= limits::MAX_OFFERED_ENGINES => {
                    let most = limits::MAX_OFFERED_ENGINES;
                    self.warn_of(&found.name, &format!("not offered: there are {most} engines already"));
                }
                Due::Now => {
                    places += usize::from(needs_place);
                    self.install(found);
                }
            }
        }
    }

    fn install(&mut self, found: Found) {
        self.installs += 1;
        let (install, name) = (self.installs, found.name.clone());
        let (source, of) = (self.source.clone(), found.name.clone());
        let task = self.tasks.spawn(async move {
            let taken = source.take(found).await;
            Done::Taken { name: of, install, taken }
        });
        if let Some(file) = self.files.get_mut(&name) {
            file.begin(install, task);
        }
    }

    fn taken(&mut self, name: &str, install: u64, taken: Taken) {
        // The file was removed or replaced meanwhile.
        let Some(file) = self.files.get_mut(name).filter(|file| file.is_installing(install)) else { return };
        let trouble = match &taken {
            Taken::Changing => None,
            Taken::NotNow { why, .. } => Some(format!("tried again: {why}")),
            Taken::Bad(why) => Some(format!("not offered: {why}")),
            Taken::Ready(plugin) => {
                tracing::info!(release = %plugin.digest, version = plugin.version, "`local/{name}` is ready");
                self.warnings.settle(&file_name(name));
                None
            }
        };
        file.end(taken, Instant::now());
        if let Some(trouble) = trouble {
            self.warn_of(name, &trouble);
        }
    }

    /// Says what becomes of a file.
    fn warn_of(&mut self, name: &str, what: &str) {
        warn(self.warnings.of(&file_name(name), format!("`{name}.wasm` is {what}")));
    }

    /// Tells the server what is offered, where that changed or it is time.
    fn tell(&mut self) {
        let offer = |(name, file): (&String, &File)| file.plugin().map(|plugin| plugin.offer(name));
        let offers: Vec<Offer> = self.files.iter().filter_map(offer).collect();
        if !self.offering.is_due(&offers, Instant::now()) {
            return;
        }
        self.offering.telling(&offers);
        // So that no name is forgotten while it is in use.
        for (name, plugin) in self.files.iter().filter_map(|(name, file)| Some((name, file.plugin()?))) {
            self.limits.name(plugin.digest, name);
        }
        let server = Arc::clone(&self.server);
        self.tasks.spawn(async move {
            let request = OfferRequest { node: server.node().to_owned(), engines: offers.clone(), stopping: false };
            let path = paths::ENGINES.replace("{pool}", server.pool());
            let answer = server.put::<OfferAnswer>(&path, &request).await;
            Done::Told { offers, answer }
        });
    }

    fn told(&mut self, offers: Vec<Offer>, answer: Result<OfferAnswer, CallError>) {
        let now = Instant::now();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                if !error.is_transient() {
                    let why = format!("the server takes no engines of this processor: {error}");
                    warn(self.warnings.of_server(Some(why), now));
                }
                return self.offering.not_told(now);
            }
        };
        warn(self.warnings.of_server(None, now));
        self.offering.told(now);
        self.told.offered(count_taken(&answer));
        for (offer, item) in offers.iter().zip(answer.engines) {
            let subject = offered_name(&offer.name);
            match item {
                Item::Ok(state) if state.visible => {
                    if self.offering.settle(offer) {
                        event!("engine offered", name = offer.name, release = offer.digest);
                    }
                    self.warnings.settle(&subject);
                }
                Item::Ok(state) => match state.put {
                    Some(put) => self.store(offer, put),
                    None => self.offering.put_off(offer, now),
                },
                Item::Error(ErrorBody { message, hint, .. }) => {
                    self.offering.put_off(offer, now);
                    let hint = hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
                    let why = format!("the server does not take `local/{}`: {message}{hint}", offer.name);
                    warn(self.warnings.of(&subject, why));
                }
            }
        }
    }

    /// Stores a component that the server lacks.
    fn store(&mut self, offer: &Offer, put: SignedPut) {
        let Some((file, plugin)) = self.files.get(&offer.name).and_then(|file| Some((file, file.plugin()?))) else {
            return;
        };
        if plugin.digest.to_string() != offer.digest || !self.offering.storing(offer) {
            return;
        }
        let (name, digest) = (offer.name.clone(), plugin.digest);
        let found = Found { name: name.clone(), stamp: file.stamp() };
        let source = self.source.clone();
        self.tasks.spawn(async move {
            let result = source.store(found, digest, &put).await;
            Done::Stored { name, digest, result }
        });
    }

    fn stored(&mut self, name: &str, digest: Digest, result: Result<(), String>) {
        match result {
            Ok(()) => {
                if let Some(file) = self.files.get_mut(name) {
                    file.is_stored(digest);
                }
            }
            Err(why) => {
                let why = format!("`{name}.wasm` cannot be stored for the pool: {why}");
                warn(self.warnings.of(&offered_name(name), why));
            }
        }
        self.offering.stored(name, Instant::now());
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

/// How many offers the server has now. It lacks none of those that it refused: they are offered again in their own time.
fn count_taken(answer: &OfferAnswer) -> usize {
    answer.engines.iter().filter(|item| matches!(item, Item::Ok(_))).count()
}

fn warn(trouble: Option<String>) {
    if let Some(trouble) = trouble {
        tracing::warn!("{trouble}");
    }
}

fn file_name(name: &str) -> String {
    format!("{name}.wasm")
}

fn offered_name(name: &str) -> String {
    format!("local/{name}")
}

#[cfg(test)]
mod tests {
    use filemill_api::{ErrorCode, OfferState};

    use super::*;

    #[test]
    fn what_the_server_refused_it_does_not_lack() {
        let refused = ErrorBody { code: ErrorCode::OverQuota, message: "too many".to_owned(), hint: None };
        let stored = Item::Ok(OfferState { visible: true, put: None });
        let none = OfferAnswer { engines: vec![Item::Error(refused.clone())] };
        assert_eq!(count_taken(&none), 0);
        assert_eq!(count_taken(&OfferAnswer { engines: vec![Item::Error(refused), stored] }), 1);
    }
}
