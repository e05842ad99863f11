//! Rules of watched folders, as they stand now, for files that were taken in before.

use std::sync::Arc;

use crate::error::Error;
use crate::rules::{LeftOut, Rules};
use crate::source::Found;
use crate::walk::{Root, root_of};

/// The folders that a watcher watches, and the rules of each; none of anything else.
#[derive(Default)]
pub(crate) struct StandingRules {
    watched: Vec<(Root, Arc<Rules>)>,
}

impl StandingRules {
    pub(crate) fn new(watched: Vec<(Root, Arc<Rules>)>) -> Self {
        Self { watched }
    }

    /// Whether nothing is watched.
    pub(crate) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Why each of `files` is left out by the rules as they are now, if it is; none that was named by hand is. As when it was taken
    /// in: what leaves a root out of another one says nothing of what lies in the root.
    pub(crate) async fn judge<F: AsRef<[Found]> + Send + 'static>(
        self: &Arc<Self>,
        files: F,
    ) -> Result<(F, Vec<Option<LeftOut>>), Error> {
        let this = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || {
            for (_, rules) in &this.watched {
                rules.read_again();
            }
            let judge = |found: &Found| {
                if !found.watched {
                    return None;
                }
                let position = root_of(this.watched.iter().map(|(root, _)| root), &found.path)?;
                this.watched[position].1.left_out(&found.path, false)
            };
            let judged = files.as_ref().iter().map(judge).collect();
            (files, judged)
        });
        judged.await.map_err(|_| Error::Stopped)
    }
}
