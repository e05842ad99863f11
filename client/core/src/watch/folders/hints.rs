//! Following hints, and looking again where something may have come before the system told of it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Folders, TURN};
use crate::rules::is_rule_file;
use crate::tree::{is_absent, link_met};
use crate::walk::{classify, root_of, unreachable};
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
    /// Follows hints of what happened in a root, as long as it has its turn, and says whether there were any.
    pub(super) fn follow_hints(&mut self, position: usize) -> bool {
        let until = Instant::now() + TURN;
        // They may come faster than they are followed, for as long as somebody likes.
        for number in 0..HINTS_AT_ONCE {
            let Some(hint) = self.listener.next(position) else { return number > 0 };
            self.follow(position, &hint);
            if Instant::now() >= until {
                break;
            }
        }
        true
    }

    fn follow(&mut self, position: usize, hint: &Hint) {
        let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
        // Said when the folders are looked through.
        if root.is_own(&hint.path) || root.is_result(hint.path.parent().unwrap_or(&hint.path), true) {
            return;
        }
        if is_rule_file(&hint.path)
            && let Some(folder) = hint.path.parent()
        {
            rules.read_again();
            rules.look_at(folder);
            self.look_again_at(folder.to_owned(), Duration::ZERO, LOOK_AGAIN_AFTER.len());
        }
        if hint.is_gone {
            return;
        }
        let seen = match root.below(&hint.path).and_then(|(tree, below)| tree.look(below)) {
            Ok(seen) => seen,
            Err(error) => {
                // It may be gone again.
                if link_met(&error).is_some() {
                    self.consider(position, unreachable(&root, hint.path.clone(), &error), Sign::None);
                } else if !is_absent(&error) {
                    self.look_soon(position);
                }
                return;
            }
        };
        if !seen.is_folder() {
            // Whoever made it may not have written a byte yet, and is to be waited for.
            let is_made = hint.is_new && seen.stat.size == 0;
            let sign = if is_made && hint.sign == Sign::None { Sign::Written } else { hint.sign };
            if let Some(met) = classify(&root, hint.path.clone(), seen, &rules) {
                self.consider(position, met, sign);
            }
            return;
        }
        // When the system was told of it, nobody may have been allowed to look into it.
        self.listener.watch_also(&hint.path);
        self.look_again_at(hint.path.clone(), LOOK_AGAIN_AFTER[0], 1);
        self.look_into(position, hint.path.clone());
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
    pub(super) fn look_again(&mut self) {
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
            self.look_into(position, folder);
        }
    }
}
