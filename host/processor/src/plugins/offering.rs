//! What the server was told of the engines here, and when it is told again.

use std::collections::BTreeMap;
use std::time::Duration;

use filemill_api::Offer;
use tokio::time::Instant;

use crate::net::Backoff;

/// How often the server is told although nothing changed: a node that is too busy to ask for work is not seen otherwise, and
/// what it offers would be gone after a minute.
const TELL_AGAIN: Duration = Duration::from_secs(20);

/// The offers as the server knows them. The whole list is told each time.
pub(super) struct Offering {
    /// The list that was sent last.
    tried: Vec<Offer>,
    /// Its answer has not come yet.
    under_way: bool,
    told_at: Option<Instant>,
    /// The last try failed: again then.
    again: Option<Instant>,
    away: Backoff,
    /// By name, what clients of the pool do not see though it was offered.
    unsettled: BTreeMap<String, Unsettled>,
    /// Digests of what they see, by name.
    visible: BTreeMap<String, String>,
}

struct Unsettled {
    digest: String,
    /// When the list is told again because of it; `None` while its component is being stored.
    due: Option<Instant>,
    backoff: Backoff,
}

impl Default for Offering {
    fn default() -> Self {
        Self {
            tried: Vec::new(),
            under_way: false,
            told_at: None,
            again: None,
            away: Backoff::new(Duration::from_millis(200), Duration::from_secs(10)),
            unsettled: BTreeMap::new(),
            visible: BTreeMap::new(),
        }
    }
}

impl Offering {
    /// Whether it is time to tell the server that `offers` are offered: at once where that changed.
    pub(super) fn is_due(&self, offers: &[Offer], now: Instant) -> bool {
        if self.under_way {
            return false;
        }
        if offers != self.tried {
            return true;
        }
        if let Some(again) = self.again {
            return now >= again;
        }
        let is_old = self.told_at.is_some_and(|told_at| now.duration_since(told_at) >= TELL_AGAIN);
        let is_due = |unsettled: &Unsettled| unsettled.due.is_some_and(|due| now >= due);
        !offers.is_empty() && (is_old || self.unsettled.values().any(is_due))
    }

    /// The server is being told.
    pub(super) fn telling(&mut self, offers: &[Offer]) {
        (self.tried, self.under_way, self.again) = (offers.to_vec(), true, None);
        let is_offered =
            |name: &str, digest: &str| offers.iter().any(|offer| offer.name == name && offer.digest == digest);
        self.unsettled.retain(|name, unsettled| is_offered(name, &unsettled.digest));
        self.visible.retain(|name, digest| is_offered(name, digest));
    }

    /// The server was not told.
    pub(super) fn not_told(&mut self, now: Instant) {
        self.under_way = false;
        self.again = Some(now + self.away.delay());
    }

    /// The server does not know what it was told: it is told again at once.
    pub(super) fn tell_again(&mut self) {
        self.told_at = None;
        if !self.tried.is_empty() {
            self.again = Some(Instant::now());
        }
    }

    /// The server was told. What comes of each offer is said next.
    pub(super) fn told(&mut self, now: Instant) {
        (self.under_way, self.told_at) = (false, Some(now));
        self.away.reset();
        for unsettled in self.unsettled.values_mut() {
            if unsettled.due.is_some_and(|due| now >= due) {
                unsettled.put_off(now);
            }
        }
    }

    /// Clients see it. Says whether that is news.
    pub(super) fn settle(&mut self, offer: &Offer) -> bool {
        self.unsettled.remove(&offer.name);
        self.visible.insert(offer.name.clone(), offer.digest.clone()).as_ref() != Some(&offer.digest)
    }

    /// Clients do not see it, or not yet: the list is told again after a while, longer each time.
    pub(super) fn put_off(&mut self, offer: &Offer, now: Instant) {
        self.visible.remove(&offer.name);
        let unsettled = self.unsettled(offer);
        if unsettled.due.is_none_or(|due| now >= due) {
            unsettled.put_off(now);
        }
    }

    /// Its component is to be stored now; `false` if that is under way.
    pub(super) fn storing(&mut self, offer: &Offer) -> bool {
        self.visible.remove(&offer.name);
        let is_new = !self.unsettled.contains_key(&offer.name);
        let unsettled = self.unsettled(offer);
        let begins = is_new || unsettled.due.is_some();
        unsettled.due = None;
        begins
    }

