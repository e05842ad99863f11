//! What a watcher leaves to the next one that was stopped before it could look at anything, as without a server nobody can.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::begun::Begun;
use crate::context::Context;
use crate::error::Error;
use crate::event::{Event, Note};
use crate::walk::{Met, Root, Walk, walk_into};

/// Whoever stops a program does not wait longer for a number.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);

/// Files that wait, as far as they were counted.
#[derive(Default)]
struct Left {
    files: u64,
    bytes: u64,
}

impl Context {
    /// Counts the files of the watched folders that nobody has sent yet, and says that they wait.
    pub(super) async fn tell_left(&self, begun: &Begun) {
        let mut left = Left::default();
        let is_all = matches!(tokio::time::timeout(COUNTED_WITHIN, self.count(begun, &mut left)).await, Ok(Ok(())));
        if left.files == 0 {
            return;
        }
        for _ in 1..left.files {
            self.progress.found(0);
        }
        self.progress.found(left.bytes);
        self.events.tell(Event::Note(Note::LeftForLater { count: left.files, is_all })).await;
    }

    async fn count(&self, begun: &Begun, left: &mut Left) -> Result<(), Error> {
        let exports = self.journal.export_folders(None).await?;
        for (root, rules) in begun.roots.iter().zip(&begun.rules) {
            let (root, rules): (Root, _) = (root.clone().without(self.home.path(), &exports), Arc::clone(rules));
            let (met, mut walked) = mpsc::channel(4);
            // It ends when nobody takes what it meets any more.
            tokio::task::spawn_blocking(move || walk_into(Walk::new(&root), &root, &rules, &met));
            while let Some(batch) = walked.recv().await {
                let found = |met| if let Met::File(found) = met { Some(found) } else { None };
                let files: Vec<_> = batch.into_iter().filter_map(found).collect();
                let taken = self.journal.taken(&files).await?;
                for file in files.iter().filter(|file| !taken.contains(&file.path)) {
                    left.files += 1;
                    left.bytes += file.stat.size;
                }
            }
        }
        Ok(())
    }
}
