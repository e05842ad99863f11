//! Watching folders. What the system tells of changes are hints only: now and then the folders are looked through, every few
//! seconds where its word is not to be trusted, and a file is taken when it has come to rest.

mod begun;
mod folders;
#[cfg(target_os = "linux")]
mod lease;
mod left;
mod listen;
mod mounts;
mod others;
mod pace;
mod rest;
mod settle;
mod writers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::context::{Context, Work, check_wanted};
use crate::driver::{Driver, Kind, Unkept};
use crate::engines::Wanted;
use crate::error::Error;
use crate::event::{Event, Note, Recovery, Trouble};
use crate::export::Export;
use crate::parameters::GivenParameters;
use crate::recipe::Recipe;
use crate::rules::Rules;
use crate::standing::StandingRules;
use crate::taken::Taken;
use crate::walk::{Root, folder_root};
use crate::why_nothing::WhyNothing;
use begun::Begun;
use folders::{Folders, Look, Ways};

/// How often to see whether there is room for the journal again.
const ROOM_CHECK: Duration = Duration::from_secs(5);
/// How often to see whether there is something that may be sealed for.
const RECIPIENT_CHECK: Duration = Duration::from_secs(2);

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Folders.
    pub folders: Vec<PathBuf>,
    /// Name of the engine, or `auto`: for each file the one that fits it. The only one, or `size`, if absent.
    pub engine: Option<String>,
    /// Send even content that was sent before.
    pub again: bool,
    /// gitignore patterns of what to leave out, over those of the folders' own rule files.
    pub ignore: Vec<String>,
    /// Where to keep sealed results as `NAME.age`.
    pub export: Option<PathBuf>,
    /// How long a file must stay as it is before it is sent. If absent, what is seen of whoever writes into its folder decides.
    pub settle: Option<Duration>,
    /// Send what programs and desktops leave in folders, too: temporary and system files, and what version control keeps there.
    pub temporary: bool,
    /// What to set of the engine's parameters; one engine's only.
    pub parameters: GivenParameters,
}

impl Context {
    /// Sends what is in folders and what appears in them, until the activity is stopped.
    ///
    /// # Errors
    ///
    /// [`Error::NoFolder`] for what is not a folder, [`Error::Watched`] for one that another activity of this home watches for the
    /// same engine, [`Error::Glob`], and what concerns all files. Nothing is lost: the next watcher goes on.
    pub(crate) async fn watch(&self, options: WatchOptions) -> Result<(), Error> {
        let unkept = Arc::<Unkept>::default();
        let result = self.watch_until_stopped(&options, &unkept).await;
        if let Some(export) = &options.export {
            unkept.tell_left(export, &self.events).await;
        }
        result
    }

