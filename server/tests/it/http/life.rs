//! A server's life on its folder: one at a time, on the same ports, and gone without a trace.

use std::time::{Duration, Instant};

use filemill_api::{LeaseAnswer, paths};
use filemill_server::{Addresses, Config, Server, StartError};
use reqwest::StatusCode;

use super::{Mill, lease_request, until};

#[tokio::test]
async fn a_second_server_on_the_folder_is_refused_and_told_where_the_first_is() {
    let mill = Mill::start().await;
    let error = Server::start(Config::embedded(mill.dir.path())).await.unwrap_err();
    assert!(matches!(&error, StartError::InUse { .. }));
    assert!(error.to_string().contains(&mill.server.addresses().listening), "{error}");
    assert!(error.hint().is_some());
    // It has not harmed the first.
    assert_eq!(mill.get(&mill.user, paths::WHOAMI).await.status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn a_restarted_server_has_its_former_ports_secrets_and_data() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    let opened = mill.open(&sample.open).await;
    let file = mill.dir.path().join("server.json");
    let said: Addresses = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let Mill { server, config, admin, http, user, processor, release, dir } = mill;
    assert_eq!(&said, server.addresses());
    server.shutdown().await;
    assert!(!file.exists());
    let server = Server::start(config.clone()).await.unwrap();
    assert_eq!(server.addresses(), &said);
    let mill = Mill { server, config, admin, http, user, processor, release, dir };
    // A URL that was signed before still works.
    assert_eq!(mill.put(&opened.header.unwrap(), sample.header.clone()).await.status(), StatusCode::OK);
    mill.send(&sample).await;
    assert_eq!(mill.lease(5_000).await.uploads.len(), 1);
    mill.stop().await;
}

#[tokio::test]
async fn a_server_takes_no_other_port_than_the_one_it_is_known_by() {
    let Mill { server, config, admin, dir, .. } = Mill::start().await;
    let known = server.addresses().clone();
    server.shutdown().await;
    for taken in [&known.listening, &known.storage] {
        // What a start that failed had begun ends a moment later.
        let mut somebody = None;
        until("the port is free", async || {
            somebody = tokio::net::TcpListener::bind(taken.trim_start_matches("http://")).await.ok();
            somebody.is_some()
        })
        .await;
        let error = Server::start(config.clone()).await.unwrap_err();
        assert!(matches!(&error, StartError::FormerPort { .. }), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--listen")), "{error}");
        drop(somebody);
    }
    let server = Server::start(config).await.unwrap();
    assert_eq!(server.addresses(), &known);
    admin.close().await;
    server.shutdown().await;
    drop(dir);
}

#[tokio::test]
async fn a_long_poll_ends_at_once_when_the_server_stops() {
    let mill = Mill::start().await;
    let poll = mill.http.post(mill.url(paths::LEASES)).bearer_auth(&mill.processor).json(&lease_request(30_000)).send();
    let poll = tokio::spawn(poll);
    // It waits once its node was seen: then a user's job would not lack a processor.
    let sample = mill.upload(1);
    mill.open(&sample.open).await;
    until("the poll waits", async || mill.get(&mill.user, paths::WHOAMI).await.status() == StatusCode::OK).await;
    let Mill { server, admin, dir, .. } = mill;
    let begin = Instant::now();
    server.shutdown().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    // Answered, or not taken any more; never left hanging.
    if let Ok(answer) = poll.await.unwrap() {
        assert!(answer.json::<LeaseAnswer>().await.unwrap().uploads.is_empty());
    }
    admin.close().await;
    drop(dir);
}

#[tokio::test]
async fn secrets_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let mill = Mill::start().await;
    for file in ["secrets.json", "server.json", "server.lock"] {
        let mode = std::fs::metadata(mill.dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} is {mode:o}");
    }
    mill.stop().await;
}
