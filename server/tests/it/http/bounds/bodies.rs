//! Bodies that do not come, or not fast enough.

use std::time::Duration;

use filemill_api::{ErrorCode, limits, paths};
use filemill_server::Share;
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::super::{LIMIT, Mill, problem, until};
use super::{hasty, raw, report, stray, user};

/// What was announced, as much as may be, and what is sent of it.
const ANNOUNCED: &str = "content-length: 16777216\r\n";

/// Opens calls with bodies of which one byte comes: announced, in chunks, and in HTTP/2.
async fn stall(mill: &Mill, method: &str, path: &str, token: &str, count: usize) -> (Vec<TcpStream>, Vec<raw::Two>) {
    let address = mill.server.listening();
    let mut streams = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..count {
        streams.push(raw::send(address, &(raw::head(method, path, token, ANNOUNCED) + "{")).await);
        let chunked = raw::head(method, path, token, "transfer-encoding: chunked\r\n") + "1\r\n{\r\n";
        streams.push(raw::send(address, &chunked).await);
        let mut two = raw::two(address, 65_535).await;
        let (_, mut body) = two.begin(method, path, token, false).await;
        body.send_data("{".into(), false).unwrap();
        std::mem::forget(body);
        connections.push(two);
    }
    (streams, connections)
}

/// An answer that does not wait for others' bodies.
async fn at_once(what: &str, answer: impl Future<Output = reqwest::Response>, status: StatusCode) {
    let answer = timeout(Duration::from_secs(5), answer).await.unwrap_or_else(|_| panic!("{what} waits"));
    assert_eq!(answer.status(), status, "{what}");
}

#[tokio::test]
async fn another_pools_slow_bodies_delay_no_report() {
    let mill = Mill::start().await;
    let stray = stray(&mill).await;
    let mut held = Vec::new();
    let description = mill.describe_path();
    for (method, path) in [
        ("POST", paths::RESULTS),
        ("POST", paths::LEASE_REPORT),
        ("POST", paths::LEASES),
        ("POST", paths::POOLS),
        ("PUT", &description),
        ("PUT", "/v2/pools/other/engines"),
    ] {
        held.push(stall(&mill, method, path, &stray, 9).await);
    }
    let nothing = serde_json::json!({"node": "node-1", "leases": []});
    at_once("a report", mill.post(&mill.processor, paths::LEASE_REPORT, &report()), StatusCode::OK).await;
    at_once("a result", mill.post(&mill.processor, paths::RESULTS, &nothing), StatusCode::OK).await;
    at_once("handing back", mill.post(&mill.processor, paths::LEASE_RETURN, &nothing), StatusCode::OK).await;
    at_once("its own report", mill.post(&stray, paths::LEASE_REPORT, &report()), StatusCode::OK).await;
    let described = mill.put_json(&mill.processor, &description, "{}");
    at_once("a description", described, StatusCode::NO_CONTENT).await;
    mill.stop().await;
}

#[tokio::test]
async fn one_users_slow_bodies_delay_no_other_user() {
    let mill = Mill::start().await;
    let mut held = Vec::new();
    // Many tokens of one organisation, too.
    for token in [&mill.user, &user(&mill, "acme", "bob").await, &user(&mill, "acme", "carol").await] {
        held.push(stall(&mill, "POST", paths::UPLOADS, token, 9).await);
        held.push(stall(&mill, "POST", paths::ADVANCE, token, 9).await);
    }
    let none = serde_json::json!({"uploads": []});
    for token in [&user(&mill, "acme", "dave").await, &user(&mill, "other", "eve").await, &mill.user] {
        at_once("opening", mill.post(token, paths::UPLOADS, &none), StatusCode::OK).await;
        at_once("advancing", mill.post(token, paths::ADVANCE, &none), StatusCode::OK).await;
    }
    mill.stop().await;
}

#[tokio::test]
async fn bodies_that_fill_their_callers_room_leave_others_theirs() {
    let mill = Mill::start_with(|config| {
        config.bounds.bodies = Share { caller: 256 << 10, group: 256 << 10, all: 1 << 20, always: 16 << 10 };
        config.bounds.eldest_bodies = Share { caller: 512 << 10, group: 512 << 10, all: 1 << 20, always: 0 };
        config.bounds.room_wait = Duration::from_millis(500);
    })
    .await;
    // More than there is for it, all of which really comes.
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream =
            raw::send(mill.server.listening(), &raw::head("POST", paths::UPLOADS, &mill.user, ANNOUNCED)).await;
        held.push(tokio::spawn(async move {
            let _ = stream.write_all(&vec![b' '; 120 << 10]).await;
            raw::closed(&mut stream).await
        }));
    }
    let large = format!("{}{}", " ".repeat(200 << 10), r#"{"uploads":[]}"#);
    let eve = user(&mill, "other", "eve").await;
    let request = mill.http.post(mill.url(paths::UPLOADS)).bearer_auth(&eve).header("content-type", "application/json");
    let answer = timeout(Duration::from_secs(5), request.body(large.clone()).send()).await.expect("it waits").unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // And of those some are told to come again.
    let mut refused = 0;
    for stream in held {
        if stream.is_finished() && stream.await.unwrap().starts_with(b"HTTP/1.1 503") {
            refused += 1;
        }
    }
    let own =
        mill.http.post(mill.url(paths::UPLOADS)).bearer_auth(&mill.user).header("content-type", "application/json");
    let own = timeout(LIMIT, own.body(large).send()).await.unwrap().unwrap();
    if refused == 0 {
        assert_eq!(problem(own, StatusCode::SERVICE_UNAVAILABLE).await.error.code, ErrorCode::Unavailable);
    }
    mill.stop().await;
}

