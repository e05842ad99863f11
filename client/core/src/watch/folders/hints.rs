//! Following hints, and looking again where something may have come before the system told of it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Folders;
use crate::rules::is_rule_file;
use crate::tree::{is_absent, link_met};
use crate::walk::{classify, root_of, unreachable, walk_folder};
use crate::watch::listen::Hint;
use crate::watch::settle::Sign;

/// Hints that are followed before anything else is done again.
const HINTS_AT_ONCE: usize = 1024;
/// A folder that is new is looked through again after these times: what appeared in it before the system watched it was told by
/// nobody.
const LOOK_AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16)];
/// Such folders, at most; more are answered by looking through everything.
const LOOK_AGAIN_MAX: usize = 1024;

impl Folders {
    /// Follows hints, the first of which may take so long to come. Breaks off when nobody wants to know any more.
    pub(super) fn take_hints(&mut self, wait: Duration) -> ControlFlow<()> {
        let mut next = self.listener.next(wait);
        // They may come faster than they are followed, for as long as somebody likes.
        for _ in 0..HINTS_AT_ONCE {
            let Some(hint) = next else { break };
            if self.follow(&hint).is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
            next = self.listener.next_now();
        }
        if self.has_ended() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn follow(&mut self, hint: &Hint) -> ControlFlow<()> {
        let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &hint.path) else {
            return ControlFlow::Continue(());
        };
        let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
        // Said when the folders are looked through.
        if root.is_own(&hint.path) || root.is_result(hint.path.parent().unwrap_or(&hint.path), true) {
            return ControlFlow::Continue(());
        }
        if is_rule_file(&hint.path)
            && let Some(folder) = hint.path.parent()
        {
            rules.read_again();
            rules.look_at(folder);
            self.look_again_at(folder.to_owned(), Duration::ZERO, LOOK_AGAIN_AFTER.len());
        }
        if hint.is_gone {
            return ControlFlow::Continue(());
        }
        let seen = match root.below(&hint.path).and_then(|(tree, below)| tree.look(below)) {
            Ok(seen) => seen,
            Err(error) => {
                // It may be gone again.
                if link_met(&error).is_some() {
                    self.consider(unreachable(&root, hint.path.clone(), &error), Sign::None);
                } else if !is_absent(&error) {
                    self.look_soon(position);
                }
                return ControlFlow::Continue(());
            }
        };
        if !seen.is_folder() {
            // Whoever made it may not have written a byte yet, and is to be waited for.
            let is_made = hint.is_new && seen.stat.size == 0;
            let sign = if is_made && hint.sign == Sign::None { Sign::Written } else { hint.sign };
            if let Some(met) = classify(&root, hint.path.clone(), seen, &rules) {
                self.consider(met, sign);
            }
            let made = self.make_room();
            if made.is_break() {
                self.look_soon(position);
            }
            return made;
        }
        // When the system was told of it, nobody may have been allowed to look into it.
        self.listener.watch_also(&hint.path);
        self.look_again_at(hint.path.clone(), LOOK_AGAIN_AFTER[0], 1);
        self.look_into(position, &hint.path)
    }

    /// Looks through one folder of the root at `position`.
    fn look_into(&mut self, position: usize, folder: &Path) -> ControlFlow<()> {
        let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
        if root.is_own(folder) || root.is_result(folder, true) || rules.left_out(folder, true).is_some() {
            return ControlFlow::Continue(());
        }
        let mut is_closed = false;
        // Files may have been put into a new folder before it was watched.
        let walked = walk_folder(&root, folder, &rules, &mut |met| {
            if let Some(met) = met {
                is_closed |= self.note_closed(position, &met);
                self.consider(met, Sign::None);
            }
            self.make_room()
        });
        if is_closed || walked.is_break() {
            self.look_soon(position);
        }
        walked
    }

    /// Has a folder looked through again in a while; `times`: which time that will be.
    pub(super) fn look_again_at(&mut self, folder: PathBuf, wait: Duration, times: usize) {
        let at = Instant::now() + wait;
        // One that is about to come sees all that this one would.
        let is_same = |(other_at, other, _): &(Instant, PathBuf, usize)| {
            *other == folder && *other_at <= at && *other_at + LOOK_AGAIN_AFTER[0] >= at
        };
        if self.again.iter().any(is_same) {
            return;
        }
        if self.again.len() < LOOK_AGAIN_MAX {
            self.again.push_back((at, folder, times));
        } else if let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &folder) {
            self.look_soon(position);
        }
    }

    /// Looks through folders again for which it is time.
    pub(super) fn look_again(&mut self) -> ControlFlow<()> {
        for position in 0..self.watched.len() {
            for folder in self.watched[position].rules.changed() {
                self.look_again_at(folder, Duration::ZERO, LOOK_AGAIN_AFTER.len());
            }
        }
        let now = Instant::now();
        let due: Vec<(PathBuf, usize)> = {
            let (due, later) = std::mem::take(&mut self.again).into_iter().partition(|(at, ..)| *at <= now);
            self.again = later;
            let due: VecDeque<(Instant, PathBuf, usize)> = due;
            due.into_iter().map(|(_, folder, times)| (folder, times)).collect()
        };
        for (folder, times) in due {
            let Some(position) = root_of(self.watched.iter().map(|watched| &watched.root), &folder) else { continue };
            if let Some(wait) = LOOK_AGAIN_AFTER.get(times) {
                self.look_again_at(folder.clone(), *wait, times + 1);
            }
            if self.look_into(position, &folder).is_break() && self.has_ended() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
