//! Whether somebody can be reached, told to whoever waits.

use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::event::{Event, Recovery, Trouble};
use crate::teller::Teller;

/// Whether the server or storage can be reached, told once for each change.
pub(super) struct Reach {
    events: Teller,
    told: Mutex<Told>,
}

/// What was told last of whether somebody can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Nothing,
    /// That no answer comes.
    Silence,
    Trouble,
}

impl Reach {
    pub(super) fn new(events: Teller) -> Self {
        Self { events, told: Mutex::new(Told::Nothing) }
    }

    pub(super) fn in_trouble(&self, error: &Error) {
        self.tell(Told::Trouble, || Trouble::Unreachable { error: error.clone() });
    }

    /// Tells `what` unless that, or worse, was told already.
    pub(super) fn tell(&self, now: Told, what: impl FnOnce() -> Trouble) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told < now {
            *told = now;
            // Nobody waits for this: whoever is too slow for it sees later that nothing moves.
            self.events.try_tell(Event::Trouble(what()));
        }
    }

    pub(super) fn recovered(&self, what: impl FnOnce() -> Recovery) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *told, Told::Nothing) != Told::Nothing {
            self.events.try_tell(Event::Recovered(what()));
        }
    }
}