#[tokio::test]
async fn the_largest_bodies_get_through_one_after_the_other() {
    let mill = Mill::start().await;
    let body = format!("{}{}", " ".repeat(limits::MAX_BODY_BYTES - 14), r#"{"uploads":[]}"#);
    assert_eq!(body.len(), limits::MAX_BODY_BYTES);
    let post = async || {
        let request = mill.http.post(mill.url(paths::UPLOADS)).bearer_auth(&mill.user);
        request.header("content-type", "application/json").body(body.clone()).send().await.unwrap().status()
    };
    let statuses = tokio::join!(post(), post(), post(), post());
    assert_eq!(statuses, (StatusCode::OK, StatusCode::OK, StatusCode::OK, StatusCode::OK));
    mill.stop().await;
}

/// Sends a body in pieces; what the answer begins with, and when it came.
async fn drip(mill: &Mill, bytes_per_s: usize, seconds: u64) -> (Vec<u8>, Duration) {
    let length = bytes_per_s * usize::try_from(seconds).unwrap();
    let body = format!("{}{}", " ".repeat(length - 14), r#"{"uploads":[]}"#);
    let head =
        raw::head("POST", paths::UPLOADS, &mill.user, &format!("connection: close\r\ncontent-length: {length}\r\n"));
    let begin = Instant::now();
    let mut stream = raw::send(mill.server.listening(), &head).await;
    for piece in body.as_bytes().chunks(bytes_per_s / 10) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    (raw::closed(&mut stream).await, begin.elapsed())
}

#[tokio::test]
async fn a_slow_body_is_read_to_its_end_and_one_below_the_lowest_rate_is_not() {
    let mill = Mill::start_with(|config| {
        hasty(config);
        // Reading may take longer than a request may.
        config.bounds.request = Duration::from_secs(3);
    })
    .await;
    let (slow, took) = drip(&mill, 12 << 10, 5).await;
    assert!(slow.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&slow));
    assert!(took > Duration::from_secs(4));
    let (slower, took) = drip(&mill, 2 << 10, 30).await;
    assert!(slower.is_empty(), "{}", String::from_utf8_lossy(&slower));
    assert!(took < Duration::from_secs(25), "{took:?}");
    mill.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_ends_its_stream_and_not_its_connection() {
    let mill = Mill::start_with(hasty).await;
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    let (stopped, mut body) = two.begin("POST", paths::UPLOADS, &mill.user, false).await;
    body.send_data("{".into(), false).unwrap();
    // Somebody else's, behind the same proxy.
    let (_stream, _) = two.begin("GET", paths::EVENT_STREAM, &mill.user, true).await;
    let ended = timeout(LIMIT, stopped).await.expect("it is waited for").unwrap_err();
    assert!(ended.is_reset(), "{ended}");
    assert_eq!(two.get(paths::WHOAMI, &mill.user).await.status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn an_object_from_a_slow_link_is_stored_and_one_that_stops_is_cut() {
    let mill = Mill::start_with(hasty).await;
    let chunk = vec![7; 64 << 10];
    let mut sample = mill.upload(3);
    sample.open.want = vec![super::super::want(0, &chunk)];
    let put = mill.open(&sample.open).await.chunks.remove(0);
    let head = raw::put_head(&mill, &put);

    let mut stops = raw::send(raw::storage(&mill), &head).await;
    stops.write_all(&chunk[..1000]).await.unwrap();
    assert!(raw::closed(&mut stops).await.is_empty());

    let mut slow = raw::send(raw::storage(&mill), &head).await;
    for piece in chunk.chunks(1280) {
        slow.write_all(piece).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let answer = raw::closed(&mut slow).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    mill.stop().await;
}

#[tokio::test]
async fn objects_that_hardly_move_give_way_to_others() {
    let mill = Mill::start_with(|config| config.bounds.transfers = 4).await;
    let chunk = vec![7; 64 << 10];
    let mut sample = mill.upload(3);
    sample.open.want = vec![super::super::want(0, &chunk)];
    let put = mill.open(&sample.open).await.chunks.remove(0);
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = raw::send(raw::storage(&mill), &raw::put_head(&mill, &put)).await;
        stream.write_all(&chunk[..100]).await.unwrap();
        held.push(stream);
    }
    let other = mill.upload(4);
    let put = mill.open(&other.open).await.chunks.remove(0);
    until("another object is stored", async || mill.put(&put, other.chunk.clone()).await.status() == StatusCode::OK)
        .await;
    mill.stop().await;
}

#[tokio::test]
async fn objects_that_are_always_new_push_out_none_that_takes_its_time() {
    let mill = Mill::start_with(|config| config.bounds.transfers = 4).await;
    let chunk = vec![7; 64 << 10];
    let put = async |sample| {
        let mut sample = mill.upload(sample);
        sample.open.want = vec![super::super::want(0, &chunk)];
        mill.open(&sample.open).await.chunks.remove(0)
    };
    let mut slow = raw::send(raw::storage(&mill), &raw::put_head(&mill, &put(3).await)).await;
    let (head, address) = (raw::put_head(&mill, &put(4).await), raw::storage(&mill));
    let others = tokio::spawn(async move {
        loop {
            // More than there are places for, each gone before it is a second old.
            let mut held = Vec::new();
            for _ in 0..8 {
                let mut stream = raw::send(address, &head).await;
                // It may have been cut already.
                let _ = stream.write_all(&[7]).await;
                held.push(stream);
                sleep(Duration::from_millis(50)).await;
            }
        }
    });
    for piece in chunk.chunks(1280) {
        slow.write_all(piece).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let answer = raw::closed(&mut slow).await;
    others.abort();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    mill.stop().await;
}

/// Sends a body in pieces on one of many streams.
async fn drip_stream(mut body: h2::SendStream<bytes::Bytes>, bytes_per_s: usize, seconds: u64) {
    let rest = br#"{"uploads":[]}"#;
    for _ in 0..seconds * 10 {
        if body.send_data(vec![b' '; bytes_per_s / 10].into(), false).is_err() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let _ = body.send_data(rest.to_vec().into(), true);
}

#[tokio::test]
async fn bodies_that_share_a_slow_connection_are_read_to_their_end() {
    let mill = Mill::start_with(hasty).await;
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    let (mut coming, mut bodies) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let (answer, body) = two.begin("POST", paths::UPLOADS, &mill.user, false).await;
        coming.push(answer);
        // Together they keep the lowest rate, and none of them does by itself.
        bodies.push(tokio::spawn(drip_stream(body, 4 << 10, 6)));
    }
    for answer in coming {
        assert_eq!(timeout(LIMIT, answer).await.unwrap().expect("it was cut").status(), StatusCode::OK);
    }
    mill.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_is_not_excused_by_what_comes_for_others() {
    let mill = Mill::start_with(hasty).await;
    let mut two = raw::two(mill.server.listening(), 65_535).await;
    let (stopped, mut silent) = two.begin("POST", paths::UPLOADS, &mill.user, false).await;
    silent.send_data("{".into(), false).unwrap();
    let (other, body) = two.begin("POST", paths::UPLOADS, &mill.user, false).await;
    let other_body = tokio::spawn(drip_stream(body, 64 << 10, 10));
    let ended = timeout(Duration::from_secs(9), stopped).await.expect("it is waited for").unwrap_err();
    assert!(ended.is_reset(), "{ended}");
    assert_eq!(timeout(LIMIT, other).await.unwrap().unwrap().status(), StatusCode::OK);
    other_body.await.unwrap();
    mill.stop().await;
}

#[tokio::test]
async fn who_does_not_read_answers_holds_no_turn_that_others_wait_for() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 100 << 10, group: 100 << 10, all: 1 << 20, always: 0 };
        config.bounds.worked_on = Share { caller: 1 << 20, group: 1 << 20, all: 1 << 20, always: 0 };
    })
    .await;
    super::answers::results(&mill, 4 << 10).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(raw::send(mill.server.listening(), &raw::head("GET", paths::EVENTS, &mill.user, "")).await);
    }
    let large = format!("{}{}", " ".repeat(200 << 10), r#"{"uploads":[]}"#);
    let post = async |token: &str| {
        let request = mill.http.post(mill.url(paths::UPLOADS)).bearer_auth(token);
        request.header("content-type", "application/json").body(large.clone()).send().await.unwrap()
    };
    until("there is no more room", async || post(&mill.user).await.status() == StatusCode::SERVICE_UNAVAILABLE).await;
    let eve = user(&mill, "other", "eve").await;
    let flood = async { tokio::join!(post(&mill.user), post(&mill.user), post(&mill.user), post(&mill.user)) };
    let (flood, ()) = tokio::join!(timeout(Duration::from_secs(8), flood), async {
        for _ in 0..5 {
            at_once("another's body", post(&eve), StatusCode::OK).await;
        }
    });
    let (one, ..) = flood.expect("it waits with its turn");
    assert_eq!(problem(one, StatusCode::SERVICE_UNAVAILABLE).await.error.code, ErrorCode::Unavailable);
    mill.stop().await;
}
