//! Odd characters wherever text is taken: refused, and never the database's problem. On SQLite and on PostgreSQL.

use filemill_api::paths;
use filemill_server::accounts::{JoinGrant, Scope};
use filemill_server::store::StoreOptions;
use filemill_server::{Config, Place};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Mill, POOL};

/// Whatever a text may be that nobody expects.
fn odd() -> Vec<String> {
    let mut odd: Vec<_> =
        ["\0", "a\0b", "'", "a\nb", "\u{7f}", "\u{fffd}é☃", "{}", "%00", "\\u0000"].map(String::from).into();
    odd.push("x".repeat(10_000));
    odd
}

#[tokio::test]
async fn odd_text_is_refused_over_sqlite() {
    let mill = Mill::start().await;
    everywhere(&mill).await;
    mill.stop().await;
}

#[tokio::test]
async fn odd_text_is_refused_over_postgres() {
    let Ok(server) = std::env::var("FILEMILL_TEST_POSTGRES_URL") else {
        let sqlite_only = std::env::var("FILEMILL_TEST_SQLITE_ONLY").is_ok_and(|only| only == "1");
        assert!(sqlite_only, "FILEMILL_TEST_POSTGRES_URL is not set\nhint: run `cargo xtask test`");
        return;
    };
    let name = format!("filemill_odd_{}", std::process::id());
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let create = format!("create database {name}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let mill = Mill::start_with(|config: &mut Config| {
        if let Place::Embedded(embedded) = &mut config.place {
            embedded.database = Some(StoreOptions::from_url(&url, 8).unwrap());
        }
    })
    .await;
    everywhere(&mill).await;
    mill.stop().await;
    let drop = format!("drop database {name} with (force)");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
}

async fn everywhere(mill: &Mill) {
    for odd in odd() {
        in_addresses(mill, &odd).await;
        in_bodies(mill, &odd).await;
        in_descriptions(mill, &odd).await;
    }
    // It all left nothing behind that cannot be read.
    let listed = mill.get(&mill.user, &format!("{}?pool={POOL}", paths::RELEASES)).await;
    assert_eq!(listed.status(), StatusCode::OK);
}

