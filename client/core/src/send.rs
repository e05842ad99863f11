//! Sending files and folders, once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::context::{Context, Work, check_wanted};
use crate::driver::{Driver, Kind};
use crate::engines::Wanted;
use crate::error::Error;
use crate::export::Export;
use crate::parameters::GivenParameters;
use crate::rules::Rules;
use crate::walk::{Met, Root, Walk, walk_into};

/// What to send.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Name of the engine, or `auto`: for each file the one that fits it. The only one, or `size`, if absent.
    pub engine: Option<String>,
    /// Send even what was sent before.
    pub again: bool,
    /// gitignore patterns of what to leave out.
    pub ignore: Vec<String>,
    /// Where to keep sealed results as `NAME.age`.
    pub export: Option<PathBuf>,
    /// Send what programs and desktops leave in folders, too: temporary and system files, and what version control keeps there.
    pub temporary: bool,
    /// What to set of the engine's parameters; one engine's only.
    pub parameters: GivenParameters,
}

/// What these paths name, each once, however often it is named; and what cannot be had.
fn named(paths: &[PathBuf]) -> (Vec<Root>, Vec<Met>) {
    let (mut named, mut missing) = (HashSet::new(), HashSet::new());
    let (mut roots, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        match Root::new(path) {
            Ok(root) if named.insert(root.path.clone()) => roots.push(root),
            Err(reason) if missing.insert(std::path::absolute(path).unwrap_or_else(|_| path.clone())) => {
                unreadable.push(Met::Unreadable { path: path.clone(), reason });
            }
            Ok(_) | Err(_) => {}
        }
    }
    let named = Arc::new(named);
    for root in &mut roots {
        root.inner = Arc::clone(&named);
    }
    (roots, unreadable)
}

impl Context {
    /// Sends files and folders, and returns when each has its last word.
    ///
    /// # Errors
    ///
    /// What concerns all files, before or while they are sent. [`Error::Stopped`] if the activity was stopped.
    pub(crate) async fn send(&self, options: SendOptions) -> Result<(), Error> {
        // Before anything is asked of anybody.
        for glob in &options.ignore {
            Rules::globs_only(Path::new("/"), std::slice::from_ref(glob))?;
        }
        let export = options.export.as_deref().map(Export::new).transpose()?;
        let wanted = Wanted::parse(options.engine.as_deref());
        check_wanted(&wanted, &options.parameters)?;
        let recipe = self.recipe(&wanted, true).await?;
        recipe.engines.check()?;
        self.recipes.tell_undescribable(&recipe.engines).await;
        let parameters = self.parameters(&options.parameters, &recipe).await?;
        let account = self.config.account();
        self.journal.adopt(&self.home, &account, &self.session).await?;
        self.catch_up_with_the_begun().await?;
        let exports = self.journal.export_folders(export.as_ref().map(Export::folder)).await?;
        let (mut roots, unreadable) = named(&options.paths);
        for root in &mut roots {
            *root = root.clone().without(self.home.path(), &exports);
        }
        let work = Work { roots: roots.clone(), export, again: options.again, parameters, ..Work::default() };
        let shared = self.shared(&recipe, work);
        let (met, found) = mpsc::channel(4);
        let walks = TaskTracker::new();
        walks.spawn_blocking(move || {
            if !unreadable.is_empty() && met.blocking_send(unreadable).is_err() {
                return;
            }
            for root in &roots {
                // Checked above.
                let Ok(mut rules) = Rules::globs_only(&root.path, &options.ignore) else {
                    return;
                };
                if !options.temporary {
                    rules = rules.without_temporary();
                }
                if walk_into(Walk::new(root), root, &rules, &met).is_break() {
                    return;
                }
            }
        });
        walks.close();
        let result = Driver::open(shared, Kind::Send, recipe, Arc::clone(&self.recipes)).await?.run(found).await;
        self.wait_for(&walks).await;
        result
    }

    /// Learns what became meanwhile of what earlier programs began: what was cancelled since is sent anew, not waited for.
    async fn catch_up_with_the_begun(&self) -> Result<(), Error> {
        if self.journal.unfinished_uploads(&self.config.account(), self.session.id()).await?.is_empty() {
            return Ok(());
        }
        tokio::select! {
            caught_up = self.inbox.read_on() => match caught_up {
                // Whoever follows the events waits for the server, and reads them from the beginning where it must.
                Err(Error::Unreachable { .. } | Error::Refused { .. } | Error::Protocol { .. }) | Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }
}
