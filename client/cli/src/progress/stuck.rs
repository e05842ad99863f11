//! When to ask why nothing moves.

use std::time::{Duration, Instant};

/// When everything is stored and nothing came back for this long, it is asked whether anybody can run it.
const NOBODY_AFTER: Duration = Duration::from_secs(2);
/// When nothing came back for this long, any reason is said.
const WAITING_AFTER: Duration = Duration::from_secs(10);

/// Since when nothing moves, and what was asked because of that.
pub(super) struct Stuck {
    /// When something moved last.
    moved: Instant,
    asked: Option<Ask>,
    is_said: bool,
}

/// What to say of the answer to what the results wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Only that nobody can run it: it is early for anything else.
    Nobody,
    /// Whatever it is.
    All,
}

impl Stuck {
    pub(super) fn new(now: Instant) -> Self {
        Self { moved: now, asked: None, is_said: false }
    }

    /// The reason was said.
    pub(super) fn said(&mut self) {
        self.is_said = true;
    }

    /// What to ask now.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Ask> {
        let since = now.saturating_duration_since(self.moved);
        let ask = match self.asked {
            _ if self.is_said => None,
            None if since >= NOBODY_AFTER => Some(Ask::Nobody),
            Some(Ask::Nobody) if since >= WAITING_AFTER => Some(Ask::All),
            _ => None,
        };
        self.asked = ask.or(self.asked);
        ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_anybody_can_run_it_is_asked_soon_and_what_else_keeps_it_later_and_each_once() {
        let begun = Instant::now();
        let mut stuck = Stuck::new(begun);
        assert_eq!(stuck.ask(begun), None);
        assert_eq!(stuck.ask(begun + NOBODY_AFTER), Some(Ask::Nobody));
        assert_eq!(stuck.ask(begun + NOBODY_AFTER * 2), None);
        assert_eq!(stuck.ask(begun + WAITING_AFTER), Some(Ask::All));
        assert_eq!(stuck.ask(begun + WAITING_AFTER * 9), None);
        let mut stuck = Stuck { is_said: true, ..Stuck::new(begun) };
        assert_eq!(stuck.ask(begun + WAITING_AFTER), None, "it was said");
    }
}
