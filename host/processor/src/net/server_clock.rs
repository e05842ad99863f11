//! The server's clock, compared with this machine's: told where they part, and in which words.

use std::sync::atomic::{AtomicBool, Ordering};

use filemill_transport::{Comparison, Lifetime, Moment};
use reqwest::header::HeaderMap;

/// The server's clock, as far as this node has seen it.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    clock: filemill_transport::ServerClock,
    /// It was told that the clocks are apart.
    told: AtomicBool,
}

impl ServerClock {
    /// The answer to a request that was sent at `asked` has these headers.
    pub(crate) fn learn(&self, asked: Moment, headers: &HeaderMap) {
        let Some(comparison) = self.clock.learn(asked, headers) else { return };
        let is_apart = matches!(comparison, Comparison::Apart(_));
        if self.told.swap(is_apart, Ordering::Relaxed) == is_apart {
            return;
        }
        match comparison {
            Comparison::Apart(ahead) => tracing::error!(
                "{}: nothing is signed, and no upload is refused for its age by this clock alone (hint: {HINT})",
                difference(ahead)
            ),
            Comparison::Close | Comparison::Unknown => {
                tracing::info!("this machine's clock and the server's agree again");
            }
        }
    }

    /// How the clocks compare now.
    pub(crate) fn compare(&self) -> Comparison {
        self.clock.compare()
    }

    /// Whether something lasts that ends at `not_after`, in seconds since 1970.
    pub(crate) fn lifetime(&self, not_after: u64) -> Lifetime {
        self.clock.lifetime(not_after)
    }
}

/// What to do about clocks that are apart.
pub(crate) const HINT: &str =
    "set this machine's clock, and keep it by NTP; if it is right, tell the server's operator";

/// Says in words how far this machine's clock is from the server's.
pub(crate) fn difference(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => ((seconds + 30) / 60, "min"),
        7_200..172_800 => ((seconds + 1_800) / 3_600, "h"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    };
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {number} {unit} {side} the server's")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn differences_are_said_in_words() {
        assert_eq!(difference(8 * DAY), "this machine's clock is 8 days ahead of the server's");
        assert_eq!(difference(-3_600), "this machine's clock is 60 min behind the server's");
        assert_eq!(
            difference(i64::MIN),
            format!("this machine's clock is {} days behind the server's", ((1_u64 << 63) + 43_200) / 86_400)
        );
    }
}
