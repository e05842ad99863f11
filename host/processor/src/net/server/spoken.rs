//! Which version of the API the server speaks, as far as this node has seen.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;

/// How long a server is taken for one of version 1 before it is asked by version 2 again.
const OLD_FOR: Duration = Duration::from_secs(60);

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Major {
    /// That of release 0.1.0.
    One,
    /// The newest that this program speaks.
    Two,
}

/// Which version the server speaks. Behind one address there may be several servers, of both.
#[derive(Debug, Default)]
pub(super) struct Spoken(Mutex<Option<Duration>>);

impl Major {
    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }
}

impl Spoken {
    /// The version to try first: version 2, unless a server of version 1 answered lately.
    pub(super) fn first(&self) -> Major {
        let is_old = self.lock().is_some_and(|since| clock::now().saturating_sub(since) < OLD_FOR);
        if is_old { Major::One } else { Major::Two }
    }

    /// A server was found that speaks this version.
    pub(super) fn found(&self, major: Major) {
        let before = match major {
            Major::One => self.lock().replace(clock::now()),
            Major::Two => self.lock().take(),
        };
        match (major, before) {
            (Major::One, None) => tracing::info!(
                "the server speaks version 1 of its API: it is asked in that, and for version 2 again every {} s \
                 (hint: update it; until then uploads of the newer format wait)",
                OLD_FOR.as_secs()
            ),
            (Major::Two, Some(_)) => tracing::info!("the server speaks version 2 of its API"),
            _ => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_counts_as_old_only_for_as_long_as_it_was_seen_to_be() {
        let spoken = Spoken::default();
        assert_eq!(spoken.first(), Major::Two, "nothing was seen yet");
        spoken.found(Major::One);
        assert_eq!(spoken.first(), Major::One);
        spoken.found(Major::Two);
        assert_eq!(spoken.first(), Major::Two);
        *spoken.lock() = Some(clock::now().saturating_sub(OLD_FOR));
        assert_eq!(spoken.first(), Major::Two, "it is asked again");
    }
}
