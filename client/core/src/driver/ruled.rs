//! Rules that were written while a file waited to be sent.

use std::sync::Arc;
use std::time::Instant;

use super::judged::JudgedBundle;
use super::shared::Kind;
use super::state::{Driver, weight};
use super::target::Target;
use crate::error::Error;
use crate::event::Event;
use crate::reason::SkipReason;
use crate::rules::LeftOut;
use crate::source::Found;
use crate::walk::Root;

impl Driver {
    /// Asks the rules, as they are now, which of `files` they leave out: a watcher's file may have waited for hours, for an engine, or
    /// for a recipient that may be used. What was named by hand is under no rules, also if a watcher goes on with it. Everything else
    /// goes on meanwhile, as a file system may not answer.
    pub(super) fn judge(&mut self, target: Target, files: Vec<Found>) {
        let (rules, weight) = (Arc::clone(&self.shared.rules), weight(files.len()));
        self.judging_weight += weight;
        self.judging.spawn(async move {
            let at = Instant::now();
            JudgedBundle { target, judged: rules.judge(files).await, at, weight }
        });
    }

    /// Begins what the rules do not leave out.
    pub(super) async fn judged(&mut self, bundle: JudgedBundle) -> Result<(), Error> {
        let JudgedBundle { target, judged, at, weight } = bundle;
        self.judging_weight -= weight;
        let (files, left_out) = judged?;
        let files = self.without_left_out(files, left_out).await?;
        if files.is_empty() {
            return Ok(());
        }
        if self.held_until.is_some() {
            self.held.push((target, files));
            return Ok(());
        }
        self.begin_judged(target, files, at).await
    }

    async fn without_left_out(&self, files: Vec<Found>, left_out: Vec<Option<LeftOut>>) -> Result<Vec<Found>, Error> {
        let mut kept = Vec::new();
        for (found, why) in files.into_iter().zip(left_out) {
            let Some(why) = why else {
                kept.push(found);
                continue;
            };
            if let Some((upload, index)) = found.replaces {
                Arc::clone(&self.shared.inbox.journal).leave_out(upload, index).await?;
            }
            let reason = SkipReason::LeftOut { rule: why };
            let event = Event::Skipped { path: self.shared.named(&found.path), reason };
            self.shared.events.tell(event).await;
            // When the rule is gone, the watcher hands it on again.
            self.shared.taken.forget(&found.path);
            self.shared.forget_file(found.stat.size);
        }
        Ok(kept)
    }

    /// Whether a watcher of this activity hands the file on when it has changed: it is in a folder that is looked through, and if it was
    /// named by hand, no rule leaves it out there.
    pub(super) async fn is_handed_on(&self, found: &Found) -> Result<bool, Error> {
        let is_below = |root: &Root| found.path.starts_with(&root.path);
        if self.kind != Kind::Watch || !self.shared.roots.iter().any(is_below) {
            return Ok(false);
        }
        if found.watched {
            return Ok(true);
        }
        let (_, judged) = self.shared.rules.judge(vec![Found { watched: true, ..found.clone() }]).await?;
        Ok(judged.iter().all(Option::is_none))
    }
}