    async fn watch_until_stopped(&self, options: &WatchOptions, unkept: &Arc<Unkept>) -> Result<(), Error> {
        let stop = &self.stop;
        let mut begun = self.begin_watch(options)?;
        let taken = Arc::<Taken>::default();
        loop {
            match self.watch_while_there_is_room(&mut begun, options, (&taken, unkept)).await {
                Err(Error::Stopped) if stop.is_cancelled() => {
                    if !begun.is_watching {
                        self.tell_left(&begun).await;
                    }
                    return Ok(());
                }
                // Nothing is lost, as if this program had ended here: what was begun goes on when there is room.
                Err(error @ Error::JournalFull { .. }) => {
                    self.events.tell(Event::Trouble(Trouble::JournalFull { error })).await;
                    loop {
                        tokio::select! {
                            () = stop.cancelled() => return Ok(()),
                            () = tokio::time::sleep(ROOM_CHECK) => {}
                        }
                        match self.journal.has_room().await {
                            Ok(()) => break,
                            // On a full disk it cannot even be opened.
                            Err(Error::JournalFull { .. } | Error::Journal { .. }) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    taken.forget_unsaid();
                    self.progress.forget_open();
                    self.events.tell(Event::Recovered(Recovery::JournalRoom)).await;
                }
                other => return other,
            }
        }
    }

    /// Looks at what the user named.
    fn begin_watch(&self, options: &WatchOptions) -> Result<Begun, Error> {
        let roots = options.folders.iter().map(|folder| folder_root(folder)).collect::<Result<Vec<_>, _>>()?;
        let rules = |root: &Root| {
            let rules = Rules::new(&root.path, &options.ignore)?;
            Ok(Arc::new(if options.temporary { rules } else { rules.without_temporary() }))
        };
        let rules = roots.iter().map(rules).collect::<Result<Vec<_>, Error>>()?;
        let export = options.export.as_deref().map(Export::new).transpose()?;
        let results = export.as_ref().map(Export::folder);
        if let Some(root) = roots.iter().find(|root| Some(&*root.path) == results) {
            let detail = "it is watched itself; a folder in it may be named".to_owned();
            return Err(Error::File { action: "keep results in", path: root.given.clone(), detail });
        }
        let wanted = Wanted::parse(options.engine.as_deref());
        check_wanted(&wanted, &options.parameters)?;
        Ok(Begun { roots, rules, export, wanted, is_noted: false, is_watching: false, parameters: None })
    }

    async fn watch_while_there_is_room(
        &self,
        begun: &mut Begun,
        options: &WatchOptions,
        (taken, unkept): (&Arc<Taken>, &Arc<Unkept>),
    ) -> Result<(), Error> {
        let export = begun.export.clone();
        let exports = self.journal.export_folders(export.as_ref().map(Export::folder)).await?;
        let roots: Vec<Root> =
            begun.roots.iter().map(|root| root.clone().without(self.home.path(), &exports)).collect();
        let rules = begun.rules.clone();
        // First of all: whoever asks for the status sees what waits, and why, while server or pool are waited for.
        // Of two programs that begin at once, one sees the other.
        let lock = self.journal.lock(&self.home).await?;
        if !begun.is_noted {
            self.check_unwatched(begun).await?;
        }
        for root in &roots {
            self.journal.watch(self.session.id(), &root.path, &options.ignore, options.engine.as_deref()).await?;
            self.journal.watch_temporary(self.session.id(), &root.path, options.temporary).await?;
        }
        begun.is_noted = true;
        drop(lock);
        // Files wait for descriptions that are yet to come, each by itself.
        let recipe = self.recipe_in_time(begun).await?;
        let parameters = match &begun.parameters {
            Some(parameters) => parameters.clone(),
            None => {
                // Now somebody sits there who can name one; what happens to the releases later only makes files wait.
                recipe.engines.check()?;
                self.recipes.tell_undescribable(&recipe.engines).await;
                let parameters = self.parameters(&options.parameters, &recipe).await?;
                begun.parameters.insert(parameters).clone()
            }
        };
        let work = Work {
            roots: roots.clone(),
            rules: Arc::new(StandingRules::new(roots.iter().cloned().zip(rules.iter().cloned()).collect())),
            export,
            again: options.again,
            taken: Arc::clone(taken),
            unkept: Arc::clone(unkept),
            parameters,
        };
        let shared = self.shared(&recipe, work);
        let mut driver = Driver::open(Arc::clone(&shared), Kind::Watch, recipe, Arc::clone(&self.recipes)).await?;
        self.take_over(&shared, &mut driver).await?;
        begun.is_watching = true;
        for root in &roots {
            self.events.tell(Event::Note(Note::Watching { folder: root.given.clone() })).await;
        }
        let (met, found) = mpsc::channel(4);
        let (looks, looked) = watch::channel(Vec::new());
        let looking = TaskTracker::new();
        let ways = Ways {
            met,
            events: self.events.clone(),
            looks,
            taken: Arc::clone(&shared.taken),
            stop: self.stop.child_token(),
        };
        // A thread does not end by itself when this future is dropped.
        let guard = ways.stop.clone().drop_guard();
        let roots = roots.into_iter().zip(rules).collect();
        let settle = options.settle;
        looking.spawn_blocking(move || Folders::new(roots, settle, ways).look());
        looking.close();
        let result = tokio::select! {
            result = driver.run(found) => result,
            () = self.note_looks(looked) => Err(Error::Stopped),
        };
        drop(guard);
        self.wait_for(&looking).await;
        result
    }

    /// Lists the releases, and checks the pool's recipient. While there is nothing that may be sealed for, and that may come right by
    /// itself, it is said and waited for.
    async fn recipe_in_time(&self, begun: &Begun) -> Result<Recipe, Error> {
        let mut told = WhyNothing::default();
        loop {
            let error = match self.recipe(&begun.wanted, false).await {
                Err(error) if begun.may_wait_for(&error) => error,
                other => return other,
            };
            if let Some(event) = told.event(&error) {
                self.events.tell(event).await;
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(Error::Stopped),
                () = tokio::time::sleep(RECIPIENT_CHECK) => {}
            }
        }
    }

    /// Writes down how folders are looked through, for whoever asks for the status. Never ends.
    async fn note_looks(&self, mut looked: watch::Receiver<Vec<(PathBuf, Look)>>) {
        while looked.changed().await.is_ok() {
            let looks = looked.borrow_and_update().clone();
            for (folder, look) in looks {
                let (why, every_s) = look.map_or_else(Default::default, |often| (often.why, often.every.as_secs()));
                // Nothing depends on it; whatever else is written says that it cannot be.
                let _ = self.journal.watch_look(self.session.id(), &folder, &why, every_s).await;
            }
        }
        std::future::pending().await
    }
}
