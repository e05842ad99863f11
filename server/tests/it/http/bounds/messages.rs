//! An answer does not grow with what was sent, but for what was asked for.

use std::time::Duration;

use axum::http::Method;
use filemill_api::{ErrorCode, paths};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::{LIMIT, Mill, POOL, ok, problem};

/// What a message may have, whatever it is about.
const MESSAGE_BYTES: usize = 500;

/// Long texts of characters that take more room when they are escaped: longer than any text may be, and just within that.
fn long() -> impl Iterator<Item = String> {
    ["x", "\"", "\u{1}", "\u{10ffff}"].into_iter().flat_map(|text| {
        let escaped = serde_json::to_string(text).unwrap().len() - 2;
        [(1 << 20) / text.len(), (128 << 10) / escaped].map(|count| text.repeat(count))
    })
}

#[tokio::test]
async fn an_error_quotes_a_part_only() {
    let mill = Mill::start().await;
    for long in long() {
        let bodies = [
            (paths::UPLOADS, json!({"uploads": long})),
            (paths::UPLOADS, json!({"uploads": [{"id": 1, "chunks": long}]})),
            (
                paths::UPLOADS,
                json!({"uploads": [{
                    "id": long, "format": 1, "tasks": [{"releases": [long], "needs": [long]}], "pool": long, "header_length": 1,
                    "header_sha256": long, "chunks": 1, "files": [], "want": [],
                }]}),
            ),
            (
                paths::UPLOADS,
                json!({"uploads": [{"id": "ab".repeat(16), "format": 1, "tasks": [{"releases": [mill.release]}], "pool": long,
                    "header_length": 1, "header_sha256": "cd".repeat(32), "chunks": 1, "want": [],
                    "files": [{"first_index": 0, "count": 1, "first_chunk": 0, "last_chunk": 0}],
                }]}),
            ),
            (paths::ADVANCE, json!({"uploads": [{"id": long, "header_stored": long}]})),
            (
                paths::ADVANCE,
                json!({"uploads": [{"id": "ab".repeat(16), "want": [{"sequence": 0, "length": 1, "sha256": long}]}]}),
            ),
        ];
        for (path, body) in bodies {
            let answer = timeout(LIMIT, mill.post(&mill.user, path, &body)).await.unwrap();
            let text = answer.text().await.unwrap();
            assert!(text.len() < 2 * MESSAGE_BYTES, "{path}: {} bytes: {:.300}", text.len(), text);
        }
        let outcome = json!({"node": "n", "leases": [{"span": 1, "fence": 1,
            "results": [{"jobs": [{"job": 0, "outcome": 3}], "sealed": {(long.as_str()): 1}}]}]});
        let reason = json!({"node": "n", "leases": [{"span": 1, "fence": 1, "reason": long}]});
        let engines = json!({"node": long, "engines": [{"name": long, "digest": long, "length": 1, "contract": 1, "description": "{}"}]});
        let offer = paths::ENGINES.replace("{pool}", POOL);
        for (method, path, body) in [
            (Method::POST, paths::RESULTS, outcome),
            (Method::POST, paths::LEASE_RETURN, reason),
            (Method::PUT, &offer, engines),
            (Method::POST, paths::POOLS, json!({"pool": {"statement": long, "signature": long}})),
        ] {
            let request = mill.http.request(method, mill.url(path)).bearer_auth(&mill.processor).json(&body);
            let text = timeout(LIMIT, request.send()).await.unwrap().unwrap().text().await.unwrap();
            assert!(text.len() < 2 * MESSAGE_BYTES, "{path}: {} bytes: {:.300}", text.len(), text);
        }
    }
    // In a head, which has bounds of its own.
    let long = "x".repeat(20_000);
    for path in [
        format!("{}?after={long}", paths::EVENTS),
        format!("{}?{long}={long}", paths::EVENTS),
        format!("{}?pool={long}", paths::RELEASES),
        paths::UPLOAD.replace("{upload}", &long),
        paths::DESCRIPTION.replace("{digest}", &long),
        format!("/{long}"),
    ] {
        let answer = mill.get(&mill.user, &path).await;
        let text = answer.text().await.unwrap();
        assert!(text.len() < MESSAGE_BYTES, "{} bytes: {:.300}", text.len(), text);
    }
    let long_token = mill.get(&long, paths::WHOAMI).await;
    assert!(problem(long_token, StatusCode::UNAUTHORIZED).await.error.message.len() < MESSAGE_BYTES);
    let storage = mill.http.get(format!("{}/filemill/{long}?{long}", mill.server.addresses().storage)).send().await;
    assert!(storage.unwrap().bytes().await.unwrap().len() < 2 * MESSAGE_BYTES);
    mill.stop().await;
}

