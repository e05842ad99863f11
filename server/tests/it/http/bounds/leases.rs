//! Work that there is no room to tell of.

use std::time::Duration;

use filemill_api::{LeaseAnswer, paths};
use filemill_server::Share;
use reqwest::StatusCode;
use tokio::time::timeout;

use super::super::{LIMIT, Mill, lease_request, ok, one, until};
use super::raw;

#[tokio::test]
async fn work_that_a_node_cannot_be_told_of_is_not_kept_for_it() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 100 << 10, group: 100 << 10, all: 1 << 20, always: 0 };
        config.bounds.room_wait = Duration::from_millis(200);
    })
    .await;
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat((100 << 10) - 500));
    let described = mill.put_json(&mill.processor, &mill.describe_path(), long).await;
    assert_eq!(described.status(), StatusCode::NO_CONTENT);
    let head = raw::head("GET", &mill.describe_path(), &mill.processor, "");
    let unread = raw::send(mill.server.listening(), &head).await;
    until("there is no more room", async || {
        mill.get(&mill.processor, &mill.describe_path()).await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    mill.send(&mill.upload(5)).await;
    let refused = mill.post(&mill.processor, paths::LEASES, &lease_request(5_000)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(unread);
    // Long before the lease would have ended.
    let work = async {
        loop {
            let answer = mill.post(&mill.processor, paths::LEASES, &lease_request(5_000)).await;
            if answer.status() == StatusCode::OK {
                let leased: LeaseAnswer = ok(answer).await;
                if !leased.uploads.is_empty() {
                    return leased;
                }
            }
        }
    };
    let leased = timeout(LIMIT, work).await.expect("nobody has it, and nobody gets it");
    assert_eq!(one(leased.uploads).upload, mill.upload(5).open.id);
    mill.stop().await;
}

#[tokio::test]
async fn a_node_is_told_of_some_work_where_others_leave_no_room_for_all_of_it() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 100 << 10, group: 100 << 10, all: 100 << 10, always: 8 << 10 };
        config.bounds.room_wait = Duration::from_millis(200);
    })
    .await;
    for id in 1..=8 {
        mill.send(&mill.upload(id)).await;
    }
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat((100 << 10) - 500));
    let described = mill.put_json(&mill.processor, &mill.describe_path(), long).await;
    assert_eq!(described.status(), StatusCode::NO_CONTENT);
    let head = raw::head("GET", &mill.describe_path(), &mill.user, "");
    let unread = raw::send(mill.server.listening(), &head).await;
    until("there is no more room", async || {
        mill.get(&mill.user, &mill.describe_path()).await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let mut told = Vec::new();
    while told.len() < 8 {
        let leased: LeaseAnswer = mill.ask(&mill.processor, paths::LEASES, &lease_request(5_000)).await;
        assert!((1..=3).contains(&leased.uploads.len()), "{}", leased.uploads.len());
        assert!(leased.uploads.iter().flat_map(|work| &work.spans).all(|run| run.attempt == 1));
        told.extend(leased.uploads.into_iter().map(|work| work.upload));
    }
    told.sort_unstable();
    assert_eq!(told, (1..=8).map(|id| mill.upload(id).open.id).collect::<Vec<_>>(), "each once, and at once");
    drop(unread);
    mill.stop().await;
}

#[tokio::test]
async fn small_bodies_do_not_wait_for_room() {
    let mill = Mill::start_with(|config| {
        config.bounds.bodies = Share { caller: 2 << 10, group: 2 << 10, all: 1 << 20, always: 0 };
        config.bounds.eldest_bodies = Share { caller: 0, group: 0, all: 0, always: 0 };
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let head = raw::head("POST", paths::LEASES, &mill.processor, "content-length: 60000\r\n");
        held.push(raw::send(mill.server.listening(), &(head + "{")).await);
    }
    until("there is no more room", async || {
        let request = lease_request(0);
        let answer = timeout(Duration::from_secs(5), mill.post(&mill.processor, paths::LEASES, &request)).await;
        // Where it waited, it would for 10 s.
        answer.expect("it waits").status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    mill.stop().await;
}
