//! What is said of a request that failed: why, and never its URL.

use std::time::Duration;

use filemill_transport::{Http, HttpOptions, describe};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::server::{Server, http};

const QUERY: &str = "/bucket/key?X-Amz-Signature=secret";

fn is_safe(said: &str) -> bool {
    !said.is_empty() && !said.contains("secret") && !said.contains("Signature") && !said.contains("127.0.0.1")
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}{QUERY}", port.local_addr().expect("an address"));
    drop(port);
    let said = describe(http().request(Method::GET, &url).send().await.expect_err("nobody"));
    assert_eq!(said, "connection refused");
}

#[tokio::test]
async fn nothing_is_answered_in_time() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}{QUERY}", port.local_addr().expect("an address"));
    let within = Duration::from_millis(50);
    let said = describe(http().request(Method::GET, &url).timeout(within).send().await.expect_err("silence"));
    assert_eq!(said, "it does not answer in time");
    let brief = Http::new(HttpOptions { user_agent: "filemill-test/0", silence: Some(within) }).expect("a client");
    let said = describe(brief.request(Method::GET, &url).send().await.expect_err("silence"));
    assert_eq!(said, "it does not answer in time");
}

#[tokio::test]
async fn what_is_answered_is_not_http() {
    for answer in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
        let server = Server::start(answer).await;
        let url = format!("{}{QUERY}", server.origin);
        let said = describe(http().request(Method::GET, &url).send().await.expect_err(answer));
        assert!(is_safe(&said), "{said}");
    }
}

#[tokio::test]
async fn what_is_answered_is_not_encrypted() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let plain = port.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = port.accept().await {
            // What is not read would reset the connection.
            let _ = connection.read(&mut [0; 16 << 10]).await;
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let url = format!("https://{plain}{QUERY}");
    let said = describe(http().request(Method::GET, &url).send().await.expect_err("not TLS"));
    assert_eq!(said, "it does not speak TLS: is it `http://…`?");
}

#[tokio::test]
async fn a_url_that_cannot_be_asked_is_not_repeated() {
    for url in ["ftp://127.0.0.1/key?X-Amz-Signature=secret", "127.0.0.1:9/key?secret", "not a url, secret"] {
        let said = describe(http().request(Method::GET, url).send().await.expect_err(url));
        assert!(is_safe(&said), "{said}");
    }
}