/// A parser that does not expect a text makes a message with all of it, six times as long if it is of characters like these: 48 MiB.
#[tokio::test]
async fn a_text_that_is_longer_than_any_is_refused_before_a_parser_repeats_it() {
    let mill = Mill::start().await;
    for text in ["\u{7f}", "x"] {
        let body = json!({"uploads": text.repeat(8 << 20)});
        let told = problem(mill.post(&mill.user, paths::UPLOADS, &body).await, StatusCode::PAYLOAD_TOO_LARGE).await;
        assert_eq!(told.error.message, "a text in the body is longer than 131072 bytes");
    }
    mill.stop().await;
}

#[tokio::test]
async fn an_answer_has_room_for_so_many_urls_and_says_of_the_others_that_they_come_later() {
    let mill = Mill::start().await;
    let wants: Vec<Value> =
        (0..64).map(|sequence| json!({"sequence": sequence, "length": 1, "sha256": "cd".repeat(32)})).collect();
    let upload = |number: usize| {
        json!({"id": format!("{number:032x}"), "format": 1, "tasks": [{"releases": [mill.release]}], "pool": POOL, "header_length": 1,
            "header_sha256": "cd".repeat(32), "chunks": 64, "want": wants,
            "files": [{"first_index": 0, "count": 1, "first_chunk": 0, "last_chunk": 63}]})
    };
    let all: Vec<_> = (0..100).map(upload).collect();
    let answer: filemill_api::OpenAnswer = mill.ask(&mill.user, paths::UPLOADS, &json!({"uploads": all})).await;
    let (opened, later): (Vec<_>, Vec<_>) =
        answer.uploads.into_iter().map(filemill_api::Item::into_result).partition(Result::is_ok);
    assert_eq!((opened.len(), later.len()), (63, 37));
    assert!(later.iter().all(|item| item.as_ref().unwrap_err().code == ErrorCode::Unavailable));
    let advances: Vec<_> = (0..63).map(|number| json!({"id": format!("{number:032x}"), "want": wants})).collect();
    let answer = mill.post(&mill.user, paths::ADVANCE, &json!({"uploads": advances})).await;
    let answer: filemill_api::AdvanceAnswer = ok(answer).await;
    assert_eq!(answer.uploads.into_iter().filter_map(|item| item.into_result().ok()).count(), 63);
    mill.stop().await;
}

#[tokio::test]
async fn lists_of_nothing_do_not_grow_in_memory() {
    let mill = Mill::start().await;
    // Each item is three bytes in JSON and 24 in memory.
    let many = format!(r#"{{"uploads":[{}""]}}"#, "\"\",".repeat(20_000));
    let request =
        mill.http.post(mill.url(paths::CANCEL)).bearer_auth(&mill.user).header("content-type", "application/json");
    let answer = timeout(Duration::from_secs(10), request.body(many).send()).await.unwrap().unwrap();
    let told = problem(answer, StatusCode::BAD_REQUEST).await.error;
    assert_eq!(told.message, "more than 256 uploads in one request");
    let large = format!(r#"{{"uploads":[{}""]}}"#, "\"\",".repeat(100_000));
    let request =
        mill.http.post(mill.url(paths::CANCEL)).bearer_auth(&mill.user).header("content-type", "application/json");
    problem(request.body(large).send().await.unwrap(), StatusCode::PAYLOAD_TOO_LARGE).await;
    mill.stop().await;
}
