//! What this server remembers of the database's clock between two looks.

use std::sync::{Mutex, PoisonError};

/// What this server remembers between two looks.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<Remembered>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    /// The machine's uptime before the last look.
    pub(super) uptime: Option<i64>,
    /// This machine's clock was far from the database's, which was told.
    apart: bool,
}

impl Looks {
    pub(super) fn remembered(&self) -> Remembered {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_uptime(&self, uptime: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).uptime = Some(uptime);
    }

    /// Whether that is to be said: once each time.
    pub(super) fn say_apart(&self, apart: bool) -> bool {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut remembered.apart, apart);
        apart && !before
    }
}
