//! Connections on which nothing happens, and too many of them.

use std::time::Duration;

use filemill_api::paths;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::{LIMIT, Mill, until};
use super::{hasty, raw};

/// What a connection may say before it falls silent.
fn beginnings(mill: &Mill) -> Vec<(&'static str, Vec<u8>)> {
    let whole = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    vec![
        ("nothing", Vec::new()),
        ("one byte", b"G".to_vec()),
        ("half a head", raw::head("GET", paths::WHOAMI, &mill.user, "x: y").into_bytes()[..90].to_vec()),
        ("half a preface", whole[..12].to_vec()),
        ("a preface without its settings", whole.to_vec()),
        ("a preface without a request", [&whole[..], &settings].concat()),
        ("half a frame", [&whole[..], &settings, &[0, 1, 0, 1]].concat()),
    ]
}

#[tokio::test]
async fn a_connection_that_does_not_get_to_a_request_is_closed() {
    let mill = Mill::start_with(hasty).await;
    for address in [mill.server.listening(), raw::storage(&mill)] {
        let mut streams = Vec::new();
        for (what, said) in beginnings(&mill) {
            let mut stream = raw::connect(address).await;
            stream.write_all(&said).await.unwrap();
            streams.push((what, stream));
        }
        for (what, stream) in &mut streams {
            let closed = timeout(LIMIT, raw::closed(stream)).await;
            assert!(closed.is_ok(), "{what}");
        }
    }
    mill.stop().await;
}

