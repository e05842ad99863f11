//! Rules that were written while a file waited to be sent.

use std::sync::Arc;

use super::Run;
use crate::error::Error;
use crate::notice::Notice;
use crate::source::Found;

impl Run {
    /// Those of `files` that the rules, as they are now, do not leave out. A watcher's file may have waited for hours: for an
    /// engine, or for a recipient that may be used. What was named by hand is under no rules, also if a watcher goes on with it.
    pub(super) async fn without_left_out(&self, files: Vec<Found>) -> Result<Vec<Found>, Error> {
        if !self.shared.is_watching() {
            return Ok(files);
        }
        let (files, judged) = self.shared.rules.judge(files).await?;
        let mut kept = Vec::new();
        for (found, why) in files.into_iter().zip(judged) {
            let Some(why) = why else {
                kept.push(found);
                continue;
            };
            if let Some((upload, index)) = found.replaces {
                Arc::clone(&self.shared.inbox.journal).leave_out(upload, index).await?;
            }
            let notice = Notice::Skipped { path: self.shared.named(&found.path), reason: why.said() };
            self.shared.notices.send(notice).await.map_err(|_| Error::Stopped)?;
            // When the rule is gone, the watcher hands it on again.
            self.shared.taken.forget(&found.path);
            self.shared.forget_file(found.stat.size);
        }
        Ok(kept)
    }
}
