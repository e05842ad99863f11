//! The document that is served describes what is served.

use filemill_api::paths;
use reqwest::StatusCode;

use super::{Mill, ok};

#[tokio::test]
async fn the_document_is_served_and_changes_only_on_purpose() {
    let mill = Mill::start().await;
    let mut document: serde_json::Value = ok(mill.http.get(mill.url(paths::OPENAPI)).send().await.unwrap()).await;
    document["info"]["version"] = "[version]".into();
    insta::assert_json_snapshot!("openapi", document);
    let mut document: serde_json::Value = ok(mill.http.get(mill.url(paths::v1::OPENAPI)).send().await.unwrap()).await;
    document["info"]["version"] = "[version]".into();
    insta::assert_json_snapshot!("openapi_v1", document);
    mill.stop().await;
}

#[tokio::test]
async fn every_documented_call_exists() {
    let mill = Mill::start().await;
    for (document, prefix) in
        [(filemill_server::openapi_document(), "/v2/"), (filemill_server::openapi_document_v1(), "/v1/")]
    {
        every_call_exists(&mill, &document, prefix).await;
    }
    mill.stop().await;
}

async fn every_call_exists(mill: &Mill, document: &str, prefix: &str) {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let mut documented = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        documented.push(path.replacen(prefix, "/v2/", 1));
        for method in methods.as_object().unwrap().keys() {
            let method: reqwest::Method = method.to_uppercase().parse().unwrap();
            let answer = mill.http.request(method.clone(), mill.url(path)).send().await.unwrap();
            assert_ne!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_ne!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    let mut all = vec![
        paths::UPLOADS,
        paths::UPLOAD,
        paths::ADVANCE,
        paths::CANCEL,
        paths::EVENTS,
        paths::EVENT_STREAM,
        paths::RELEASES,
        paths::COMPONENT,
        paths::DESCRIPTION,
        paths::ENGINES,
        paths::POOLS,
        paths::WHOAMI,
        paths::JOINS,
        paths::LEASES,
        paths::LEASE_CHUNKS,
        paths::LEASE_REPORT,
        paths::LEASE_RETURN,
        paths::LEASE_MISSING,
        paths::RESULTS,
        paths::RESULT_URLS,
        paths::FETCH,
        paths::OPENAPI,
    ];
    all.extend([paths::HEALTH, paths::METRICS].into_iter().filter(|_| prefix == "/v2/"));
    all.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, all);
}
