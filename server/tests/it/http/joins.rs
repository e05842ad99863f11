//! One-time codes over HTTP, by callers who have no token.

use std::time::Duration;

use filemill_api::{ErrorCode, JoinAnswer, JoinRequest, WhoAmI, limits, paths};
use filemill_server::accounts::{JoinGrant, Scope};
use filemill_server::{Config, Share};
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{LIMIT, Mill, POOL, ok, problem};

fn request(code: &str) -> JoinRequest {
    JoinRequest { code: code.into(), redeemer: "5e".repeat(32), scope: "processor".into(), pool: None }
}

async fn code(mill: &Mill) -> String {
    let (organisation, member, pool) = ("mill".into(), "other".into(), Some(POOL.into()));
    let grant = JoinGrant { organisation, member, scope: Scope::Processor, pool, everyone: true, login: None };
    mill.admin.create_join_code(&grant).await.unwrap().text
}

#[tokio::test]
async fn a_code_is_redeemed_without_a_token_and_what_it_gives_is_one() {
    let mill = Mill::start().await;
    let code = code(&mill).await;
    let redeem = async |body: &JoinRequest| mill.http.post(mill.url(paths::JOINS)).json(body).send().await.unwrap();
    let unknown = problem(redeem(&request("0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV")).await, StatusCode::NOT_FOUND).await;
    assert!(unknown.error.code == ErrorCode::NotFound && unknown.error.hint.is_some());
    let given: JoinAnswer = ok(redeem(&request(&code)).await).await;
    let who: WhoAmI = ok(mill.get(&given.token, paths::WHOAMI).await).await;
    assert_eq!((who.user.as_str(), who.scope.as_str(), who.pool.as_deref()), ("other", "processor", Some(POOL)));
    // Again, and whatever else the request carries.
    for token in ["", "x", &mill.user] {
        let again: JoinAnswer = ok(mill.post(token, paths::JOINS, &request(&code)).await).await;
        assert!(again == given);
    }
    let other = JoinRequest { redeemer: "0f".repeat(32), ..request(&code) };
    problem(redeem(&other).await, StatusCode::CONFLICT).await;
    mill.stop().await;
}

#[tokio::test]
async fn what_a_stranger_sends_to_be_let_in_is_short() {
    let mill = Mill::start().await;
    let post = |body: String| {
        let request = mill.http.post(mill.url(paths::JOINS)).header("content-type", "application/json");
        async { request.body(body).send().await.unwrap() }
    };
    let long = serde_json::to_string(&request(&"0".repeat(limits::MAX_JOIN_BODY_BYTES))).unwrap();
    problem(post(long).await, StatusCode::PAYLOAD_TOO_LARGE).await;
    problem(post("{}".into()).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    problem(post("{".into()).await, StatusCode::BAD_REQUEST).await;
    let plain = mill.http.post(mill.url(paths::JOINS)).body("x").send().await.unwrap();
    problem(plain, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    problem(mill.http.get(mill.url(paths::JOINS)).send().await.unwrap(), StatusCode::METHOD_NOT_ALLOWED).await;
    mill.stop().await;
}

const JSON: &str = "content-type: application/json\r\n";

/// Few places for those who have no token.
fn few(config: &mut Config) {
    config.bounds.strangers = Share { caller: 4, group: 4, all: 8, always: 1 };
    config.bounds.open = Share { caller: 4, group: 4, all: 8, always: 1 };
}

#[tokio::test]
async fn those_who_show_codes_and_send_no_body_keep_nobody_out_who_has_a_token() {
    let mill = Mill::start_with(few).await;
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: 200\r\n\r\n{{", paths::JOINS);
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(mill.server.listening()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    // One that was seen, and one that has to be looked up.
    assert_eq!(mill.get(&mill.user, paths::WHOAMI).await.status(), StatusCode::OK);
    let new = mill.admin.create_token("acme", "new", Scope::User, None).await.unwrap().text;
    let looked_up = timeout(Duration::from_secs(3), mill.get(&new, paths::WHOAMI)).await.expect("it waits");
    assert_eq!(looked_up.status(), StatusCode::OK);
    drop(silent);
    let code = code(&mill).await;
    let begin = tokio::time::Instant::now();
    loop {
        let answer = mill.http.post(mill.url(paths::JOINS)).json(&request(&code)).send().await.unwrap();
        if answer.status() == StatusCode::OK {
            break;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(begin.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    mill.stop().await;
}