/// In every part of a path and every parameter of a query.
async fn in_addresses(mill: &Mill, odd: &str) {
    let odd: String = odd.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let description = paths::description(&mill.release, &Default::default());
    let reads = [
        (&mill.user, paths::UPLOAD.replace("{upload}", &odd)),
        (&mill.user, format!("{}?after={odd}", paths::UPLOADS)),
        (&mill.user, format!("{}?after={odd}", paths::EVENTS)),
        (&mill.user, format!("{}?limit={odd}", paths::EVENTS)),
        (&mill.user, format!("{}?after={odd}", paths::EVENT_STREAM)),
        (&mill.user, format!("{}?pool={odd}", paths::RELEASES)),
        (&mill.processor, paths::COMPONENT.replace("{digest}", &odd)),
        (&mill.user, paths::DESCRIPTION.replace("{digest}", &odd)),
        (&mill.user, format!("{description}?sha256={odd}")),
        (&mill.user, format!("{description}?pool={odd}")),
    ];
    for (token, path) in reads {
        let answer = mill.get(token, &path).await;
        assert!(answer.status().is_client_error(), "{}: {:.200}", answer.status(), path);
    }
    for (path, body) in [
        (paths::DESCRIPTION.replace("{digest}", &odd), "{}".to_owned()),
        (paths::ENGINES.replace("{pool}", &odd), r#"{"node":"n","engines":[]}"#.to_owned()),
    ] {
        let answer = mill.put_json(&mill.processor, &path, body).await;
        assert!(answer.status().is_client_error(), "{}: {:.200}", answer.status(), path);
    }
}

/// In place of every text in every body.
async fn in_bodies(mill: &Mill, odd: &str) {
    let (id, sha256, node) = ("ab".repeat(16), "cd".repeat(32), "n");
    let engines = paths::ENGINES.replace("{pool}", POOL);
    let chunk = json!({"sequence": 0, "length": 1, "sha256": sha256});
    let statement = json!({"pool": POOL, "serial": 2, "recipient": odd}).to_string();
    let lease = json!({"span": 65536, "fence": 1});
    let with = |more: Value| {
        let mut one = lease.clone();
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let grant = JoinGrant {
        organisation: "acme".into(),
        member: "odd".into(),
        scope: Scope::Processor,
        pool: Some(POOL.into()),
        everyone: true,
        login: None,
    };
    let code = mill.admin.create_join_code(&grant).await.unwrap().text;
    let calls = [
        (
            &mill.user,
            Method::POST,
            paths::JOINS,
            json!({"code": code, "redeemer": sha256, "scope": "processor", "pool": POOL}),
        ),
        (
            &mill.user,
            Method::POST,
            paths::UPLOADS,
            json!({"uploads": [{
                "id": id, "format": 1, "tasks": [{"releases": [mill.release], "needs": ["long_parameters"]}], "pool": POOL, "header_length": 1, "header_sha256": sha256, "chunks": 1,
                "files": [{"first_index": 0, "count": 1, "first_chunk": 0, "last_chunk": 0}], "want": [chunk],
            }]}),
        ),
        (
            &mill.user,
            Method::POST,
            paths::ADVANCE,
            json!({"uploads": [
                {"id": id, "header_stored": true, "stored": [chunk], "want": [chunk]},
            ]}),
        ),
        (&mill.user, Method::POST, paths::CANCEL, json!({"uploads": [id]})),
        (
            &mill.processor,
            Method::POST,
            paths::LEASES,
            json!({
                "node": node, "pool": POOL, "abilities": ["backend:component"], "max_jobs": 1, "idle_slots": 0,
                "wait_ms": 0,
            }),
        ),
        (&mill.processor, Method::POST, paths::LEASE_REPORT, json!({"node": node, "leases": [lease]})),
        (
            &mill.processor,
            Method::POST,
            paths::LEASE_RETURN,
            json!({
                "node": node, "leases": [with(json!({"reason": "stalled"}))],
            }),
        ),
        (&mill.processor, Method::POST, paths::LEASE_MISSING, with(json!({"node": node, "chunks": [[0, sha256]]}))),
        (
            &mill.processor,
            Method::POST,
            paths::RESULTS,
            json!({"node": node, "leases": [with(json!({"results": [
                {"jobs": [{"job": 0, "outcome": "failed"}], "sealed": {"object": {"length": 1, "sha256": sha256}}},
            ]}))]}),
        ),
        (
            &mill.processor,
            Method::POST,
            paths::RESULT_URLS,
            json!({
                "results": [with(json!({"job": 0, "length": 1, "sha256": sha256}))],
            }),
        ),
        (
            &mill.processor,
            Method::POST,
            paths::POOLS,
            json!({
                "pool": {"statement": statement, "signature": "00".repeat(64)},
            }),
        ),
        (
            &mill.processor,
            Method::PUT,
            &engines,
            json!({"node": node, "engines": [{
                "name": "mine", "digest": sha256, "length": 1, "contract": 1, "description": "{}", "stored": true,
            }]}),
        ),
    ];
    for (token, method, path, body) in calls {
        for place in texts(&body, String::new()) {
            let mut body = body.clone();
            *body.pointer_mut(&place).unwrap() = odd.into();
            let request = mill.http.request(method.clone(), mill.url(path)).bearer_auth(token).json(&body);
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            let failed = status.is_server_error() || text.contains("\"internal\"") || text.contains("\"unavailable\"");
            assert!(!failed, "{path} {place}: {status} {text:.300}");
        }
    }
}

/// In what an engine says of itself: kept as it is.
async fn in_descriptions(mill: &Mill, odd: &str) {
    let document = json!({"version": odd, "summary": odd, "media_types": [odd], odd: odd}).to_string();
    let kept = mill.put_json(&mill.processor, &mill.describe_path(), document.clone()).await;
    assert_eq!(kept.status(), StatusCode::NO_CONTENT);
    assert_eq!(mill.get(&mill.user, &mill.describe_path()).await.text().await.unwrap(), document);
    let offer = json!({"node": "n", "engines": [{
        "name": "mine", "digest": "cd".repeat(32), "length": 1, "contract": 1, "description": document,
    }]});
    let offered = mill.put_json(&mill.processor, &paths::ENGINES.replace("{pool}", POOL), offer.to_string()).await;
    let status = offered.status();
    assert_eq!(status, StatusCode::OK, "{}", offered.text().await.unwrap());
}

/// Where texts are in a body.
fn texts(value: &Value, place: String) -> Vec<String> {
    match value {
        Value::String(_) => vec![place],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| texts(item, format!("{place}/{index}"))).collect()
        }
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| texts(field, format!("{place}/{name}"))).collect()
        }
        _ => Vec::new(),
    }
}
