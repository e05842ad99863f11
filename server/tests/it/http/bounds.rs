//! What one caller may take of the server, tried as its attackers would: over sockets, with HTTP spoken by hand.

mod answers;
mod bodies;
mod connections;
mod leases;
mod messages;
mod raw;
mod requests;
mod strangers;

use std::time::Duration;

use filemill_server::accounts::Scope;
use filemill_server::{Bounds, Config, Share};

use super::Mill;

#[test]
fn the_bounds_of_production_are_those_of_the_documents() {
    let bounds = Bounds::default();
    assert_eq!((bounds.bytes_per_s, bounds.pace_over), (512, Duration::from_secs(30)));
    assert_eq!((bounds.head, bounds.idle), (Duration::from_secs(30), Duration::from_secs(75)));
    assert_eq!((bounds.connections, bounds.connections_each), (4096, 2048));
    assert_eq!((bounds.newcomers, bounds.newcomers_each), (1024, 256));
    assert_eq!(bounds.streams, 128);
    assert_eq!(bounds.users, Share { caller: 256, group: 1024, all: 4096, always: 16 });
    assert_eq!(bounds.reports, Share { caller: 1024, group: 1024, all: 4096, always: 64 });
    assert_eq!(bounds.strangers, Share { caller: 128, group: 128, all: 1024, always: 4 });
    assert_eq!(bounds.open, bounds.strangers);
    assert_eq!(bounds.worked_on, Share { caller: 32 << 20, group: 48 << 20, all: 64 << 20, always: 1 << 20 });
    assert_eq!(bounds.answers, Share { caller: 12 << 20, group: 24 << 20, all: 48 << 20, always: 256 << 10 });
    assert_eq!((bounds.transfers, bounds.transfers_each), (2048, 1024));
    // The largest body of one caller has to fit.
    assert!(bounds.bodies.caller + bounds.eldest_bodies.caller >= filemill_api::limits::MAX_BODY_BYTES);
}

/// Time that runs so fast that a test can wait for it. The rate is higher by as much: it still allows what comes in pieces.
fn hasty(config: &mut Config) {
    config.bounds.head = Duration::from_millis(1500);
    config.bounds.idle = Duration::from_millis(1500);
    config.bounds.pace_over = Duration::from_millis(1500);
    config.bounds.bytes_per_s = 8 << 10;
}

/// A token of another pool's processor.
async fn stray(mill: &Mill) -> String {
    mill.admin.create_token("stray", "node", Scope::Processor, Some("other")).await.unwrap().text
}

/// A token of another user, in an organisation.
async fn user(mill: &Mill, organisation: &str, member: &str) -> String {
    mill.admin.create_token(organisation, member, Scope::User, None).await.unwrap().text
}

/// A report of no lease.
fn report() -> serde_json::Value {
    serde_json::json!({"node": "node-1", "leases": []})
}