#[tokio::test]
async fn a_connection_that_falls_silent_after_a_request_is_closed_and_one_that_waits_is_not() {
    let mill = Mill::start_with(hasty).await;
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    assert_eq!(two.get(paths::WHOAMI, &mill.user).await.status(), StatusCode::OK);
    let mut one = raw::send(mill.server.listening(), &raw::head("GET", paths::WHOAMI, &mill.user, "")).await;
    // A long poll and a stream of events are silent for longer than that, and none the worse for it.
    let lease = super::super::lease_request(4_000);
    let (waits, ()) = tokio::join!(mill.post(&mill.processor, paths::LEASES, &lease), async {
        let mut stream = mill.get(&mill.user, paths::EVENT_STREAM).await;
        let silent = timeout(Duration::from_secs(4), stream.chunk()).await;
        assert!(silent.is_err(), "the stream has ended: {silent:?}");
    });
    assert_eq!(waits.status(), StatusCode::OK);
    assert!(raw::closed(&mut one).await.starts_with(b"HTTP/1.1 200"));
    timeout(LIMIT, two.ended).await.expect("the HTTP/2 connection stays open").unwrap().unwrap();
    mill.stop().await;
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let mill = Mill::start_with(|config| {
        config.bounds.connections = 48;
        config.bounds.newcomers = 32;
        config.bounds.newcomer_stay = Duration::from_millis(50);
    })
    .await;
    // Somebody who is known already, and waits.
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    assert_eq!(two.get(paths::WHOAMI, &mill.user).await.status(), StatusCode::OK);
    let mut silent = Vec::new();
    for address in [mill.server.listening(), raw::storage(&mill)] {
        for _ in 0..150 {
            silent.push(timeout(LIMIT, raw::send(address, "PRI * HT")).await.unwrap());
        }
    }
    let fresh = reqwest::Client::new();
    let health = timeout(Duration::from_secs(5), fresh.get(mill.url(paths::HEALTH)).send());
    assert_eq!(health.await.expect("nobody answers").unwrap().status(), StatusCode::OK);
    assert_eq!(mill.get(&mill.processor, paths::WHOAMI).await.status(), StatusCode::OK);
    let sample = mill.upload(7);
    timeout(LIMIT, mill.send(&sample)).await.expect("nothing can be stored");
    assert_eq!(two.get(paths::WHOAMI, &mill.user).await.status(), StatusCode::OK, "who is known stays");
    // The first to come have gone.
    let mut byte = [0];
    until("the oldest is closed", async || {
        matches!(timeout(Duration::from_millis(1), silent[0].read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    })
    .await;
    mill.stop().await;
}

#[tokio::test]
async fn one_callers_idle_connections_give_way_to_others() {
    let mill = Mill::start_with(|config| {
        config.bounds.connections = 24;
        config.bounds.newcomers = 16;
        config.bounds.newcomer_stay = Duration::from_millis(50);
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        let mut stream = raw::send(mill.server.listening(), &raw::head("GET", paths::WHOAMI, &mill.user, "")).await;
        let mut answer = [0; 12];
        timeout(LIMIT, stream.read_exact(&mut answer)).await.expect("nobody comes in").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        idle.push(stream);
    }
    let fresh = reqwest::Client::new();
    for _ in 0..8 {
        let answer = timeout(Duration::from_secs(5), fresh.get(mill.url(paths::HEALTH)).send());
        assert_eq!(answer.await.expect("nobody answers").unwrap().status(), StatusCode::OK);
    }
    mill.stop().await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_their_connection() {
    let mill = Mill::start_with(|config| config.bounds.given_up = 64).await;
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    let lease = serde_json::to_vec(&super::super::lease_request(20_000)).unwrap();
    let flood = async {
        loop {
            let Ok(ready) = two.send.clone().ready().await else { break };
            two.send = ready;
            let request = axum::http::Request::post(format!("http://x{}", paths::LEASES))
                .header("authorization", format!("Bearer {}", mill.processor))
                .header("content-type", "application/json")
                .body(())
                .unwrap();
            let Ok((_answer, mut body)) = two.send.send_request(request, false) else { break };
            let _ = body.send_data(lease.clone().into(), true);
            tokio::time::sleep(Duration::from_millis(2)).await;
            body.send_reset(h2::Reason::CANCEL);
        }
    };
    timeout(LIMIT, flood).await.expect("it goes on for ever");
    assert_eq!(mill.get(&mill.processor, paths::WHOAMI).await.status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn an_object_from_a_slow_link_is_not_cut_for_silent_connections() {
    let mill = Mill::start_with(|config| {
        config.bounds.newcomers = 32;
        config.bounds.newcomer_stay = Duration::from_millis(500);
    })
    .await;
    let chunk = vec![7; 64 << 10];
    let mut sample = mill.upload(3);
    sample.open.want = vec![super::super::want(0, &chunk)];
    let put = mill.open(&sample.open).await.chunks.remove(0);
    let mut slow = raw::send(raw::storage(&mill), &raw::put_head(&mill, &put)).await;
    slow.write_all(&chunk[..1000]).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(timeout(LIMIT, raw::connect(raw::storage(&mill))).await.unwrap());
    }
    // They have come in when the oldest of them has gone.
    assert!(raw::closed(&mut silent[0]).await.is_empty());
    slow.write_all(&chunk[1000..]).await.expect("it was cut");
    assert!(raw::closed(&mut slow).await.starts_with(b"HTTP/1.1 200"));
    mill.stop().await;
}

#[tokio::test]
async fn connections_that_all_have_a_request_under_way_keep_nobody_out_for_ever() {
    let mill = Mill::start_with(|config| {
        config.bounds.connections = 24;
        config.bounds.newcomers = 16;
        config.bounds.newcomer_stay = Duration::from_millis(50);
    })
    .await;
    let mut waiting = Vec::new();
    for _ in 0..24 {
        let head = raw::head("GET", paths::EVENT_STREAM, &mill.user, "");
        let mut stream = raw::send(mill.server.listening(), &head).await;
        let mut answer = [0; 12];
        timeout(LIMIT, stream.read_exact(&mut answer)).await.expect("nobody comes in").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        waiting.push(stream);
    }
    let fresh = reqwest::Client::new();
    let answer = timeout(LIMIT, fresh.get(mill.url(paths::HEALTH)).send());
    assert_eq!(answer.await.expect("nobody answers").unwrap().status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn newcomers_of_one_address_are_in_nobodys_way_however_long_they_may_stay() {
    let mill = Mill::start_with(|config| {
        config.bounds.newcomers = 32;
        config.bounds.newcomers_each = 24;
        config.bounds.newcomer_stay = Duration::from_secs(600);
    })
    .await;
    for address in [mill.server.listening(), raw::storage(&mill)] {
        let mut quiet = raw::connect_from([127, 0, 0, 2], address).await;
        let mut silent = Vec::new();
        for from in [[127, 0, 0, 3], [127, 0, 0, 4]] {
            for _ in 0..150 {
                silent.push(raw::connect_from(from, address).await);
            }
        }
        // The same address has its newest.
        silent.push(raw::send(address, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await);
        assert!(raw::closed(silent.last_mut().unwrap()).await.starts_with(b"HTTP/1.1 "), "the newest waits");
        quiet.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(raw::closed(&mut quiet).await.starts_with(b"HTTP/1.1 "), "an address with one was closed for others");
    }
    mill.stop().await;
}
