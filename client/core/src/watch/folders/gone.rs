//! Saying that a folder that is watched is not there any more, and that it is back.

use super::{Folders, why_not_there};
use crate::event::{Event, Recovery, Trouble};
use crate::walk::Met;

impl Folders {
    /// Says once for each folder that it is gone, and once that it is back.
    pub(super) fn tell_of_gone(&mut self) {
        for watched in &mut self.watched {
            let is_gone = why_not_there(&watched.root.path).is_some();
            if is_gone == watched.is_gone {
                continue;
            }
            let folder = watched.root.given.clone();
            let event = if is_gone {
                Event::Trouble(Trouble::FolderGone { folder })
            } else {
                Event::Recovered(Recovery::FolderBack { folder })
            };
            // If nobody takes it now, it is said the next time.
            if self.events.try_tell(event) {
                watched.is_gone = is_gone;
            }
        }
    }

    /// Whether it is only that a folder which is watched is not there, which is said by itself.
    pub(super) fn is_of_gone(&mut self, position: usize, met: &Met) -> bool {
        let root = &self.watched[position].root.path;
        let is_it = matches!(met, Met::Unreadable { path, .. } if path == root) && why_not_there(root).is_some();
        if is_it {
            self.tell_of_gone();
        }
        is_it
    }
}
