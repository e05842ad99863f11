//! Presigned requests: where they go, what is sent, and what comes of each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use filemill_transport::{ForeignUrl, Origins, Storage, StorageError};

use crate::server::{Server, answer, get_at, http, s3_error};

#[tokio::test]
async fn an_object_is_fetched_in_its_announced_length() {
    let server = Server::start(answer("200 OK", "", b"content")).await;
    let got = server.storage().get(&server.get(7), 7, 64).await.expect("there");
    assert_eq!((&got[..], got.capacity()), (&b"content"[..], 64));
    let head = server.requests().remove(0).head;
    assert!(head.starts_with("get /bucket/key?x-amz-signature=secret http/1.1\r\n"), "{head}");
    assert!(head.contains("user-agent: filemill-test/0\r\n") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn an_object_of_another_length_is_not_the_one_that_was_stored() {
    let server = Server::start(answer("200 OK", "", b"content")).await;
    for length in [0, 6, 8, 100] {
        let error = server.storage().get(&server.get(length), 100, 0).await.expect_err("another length");
        assert!(matches!(error, StorageError::Other(_)), "{length}: {error:?}");
    }
    let endless = [&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..], &[7; 100_000]].concat();
    let server = Server::start(endless).await;
    let error = server.storage().get(&server.get(7), 100, 0).await.expect_err("longer than announced");
    assert_eq!(error, StorageError::Other("it has more bytes instead of 7".to_owned()));
}

#[tokio::test]
async fn an_object_that_is_announced_as_too_long_is_not_asked_for() {
    let server = Server::start(answer("200 OK", "", b"content")).await;
    for length in [8, u64::MAX] {
        let error = server.storage().get(&server.get(length), 7, 0).await.expect_err("too long");
        assert!(matches!(error, StorageError::TooLong(_)), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_object_that_breaks_off_on_its_way_says_nothing_of_the_object() {
    let cut = [&b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n"[..], b"content"].concat();
    let server = Server::start(cut).await;
    let error = server.storage().get(&server.get(1000), 1000, 0).await.expect_err("cut off");
    assert!(matches!(error, StorageError::Away(_)), "{error:?}");
}

#[tokio::test]
async fn no_request_goes_to_an_origin_that_is_not_configured() {
    let server = Server::start(answer("200 OK", "", b"content")).await;
    let (at, port) = server.origin.rsplit_once(':').expect("a port");
    let storage = server.storage();
    let mut elsewhere = vec![
        format!("{at}@127.0.0.1:{port}/key?secret"),
        format!("http://user:secret@127.0.0.1:{port}/key"),
        format!("http://localhost:{port}/key?secret"),
        format!("http://127.0.0.1.example.invalid:{port}/key?secret"),
        format!("https://127.0.0.1:{port}/key?secret"),
        format!("ftp://127.0.0.1:{port}/key?secret"),
        "file:///etc/passwd?secret".to_owned(),
        "/key?secret".to_owned(),
    ];
    // Another server on the same machine, which is only another port.
    let other = Server::start(answer("200 OK", "", b"content")).await;
    elsewhere.push(format!("{}/key?secret", other.origin));
    for url in elsewhere {
        let get = storage.get(&get_at(&url, 7), 7, 0).await.expect_err(&url);
        let mut put = server.put(&[]);
        put.url.clone_from(&url);
        let put = storage.put(&put, Bytes::from_static(b"content"), None).await.expect_err(&url);
        for error in [get, put] {
            assert!(matches!(error, StorageError::Foreign(_)), "{url}: {error:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        storage.origin(&url).expect_err(&url);
    }
    assert!(server.requests().is_empty() && other.requests().is_empty());
    // Without any nothing is asked at all.
    let nowhere = Storage::new(http(), Origins::new([]));
    let error = nowhere.get(&server.get(7), 7, 0).await.expect_err("nowhere");
    assert_eq!(error, StorageError::Foreign(ForeignUrl::Origin(server.origin.clone())));
}

#[tokio::test]
async fn an_object_is_stored_with_what_was_signed() {
    let server = Server::start(answer("200 OK", "", b"")).await;
    let (storage, body) = (server.storage(), Bytes::from(vec![7; 600_000]));
    let put = server.put(&[("content-length", "600000"), ("x-amz-checksum-sha256", "aa=="), ("host", "elsewhere")]);
    storage.put(&put, body.clone(), None).await.expect("stored");
    let told = Arc::new(AtomicU64::new(0));
    let sent = Arc::clone(&told);
    let sent = move |bytes| {
        sent.fetch_add(bytes, Ordering::Relaxed);
    };
    storage.put(&put, body.clone(), Some(Arc::new(sent))).await.expect("stored");
    assert_eq!(told.load(Ordering::Relaxed), 600_000);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.body, body);
        for header in ["content-length: 600000\r\n", "x-amz-checksum-sha256: aa==\r\n", "host: 127.0.0.1:"] {
            assert_eq!(request.head.matches(header).count(), 1, "{header}: {}", request.head);
        }
        assert!(!request.head.contains("transfer-encoding") && !request.head.contains("elsewhere"), "{}", request.head);
    }
}

#[tokio::test]
async fn a_put_that_was_signed_for_something_else_is_not_sent() {
    let server = Server::start(answer("200 OK", "", b"")).await;
    for header in [("content-length", "8"), ("transfer-encoding", "chunked"), ("x", "a\nb")] {
        let put = server.put(&[header]);
        let error = server.storage().put(&put, Bytes::from_static(b"content"), None).await.expect_err("unusable");
        assert!(matches!(error, StorageError::Unusable(_)), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_page_for_people_is_no_answer_of_storages() {
    let server = Server::start(answer("200 OK", "content-type: text/html; charset=utf-8\r\n", b"content")).await;
    let got = server.storage().get(&server.get(7), 7, 0).await.expect_err("a page");
    let put = server.storage().put(&server.put(&[]), Bytes::from_static(b"content"), None).await.expect_err("a page");
    assert!(matches!((&got, &put), (StorageError::Away(_), StorageError::Away(_))), "{got:?} {put:?}");
}

#[tokio::test]
async fn refusals_are_told_from_what_is_gone_and_from_what_answers_in_storages_place() {
    let server = Server::start_with(|request| {
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
        match path.split('?').next().unwrap_or_default() {
            "/gone" => s3_error("404 Not Found", "", "NoSuchKey"),
            "/denied" => s3_error("403 Forbidden", "", "AccessDenied"),
            "/expired" => s3_error("400 Bad Request", "", "ExpiredToken"),
            "/busy" => s3_error("503 Service Unavailable", "", "SlowDown"),
            "/long" => {
                answer("403 Forbidden", "", &[b"<Code>AccessDenied</Code>".as_slice(), &[b' '; 20_000]].concat())
            }
            _ => answer("403 Forbidden", "", b"log in first"),
        }
    })
    .await;
    let storage = server.storage();
    let get = async |path: &str| {
        let get = get_at(&format!("{}/{path}?X-Amz-Signature=secret", server.origin), 7);
        storage.get(&get, 7, 0).await.expect_err(path)
    };
    assert!(matches!(get("gone").await, StorageError::NotFound(_)));
    assert!(matches!(get("denied").await, StorageError::Refused { expired: false, .. }));
    assert!(matches!(get("expired").await, StorageError::Refused { expired: true, .. }));
    assert!(matches!(get("busy").await, StorageError::Away(_)));
    assert!(matches!(get("portal").await, StorageError::Away(_)));
    // An error document is read to its limit, and one that is longer is not storage's.
    assert!(matches!(get("long").await, StorageError::Away(_)));
}
