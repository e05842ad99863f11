//! What this node told the server once, so that it can tell it again: a database may be restored, lose its last commits, or be new.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filemill_api::limits::MAX_TOLD;
use filemill_seal::Digest;
use tokio::sync::Notify;

use crate::clock;

/// How often the server is asked whether it has all of it.
const ASK: Duration = Duration::from_secs(60);
/// Descriptions that are remembered.
const DESCRIPTIONS_MAX: usize = 256;

/// What was told.
pub(crate) struct ToldBefore {
    inner: Mutex<Inner>,
    statement: Notify,
    offers: Notify,
}

#[derive(Default)]
struct Inner {
    statement: Option<u64>,
    offers: u32,
    /// Release and SHA-256 of the document, the one that was asked about longest ago first.
    descriptions: VecDeque<(Digest, Digest)>,
    /// On [`clock::now`]; none: at once.
    asked_at: Option<Duration>,
}

impl ToldBefore {
    pub(crate) fn new() -> Self {
        // Nothing was told yet.
        let inner = Inner { asked_at: Some(clock::now()), ..Inner::default() };
        Self { inner: Mutex::new(inner), statement: Notify::new(), offers: Notify::new() }
    }

    /// The server took the pool's statement with this serial.
    pub(crate) fn published(&self, serial: u64) {
        self.lock().statement = Some(serial);
    }

    /// The server took a list of so many engines.
    pub(crate) fn offered(&self, engines: usize) {
        self.lock().offers = u32::try_from(engines).unwrap_or(u32::MAX);
    }

    /// The server took a release's description.
    pub(crate) fn described(&self, release: Digest, document: Digest) {
        let mut inner = self.lock();
        inner.descriptions.retain(|(known, _)| *known != release);
        inner.descriptions.push_back((release, document));
        if inner.descriptions.len() > DESCRIPTIONS_MAX {
            inner.descriptions.pop_front();
        }
    }

    /// The server was away: whatever it comes back with is to be compared at once.
    pub(crate) fn server_was_away(&self) {
        self.lock().asked_at = None;
    }

    /// What to ask the server about now, if it is time; of the descriptions a part each time.
    pub(crate) fn to_ask(&self) -> Option<filemill_api::Told> {
        let mut inner = self.lock();
        let now = clock::now();
        if inner.asked_at.is_some_and(|asked_at| now.saturating_sub(asked_at) < ASK) {
            return None;
        }
        inner.asked_at = Some(now);
        let some = inner.descriptions.len().min(MAX_TOLD);
        let asked: Vec<_> = inner.descriptions.drain(..some).collect();
        inner.descriptions.extend(asked.iter().copied());
        Some(filemill_api::Told {
            statement: inner.statement,
            offers: inner.offers,
            descriptions: asked
                .into_iter()
                .map(|(release, document)| (release.to_string(), document.to_string()))
                .collect(),
        })
    }

    /// The server lacks these. (What it lacks of descriptions it asks for like for any other.)
    pub(crate) fn lacking(&self, lacks: &[String]) {
        for what in lacks {
            match what.as_str() {
                "statement" => self.statement.notify_one(),
                "offers" => self.offers.notify_one(),
                // Of a newer server.
                _ => {}
            }
        }
    }

    /// Waits until the server lacks the pool's statement. Cancel safe.
    pub(crate) async fn lacks_statement(&self) {
        self.statement.notified().await;
    }

    /// Waits until the server lacks this node's offers. Cancel safe.
    pub(crate) async fn lacks_offers(&self) {
        self.offers.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_has_its_turn_and_a_server_that_was_away_is_asked_at_once() {
        let told = ToldBefore::new();
        assert!(told.to_ask().is_none(), "nothing to ask about yet");
        for number in 0..40_u8 {
            told.described(Digest::of(&[number]), Digest::of(b"document"));
        }
        told.described(Digest::of(&[0]), Digest::of(b"another"));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            told.server_was_away();
            let asked = told.to_ask().expect("it is time");
            assert!(asked.descriptions.len() <= MAX_TOLD);
            seen.extend(asked.descriptions);
            assert!(told.to_ask().is_none(), "once");
        }
        assert_eq!(seen.len(), 40);
        assert!(seen.contains(&(Digest::of(&[0]).to_string(), Digest::of(b"another").to_string())));
    }
}