    /// Storing the component of an offer has ended. Where that went well, what is offered changes, and is told at once.
    pub(super) fn stored(&mut self, name: &str, now: Instant) {
        if let Some(unsettled) = self.unsettled.get_mut(name) {
            unsettled.put_off(now);
        }
    }

    fn unsettled(&mut self, offer: &Offer) -> &mut Unsettled {
        self.unsettled.entry(offer.name.clone()).or_insert_with(|| Unsettled {
            digest: offer.digest.clone(),
            due: None,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        })
    }
}

impl Unsettled {
    fn put_off(&mut self, now: Instant) {
        self.due = Some(now + self.backoff.delay());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, digest: &str) -> Offer {
        let (name, digest) = (name.to_owned(), digest.to_owned());
        Offer { name, digest, length: 1, contract: 1, minor: 0, description: "{}".to_owned(), stored: false }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_the_server_refuses_is_offered_again_after_a_growing_while() {
        let (mut offering, mut now) = (Offering::default(), Instant::now());
        let offers = [offer("good", "1"), offer("hidden", "2")];
        assert!(!offering.is_due(&[], now), "nothing to say");
        let mut waits = Vec::new();
        for _ in 0..10 {
            let from = now;
            while !offering.is_due(&offers, now) {
                now += Duration::from_millis(100);
            }
            waits.push(now - from);
            offering.telling(&offers);
            assert!(!offering.is_due(&offers, now + seconds(100)), "one at a time");
            offering.told(now);
            offering.settle(&offers[0]);
            offering.put_off(&offers[1], now);
        }
        assert_eq!(waits[0], Duration::ZERO);
        assert!(waits[1] <= seconds(1) && waits[2] <= seconds(2) && waits[3] <= seconds(4), "{waits:?}");
        assert!(waits[5] >= seconds(8), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= TELL_AGAIN), "{waits:?}");
    }

    #[test]
    fn a_file_that_changes_is_offered_at_once_whatever_was_put_off() {
        let (mut offering, now) = (Offering::default(), Instant::now());
        let before = [offer("it", "1")];
        for _ in 0..8 {
            offering.telling(&before);
            offering.told(now);
            offering.put_off(&before[0], now);
        }
        assert!(!offering.is_due(&before, now));
        let after = [offer("it", "2")];
        assert!(offering.is_due(&after, now));
        offering.telling(&after);
        offering.told(now);
        offering.put_off(&after[0], now);
        assert!(offering.is_due(&after, now + seconds(1)), "its backoff begins anew");
    }

    #[test]
    fn a_component_is_stored_once_at_a_time_and_again_if_that_fails() {
        let (mut offering, now) = (Offering::default(), Instant::now());
        let offers = [offer("it", "1")];
        offering.telling(&offers);
        offering.told(now);
        assert!(offering.storing(&offers[0]));
        assert!(!offering.storing(&offers[0]));
        assert!(!offering.is_due(&offers, now + seconds(10)), "it is being stored");
        offering.stored("it", now);
        assert!(offering.is_due(&offers, now + seconds(1)));
        assert!(offering.storing(&offers[0]));
    }

    #[test]
    fn a_server_that_is_away_is_told_later_and_what_is_settled_now_and_then() {
        let (mut offering, now) = (Offering::default(), Instant::now());
        let offers = [offer("it", "1")];
        offering.telling(&offers);
        offering.not_told(now);
        assert!(!offering.is_due(&offers, now) && offering.is_due(&offers, now + seconds(1)));
        offering.telling(&offers);
        offering.told(now);
        assert!(offering.settle(&offers[0]) && !offering.settle(&offers[0]), "news once");
        assert!(!offering.is_due(&offers, now + TELL_AGAIN - seconds(1)));
        assert!(offering.is_due(&offers, now + TELL_AGAIN));
    }

    #[test]
    fn what_a_server_lost_is_offered_again_at_once() {
        let (mut offering, now) = (Offering::default(), Instant::now());
        let offers = [offer("it", "1")];
        offering.tell_again();
        assert!(!offering.is_due(&[], now), "nothing was told");
        offering.telling(&offers);
        offering.told(now);
        assert!(offering.settle(&offers[0]));
        assert!(!offering.is_due(&offers, now + seconds(1)));
        offering.tell_again();
        assert!(offering.is_due(&offers, Instant::now()));
        offering.telling(&offers);
        offering.told(now);
        assert!(!offering.is_due(&offers, now + seconds(1)), "once");
    }
}
