//! Many requests of one caller at once.

use std::time::Duration;

use filemill_api::{ErrorCode, paths};
use filemill_server::Share;
use reqwest::StatusCode;
use tokio::time::timeout;

use super::super::{LIMIT, Mill, problem};
use super::{raw, report, stray, user};

#[tokio::test]
async fn one_callers_flood_takes_no_place_of_others() {
    let mill = Mill::start_with(|config| {
        config.bounds.users = Share { caller: 40, group: 60, all: 80, always: 2 };
        config.bounds.polls = Share { caller: 40, group: 60, all: 80, always: 2 };
    })
    .await;
    let stray = stray(&mill).await;
    // As many as it may have, and more: event streams of a user, long polls of another pool's processor.
    let mut connections = Vec::new();
    let mut coming = Vec::new();
    let mut polls = Vec::new();
    for _ in 0..2 {
        let mut two = raw::two(mill.server.listening(), 65_535).await;
        for _ in 0..60 {
            let (answer, _) = two.begin("GET", paths::EVENT_STREAM, &mill.user, true).await;
            coming.push(answer);
            let (answer, mut body) = two.begin("POST", paths::LEASES, &stray, false).await;
            let lease = serde_json::json!({"node": "n", "pool": "other", "abilities": ["contract:1.0"],
                "max_jobs": 1, "idle_slots": 0, "wait_ms": 30_000});
            body.send_data(serde_json::to_vec(&lease).unwrap().into(), true).unwrap();
            polls.push(answer);
        }
        connections.push(two);
    }
    let mut refused = 0;
    for answer in coming {
        let answer = timeout(LIMIT, answer).await.unwrap().unwrap();
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(answer.headers()["retry-after"], "1");
            refused += 1;
        } else {
            assert_eq!(answer.status(), StatusCode::OK);
            // Its stream stays open as long as the answer is held.
            std::mem::forget(answer);
        }
    }
    assert_eq!(refused, 80, "a caller has as many places as it may have");
    let own = mill.get(&mill.user, paths::WHOAMI).await;
    assert_eq!(problem(own, StatusCode::SERVICE_UNAVAILABLE).await.error.code, ErrorCode::Unavailable);

    // Everybody else is answered, the flooded pool's and the flooding user's colleagues included.
    let colleague = user(&mill, "acme", "bob").await;
    let stranger = user(&mill, "other", "eve").await;
    for token in [&colleague, &stranger] {
        assert_eq!(mill.get(token, paths::WHOAMI).await.status(), StatusCode::OK);
    }
    for token in [&mill.processor, &stray] {
        let answer = timeout(Duration::from_secs(5), mill.post(token, paths::LEASE_REPORT, &report())).await;
        assert_eq!(answer.expect("a report waits").status(), StatusCode::OK);
    }
    let lease = timeout(LIMIT, mill.post(&mill.processor, paths::LEASES, &super::super::lease_request(0))).await;
    assert_eq!(lease.unwrap().status(), StatusCode::OK);
    assert_eq!(mill.http.get(mill.url(paths::HEALTH)).send().await.unwrap().status(), StatusCode::OK);
    drop((connections, polls));
    mill.stop().await;
}

#[tokio::test]
async fn a_connection_has_a_bound_of_streams() {
    let mill = Mill::start_with(|config| config.bounds.streams = 5).await;
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    // What the server allows is known with its first answer.
    assert_eq!(two.get(paths::WHOAMI, &mill.user).await.status(), StatusCode::OK);
    let mut open = Vec::new();
    for _ in 0..5 {
        let (answer, _) = two.begin("GET", paths::EVENT_STREAM, &mill.user, true).await;
        open.push(timeout(LIMIT, answer).await.unwrap().unwrap());
    }
    let (mut sixth, _) = two.begin("GET", paths::WHOAMI, &mill.user, true).await;
    assert!(timeout(Duration::from_millis(500), &mut sixth).await.is_err(), "a sixth request has begun");
    open.pop();
    assert_eq!(timeout(LIMIT, sixth).await.unwrap().unwrap().status(), StatusCode::OK);
    mill.stop().await;
}
