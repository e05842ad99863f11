//! Rules that were written while a file waited to be sent.

use std::sync::Arc;

use super::Run;
use crate::error::Error;
use crate::notice::Notice;
use crate::rules::LeftOut;
use crate::source::Found;

impl Run {
    /// Those of `files` that the rules, as they are now, do not leave out. A watcher's file may have waited for hours: for an
    /// engine, or for a recipient that may be used.
    pub(super) async fn without_left_out(&self, files: Vec<Found>) -> Result<Vec<Found>, Error> {
        let rules = self.shared.rules.clone();
        if rules.is_empty() {
            return Ok(files);
        }
        let judged = tokio::task::spawn_blocking(move || {
            for rules in &rules {
                rules.read_again();
            }
            let judge = |found: Found| {
                let why = rules.iter().find_map(|rules| rules.left_out(&found.path, false));
                (found, why)
            };
            files.into_iter().map(judge).collect::<Vec<(Found, Option<LeftOut>)>>()
        });
        let mut kept = Vec::new();
        for (found, why) in judged.await.map_err(|_| Error::Stopped)? {
            let Some(why) = why else {
                kept.push(found);
                continue;
            };
            if let Some((upload, index)) = found.replaces {
                Arc::clone(&self.shared.inbox.journal).leave_out(upload, index).await?;
            }
            let notice = Notice::Skipped { path: self.shared.named(&found.path), reason: format!("ignored: {why}") };
            self.shared.notices.send(notice).await.map_err(|_| Error::Stopped)?;
            self.shared.forget_file(found.stat.size);
        }
        Ok(kept)
    }
}
