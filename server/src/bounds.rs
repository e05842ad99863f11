//! What one caller may take of a server: all of these numbers in one place.
//!
//! Three habits keep callers from each other. Whatever is held for a caller is counted for it alone (its token; before that is
//! known, its address), for its group (the organisation of a user, the pool of a processor) and for all, so that the many cannot
//! be starved by one, nor by one organisation's many tokens. It is counted as it comes, never as a header announces it. And whoever
//! makes the server wait has to keep the lowest rate: slow links are not attackers, silence is not a slow link.

use std::time::Duration;

/// The bounds of connections, requests and bytes. The defaults are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at once, of each listener. Beyond them the oldest that nothing happens on are closed.
    pub connections: usize,
    /// Of these, connections of one caller; of the embedded storage, of one address. What is beyond that is ended within a second.
    pub connections_each: usize,
    /// Of these, connections on which nobody has shown who it is. Beyond them the oldest of the address that has most are closed.
    pub newcomers: usize,
    /// Of those, connections from one address. Beyond them its oldest are closed.
    pub newcomers_each: usize,
    /// Objects at once on their way into the embedded storage or out of it. Beyond them the slowest is cut of the address that has most.
    pub transfers: usize,
    /// Of those, of one address. Beyond them its slowest is cut.
    pub transfers_each: usize,
    /// What a newcomer gets before it is closed for another rather than a connection on which somebody has shown who it is.
    pub newcomer_stay: Duration,
    /// Until the first request of a connection has come, the HTTP/2 preface included.
    pub head: Duration,
    /// How long a connection may stay on which no request is under way.
    pub idle: Duration,
    /// The lowest rate at which bodies and answers have to move while the other side is waited for.
    pub bytes_per_s: u32,
    /// Over which time that rate counts: a silence of this length ends a connection.
    pub pace_over: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Requests of one connection that were given up by the caller before they were answered, more than were answered.
    pub given_up: usize,
    /// How long a request may wait for room.
    pub room_wait: Duration,
    /// How long a request may take once its body is there; a long poll ends well before.
    pub request: Duration,
    /// Requests whose tokens are looked up, because they were not seen lately; as many may wait for that.
    pub strangers: Share,
    /// Answers to those who have no valid token, or need none.
    pub open: Share,
    /// Requests of users, event streams included.
    pub users: Share,
    /// Processors that wait for work or for chunks.
    pub polls: Share,
    /// What processors report of their leases, results included: never shared with anything else.
    pub reports: Share,
    /// What processors say of themselves and their engines.
    pub offers: Share,
    /// Bytes of request bodies, for each of these kinds by itself.
    pub bodies: Share,
    /// Bytes that a caller's eldest body of a kind may take beyond that, so that the largest always gets through.
    pub eldest_bodies: Share,
    /// Bytes that bodies may take once they are read and worked on, for those of users and of processors each.
    pub worked_on: Share,
    /// Bytes of answers that their callers have not taken yet.
    pub answers: Share,
}

/// How much of something may be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// By one caller.
    pub caller: usize,
    /// By one organisation's users, or one pool's processors.
    pub group: usize,
    /// By all.
    pub all: usize,
    /// What a caller has in any case, whatever others hold.
    pub always: usize,
}

/// Files that a server has open besides: its database's, its connections to others, its log.
const OTHER_DESCRIPTORS: usize = 256;
/// What is open for a connection: one of the API, one of the embedded storage, and that one's object.
const DESCRIPTORS_EACH: usize = 3;
/// So many connections there may be in any case.
const LEAST_CONNECTIONS: usize = 32;

impl Bounds {
    /// The same, with no more connections than there are descriptors for: a connection that the system refuses nobody could be closed for.
    pub(crate) fn within(self, descriptors: usize) -> Self {
        let most = (descriptors.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_EACH).max(LEAST_CONNECTIONS);
        let connections = self.connections.min(most);
        let newcomers = self.newcomers.min((most / 4).max(LEAST_CONNECTIONS / 2));
        Self { connections, newcomers, transfers: self.transfers.min(most), ..self }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_each: 2048,
            newcomers: 1024,
            newcomers_each: 256,
            transfers: 2048,
            transfers_each: 1024,
            newcomer_stay: Duration::from_secs(1),
            head: Duration::from_secs(30),
            // Longer than clients keep one: theirs is the end that knows when it will be used again.
            idle: Duration::from_secs(75),
            bytes_per_s: 512,
            pace_over: Duration::from_secs(30),
            streams: 128,
            given_up: 512,
            room_wait: Duration::from_secs(10),
            request: Duration::from_secs(60),
            strangers: Share { caller: 128, group: 128, all: 1024, always: 4 },
            open: Share { caller: 128, group: 128, all: 1024, always: 4 },
            users: Share { caller: 256, group: 1024, all: 4096, always: 16 },
            polls: Share { caller: 2048, group: 2048, all: 4096, always: 64 },
            reports: Share { caller: 1024, group: 1024, all: 4096, always: 64 },
            offers: Share { caller: 128, group: 128, all: 1024, always: 16 },
            bodies: Share { caller: 8 << 20, group: 16 << 20, all: 48 << 20, always: 256 << 10 },
            eldest_bodies: Share { caller: 16 << 20, group: 32 << 20, all: 64 << 20, always: 0 },
            worked_on: Share { caller: 32 << 20, group: 48 << 20, all: 64 << 20, always: 1 << 20 },
            answers: Share { caller: 12 << 20, group: 24 << 20, all: 48 << 20, always: 256 << 10 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_connections_than_descriptors_for_them() {
        let within = |descriptors| {
            let bounds = Bounds::default().within(descriptors);
            (bounds.connections, bounds.newcomers, bounds.transfers)
        };
        assert_eq!(within(1 << 20), (4096, 1024, 2048));
        assert_eq!(within(1024), (256, 64, 256));
        assert_eq!(within(0), (32, 16, 32));
    }
}
