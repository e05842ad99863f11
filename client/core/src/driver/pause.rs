//! How long to wait before something is looked for again.

use std::time::Duration;

use super::shared::HELD_FOR;

/// How long to wait, at most, before an engine for them is looked for again.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The same where somebody is about to describe engines: at first, and at most.
const DESCRIPTIONS_LOOKED_FOR: Duration = Duration::from_millis(500);
const DESCRIPTIONS_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long to wait before an engine is looked for again: twice as long each time, up to a limit.
pub(super) struct Pause {
    next: Duration,
    most: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: HELD_FOR, most: LOOK_PAUSE_MAX }
    }
}

impl Pause {
    /// Where somebody is about to describe engines.
    pub(super) fn for_descriptions() -> Self {
        Self { next: DESCRIPTIONS_LOOKED_FOR, most: DESCRIPTIONS_PAUSE_MAX }
    }

    /// How long to wait this time.
    pub(super) fn next(&mut self) -> Duration {
        let longer = (self.next * 2).min(self.most);
        std::mem::replace(&mut self.next, longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_long_as_no_engine_is_found_it_is_looked_for_ever_less_often() {
        let mut pause = Pause::default();
        assert_eq!([(); 5].map(|()| pause.next().as_secs()), [10, 20, 40, 60, 60]);
    }
}
