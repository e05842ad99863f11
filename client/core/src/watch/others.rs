//! Other activities of the home, of this program and of others: what one of them sends is not sent by a second one, too.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::begun::Begun;
use crate::context::Context;
use crate::engines::Wanted;
use crate::error::Error;
use crate::journal::Watched;
use crate::rules::Rules;
use crate::stat::identity;
use crate::walk::Root;

impl Context {
    /// Checks that nobody else sends what lies in the watched folders.
    ///
    /// # Errors
    ///
    /// [`Error::Watched`] if another activity of this home does; [`Error::Stopped`] if this one is stopped before that is known.
    pub(super) async fn check_unwatched(&self, begun: &Begun) -> Result<(), Error> {
        let mut others = self.journal.watched_by_others(&self.home, self.session.id()).await?;
        others.retain(|(_, other, _)| may_be_one_engine(&begun.wanted, &Wanted::parse(other.engine.as_deref())));
        if others.is_empty() {
            return Ok(());
        }
        let roots: Vec<(Root, Arc<Rules>)> = begun.roots.iter().cloned().zip(begun.rules.iter().cloned()).collect();
        let checking = tokio::task::spawn_blocking(move || {
            for (root, rules) in &roots {
                if let Some((watched, _, process)) =
                    others.iter().find(|(folder, other, _)| is_sent_twice(&root.path, rules, folder, other))
                {
                    let (path, watched) = (root.given.clone(), watched.clone());
                    return Err(Error::Watched { path, watched, process: *process });
                }
            }
            Ok(())
        });
        tokio::select! {
            checked = checking => checked.map_err(|_| Error::Stopped)?,
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }
}

/// Whether both send files to the same engine, as far as is known before one is chosen.
fn may_be_one_engine(one: &Wanted, other: &Wanted) -> bool {
    match (one, other) {
        (Wanted::Named(one), Wanted::Named(other)) => one == other,
        _ => true,
    }
}

/// Whether there are files that whoever watches `folder` sends and whoever watches `theirs` sends, too: it is the same folder, or one
/// lies in the other, whose rules do not leave it out. Blocks.
fn is_sent_twice(folder: &Path, rules: &Rules, theirs: &PathBuf, other: &Watched) -> bool {
    if folder == theirs || identity(folder).is_some_and(|id| identity(theirs) == Some(id)) {
        return true;
    }
    if theirs.starts_with(folder) {
        return rules.left_out(theirs, true).is_none();
    }
    folder.starts_with(theirs)
        && Rules::new(theirs, &other.ignore).is_ok_and(|rules| {
            let rules = if other.temporary { rules } else { rules.without_temporary() };
            rules.left_out(folder, true).is_none()
        })
}
