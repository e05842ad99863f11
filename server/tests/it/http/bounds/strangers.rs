//! What those do who have no token.

use std::time::Duration;

use filemill_api::paths;
use filemill_server::{Config, Share};
use reqwest::StatusCode;
use tokio::time::timeout;

use super::super::{LIMIT, Mill, until};
use super::{raw, report, stray, user};

/// Few places for them.
fn few(config: &mut Config) {
    config.bounds.strangers = Share { caller: 4, group: 4, all: 8, always: 1 };
    config.bounds.open = config.bounds.strangers;
}

/// An answer that does not wait for a place.
async fn at_once(answer: impl Future<Output = reqwest::Response>) -> StatusCode {
    timeout(Duration::from_secs(3), answer).await.expect("it waits").status()
}

#[tokio::test]
async fn requests_without_a_token_take_no_place_of_those_with_one() {
    let mill = Mill::start_with(few).await;
    // Bodies that never come, to calls that nobody may make: they are answered from their heads. One after the other, as more
    // tokens at once than there are places to look them up are rightly told to come again.
    let head = raw::head("POST", paths::UPLOADS, "fm_u_none", "content-length: 16777216\r\n");
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = raw::send(mill.server.listening(), &head).await;
        let answer = raw::closed(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
        streams.push(stream);
    }
    assert_eq!(mill.get(&mill.user, paths::WHOAMI).await.status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn strangers_who_read_no_answers_keep_nobody_out_who_has_a_token() {
    let mill = Mill::start_with(few).await;
    let mut two = raw::two(mill.server.listening(), 0).await;
    let mut unread = Vec::new();
    for (path, token) in [(paths::WHOAMI, ""), (paths::UPLOADS, "fm_u_none"), (paths::EVENTS, "fm_p_none")] {
        for _ in 0..20 {
            let (coming, _) = two.begin("GET", path, token, true).await;
            let answer = timeout(LIMIT, coming).await.expect("a stranger waits").unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            unread.push(answer);
        }
    }
    let without_body = unread.iter().filter(|answer| answer.body().is_end_stream()).count();
    assert_eq!(without_body, 56, "nobody reads the others, and they have all the places");
    assert_eq!(at_once(mill.post(&mill.processor, paths::LEASE_REPORT, &report())).await, StatusCode::OK);
    // Those who were never seen come from the same address, and are known when they have been looked up.
    for token in [stray(&mill).await, user(&mill, "other", "eve").await] {
        assert_eq!(at_once(mill.get(&token, paths::WHOAMI)).await, StatusCode::OK);
    }
    drop((unread, two));
    until("strangers are told again what is wrong", async || {
        mill.get("fm_u_none", paths::WHOAMI).await.json::<filemill_api::Problem>().await.is_ok()
    })
    .await;
    mill.stop().await;
}

#[tokio::test]
async fn descriptions_that_nobody_reads_are_bounded_and_health_is_told_in_any_case() {
    let mill = Mill::start_with(few).await;
    let mut two = raw::two(mill.server.listening(), 0).await;
    let mut unread = Vec::new();
    let mut refused = 0;
    for path in [paths::OPENAPI, paths::HEALTH, paths::HEALTH_BESIDE[1]] {
        for _ in 0..20 {
            let (coming, _) = two.begin("GET", path, "", true).await;
            let answer = timeout(LIMIT, coming).await.unwrap().unwrap();
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                assert_eq!((path, answer.headers()["retry-after"].as_bytes()), (paths::OPENAPI, &b"1"[..]));
                assert!(answer.body().is_end_stream());
                refused += 1;
            } else {
                assert_eq!(answer.status(), StatusCode::OK);
                unread.push(answer);
            }
        }
    }
    assert_eq!(refused, 16, "as many as there are places for are told");
    let health = mill.http.get(mill.url(paths::HEALTH)).send();
    assert_eq!(timeout(LIMIT, health).await.unwrap().unwrap().status(), StatusCode::OK);
    drop((unread, two));
    until("it is told again", async || mill.get(&mill.user, paths::OPENAPI).await.status() == StatusCode::OK).await;
    mill.stop().await;
}

#[tokio::test]
async fn refusals_of_storage_that_nobody_reads_are_bounded_and_the_others_are_to_come_again() {
    let mill = Mill::start_with(few).await;
    let mut two = raw::two(raw::storage(&mill), 0).await;
    let mut unread = Vec::new();
    let mut without_body = 0;
    for _ in 0..20 {
        let (coming, _) = two.begin("GET", "/filemill/uploads/a", "", true).await;
        let answer = timeout(LIMIT, coming).await.unwrap().unwrap();
        if answer.body().is_end_stream() {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            without_body += 1;
        } else {
            assert!(answer.status().is_client_error(), "{}", answer.status());
            unread.push(answer);
        }
    }
    assert_eq!(without_body, 16, "the others have all the places");
    // Who may store something does not need one.
    timeout(LIMIT, mill.send(&mill.upload(7))).await.expect("nothing can be stored");
    drop((unread, two));
    let unsigned = format!("{}/filemill/uploads/a", mill.server.addresses().storage);
    until("strangers are told again what is wrong", async || {
        mill.http.get(&unsigned).send().await.unwrap().text().await.unwrap().contains("<Code>AccessDenied</Code>")
    })
    .await;
    mill.stop().await;
}
