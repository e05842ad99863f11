//! Looking through a root or a folder in it, a little at each turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::steps::{Part, Whole};
use super::{Folders, LOOK_EVERY, LOOK_RARELY, LOOK_SHARE, Often, TURN, Watched};
use crate::walk::{Step, Walk};
use crate::watch::pace::Pace;
use crate::watch::settle::Sign;

/// Folders of a root that wait to be looked through, at most; more are answered by looking through all of it.
const PARTS_MAX: usize = 1024;

impl Watched {
    /// How long after a look that took so long the next begins, where the system's word is not trusted. One that took longer than
    /// that before it decides nothing: as much as everything may have been sent meanwhile, as during the first.
    fn often(&mut self, took: Duration) -> Duration {
        let before = std::mem::replace(&mut self.took, took);
        LOOK_EVERY.max(before.min(took) * LOOK_SHARE)
    }
}

/// For people: `every`, or up to twice that, so that it is told anew only if it has changed.
fn rounded(every: Duration) -> Duration {
    let mut rounded = LOOK_EVERY;
    while rounded < every {
        rounded *= 2;
    }
    rounded
}

impl Folders {
    /// Has one folder of the root at `position` looked through as soon as it is its turn.
    pub(super) fn look_into(&mut self, position: usize, folder: PathBuf) {
        let parts = &mut self.watched[position].parts;
        if parts.contains(&folder) {
            return;
        }
        if parts.len() < PARTS_MAX {
            parts.push_back(folder);
        } else {
            self.look_soon(position);
        }
    }

    /// Goes on with the look through folders of a root, as long as it has its turn, and says whether there were any.
    pub(super) fn look_into_parts(&mut self, position: usize) -> bool {
        let until = Instant::now() + TURN;
        let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
        let mut did_something = false;
        while !self.has_ended() && Instant::now() < until {
            let watched = &mut self.watched[position];
            let Some(mut part) = watched.part.take() else {
                let Some(folder) = watched.parts.pop_front() else { break };
                did_something = true;
                if !root.is_own(&folder) && !root.is_result(&folder, true) && rules.left_out(&folder, true).is_none() {
                    // Files may have been put into a new folder before it was watched.
                    watched.part = Some(Part { walk: Walk::of_folder(folder), is_closed: false });
                }
                continue;
            };
            if !self.has_room(position) {
                self.watched[position].part = Some(part);
                break;
            }
            did_something = true;
            match part.walk.next(&root, &rules) {
                Some(step) => {
                    if let Step::Met(Some(met)) = step {
                        part.is_closed |= self.note_closed(position, &met);
                        self.consider(position, met, Sign::None);
                    }
                    self.watched[position].part = Some(part);
                }
                None if part.is_closed => self.look_soon(position),
                None => {}
            }
        }
        did_something
    }

    /// Goes on looking through everything, if it is time, as long as the root has its turn: at once if the system's word is not to be
    /// trusted, or is not yet; else in small steps. Says whether it did.
    pub(super) fn look_through(&mut self, position: usize) -> bool {
        let begun = Instant::now();
        let Some(mut whole) = self.watched[position].whole.take().or_else(|| self.begin(position, begun)) else {
            return false;
        };
        if whole.is_rare && !self.watched[position].is_known {
            // There is a reason to look through everything, and at once.
            self.watched[position].next_look = begun;
            return true;
        }
        let (root, rules) = (self.watched[position].root.clone(), Arc::clone(&self.watched[position].rules));
        let (until, mut did_something) = (begun + TURN, false);
        while begun >= whole.goes_on_at && !self.has_ended() && self.has_room(position) {
            did_something = true;
            let Some(step) = whole.walk.next(&root, &rules) else {
                whole.took += begun.elapsed();
                self.looked_through(position, &whole);
                return true;
            };
            let is_met = matches!(step, Step::Met(_));
            if let Step::Met(Some(met)) = step {
                self.note_closed(position, &met);
                self.consider(position, met, Sign::None);
            }
            let now = Instant::now();
            if let Some(pause) = is_met.then(|| whole.pace.step()).flatten().filter(|_| whole.is_rare) {
                whole.goes_on_at = now + pause;
                break;
            }
            if now >= until {
                break;
            }
        }
        whole.took += begun.elapsed();
        self.watched[position].whole = Some(whole);
        did_something
    }

    /// A look through all of a root, if it is time for one.
    fn begin(&mut self, position: usize, now: Instant) -> Option<Whole> {
        let watched = &mut self.watched[position];
        if watched.next_look > now {
            return None;
        }
        watched.has_missed = false;
        watched.unknown_rules = None;
        let (is_rare, was_closed) = (watched.is_rare(), watched.closed.take().is_some());
        watched.rules.read_again();
        watched.rules.unknown();
        let walk = Walk::new(&watched.root);
        Some(Whole { walk, begun: now, took: Duration::ZERO, is_rare, was_closed, pace: Pace::new(), goes_on_at: now })
    }

    /// Everything was looked through: says when it is again.
    pub(super) fn looked_through(&mut self, position: usize, whole: &Whole) {
        self.tell_unread_rules();
        self.settling.forget_aside(position, whole.begun);
        let now = Instant::now();
        let is_complete = !self.watched[position].has_missed;
        let why = self.distrust(position, is_complete);
        let watched = &mut self.watched[position];
        let often = watched.often(whole.took);
        self.has_opened |= whole.was_closed && watched.closed.is_none();
        watched.is_known = is_complete;
        watched.next_look = if why.is_none() {
            watched.pause = if whole.is_rare { (watched.pause * 2).min(LOOK_RARELY) } else { LOOK_EVERY };
            (whole.begun + watched.pause).max(now + LOOK_EVERY)
        } else {
            now + often
        };
        self.note_look(position, why.map(|why| Often { why, every: rounded(often) }));
    }
}
